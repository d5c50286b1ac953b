"""An embedded simulated cluster: an API server over HTTP, and stories that are told to it."""
