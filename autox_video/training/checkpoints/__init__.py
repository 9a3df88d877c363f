"""Checkpoint files: what is kept, when, and resuming from it."""
