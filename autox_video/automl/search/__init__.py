"""Runs of other plans: search, cross-validation, refit."""
