"""One file for each decoder."""
