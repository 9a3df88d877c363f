"""Clips split into training, validation, test and folds; recordings are kept whole."""
