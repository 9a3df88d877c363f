"""Automatic machine learning for video understanding."""
