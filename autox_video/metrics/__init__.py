"""Metrics, confidence intervals, calibration, and the headline score."""
