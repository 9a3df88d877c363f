"""Errors, file writing, console output and durations; these modules need no other package."""
