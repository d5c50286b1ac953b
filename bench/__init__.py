"""The benchmark: what the exporter costs, beside kube-state-metrics on the same server and objects."""
