"""Metrics, their confidence intervals, calibration, and the score that is shown first."""
