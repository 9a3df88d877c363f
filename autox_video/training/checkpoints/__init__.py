"""Checkpoints: writing and reading the files, deciding when to save, and resuming."""
