"""Temporal localisation: which classes occur in a recording, and from when to when."""
