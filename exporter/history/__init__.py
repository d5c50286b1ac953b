"""What must outlive a restart, and what two replicas must agree on: a value that merges, and its stores."""
