"""What a model is trained for: labels, head, loss, metrics."""
