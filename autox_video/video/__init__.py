"""One clip: from its path to its frames at given times."""
