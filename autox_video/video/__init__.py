"""Open a single clip and decode its frames at given times."""
