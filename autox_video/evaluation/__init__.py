"""Predict and test with trained weights, and report the results."""
