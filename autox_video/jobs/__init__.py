"""The commands' work: train, test, check."""
