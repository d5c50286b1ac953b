"""From an API server to records: credentials, LIST and WATCH, and one reflector per resource."""
