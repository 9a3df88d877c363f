"""Side runs: search trials, cross-validation folds, and the refit."""
