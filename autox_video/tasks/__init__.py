"""Tasks: labels, head, loss, metrics."""
