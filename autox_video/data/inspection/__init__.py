"""Inspect every clip once, and report problems."""
