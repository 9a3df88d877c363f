"""Side runs: search trials, cross-validation folds, refit."""
