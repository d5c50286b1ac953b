"""Dashboards: one table of panels and queries, rendered for every place that shows them.

`panels` is the table, `grafana` renders it. `python -m dashboards` writes `dashboards/rendered/`.
"""
