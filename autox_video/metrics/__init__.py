"""Scores, their intervals, calibration, and which score is shown first."""
