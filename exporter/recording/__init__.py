"""Recordings of what the watch streams of a cluster delivered, and the exporter over them."""
