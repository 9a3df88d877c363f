"""Clips split into training, validation, test and folds, recordings kept whole."""
