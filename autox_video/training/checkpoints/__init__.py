"""Checkpoints: files, when to write them, resuming from them."""
