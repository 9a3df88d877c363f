"""Split clips into training, validation and test sets or into folds, keeping recordings whole."""
