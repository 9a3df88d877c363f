"""Whole runs: preparing and planning them, and comparing models."""
