"""Prediction and testing with trained weights, and reporting the results."""
