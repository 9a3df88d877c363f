"""Checkpoints: write and read the files, decide when to save, and resume runs."""
