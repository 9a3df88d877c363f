"""Load clips in batches for training and testing."""
