"""Open every clip once, and report what was found."""
