"""Errors, file writing, console output, durations: modules that depend on no other package."""
