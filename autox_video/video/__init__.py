"""One clip: from a path to frames at given times."""
