"""Predict new videos with a model file: whole recordings, timelines, streams and output files."""
