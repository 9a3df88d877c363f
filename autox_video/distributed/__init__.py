"""Several processes: launching them, and communication between them."""
