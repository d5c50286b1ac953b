"""Prometheus exporter for everything that matters about upgrading OpenShift Virtualization."""

__version__ = "0.1.0"
