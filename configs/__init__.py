"""Example settings."""
