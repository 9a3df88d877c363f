"""Clips in batches, for training and testing."""
