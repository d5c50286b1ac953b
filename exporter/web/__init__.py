"""What is served over HTTP: the metrics page, the status page, and the probes."""
