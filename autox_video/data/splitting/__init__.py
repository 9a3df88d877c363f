"""Split clips into training, validation, test and folds, keeping recordings whole."""
