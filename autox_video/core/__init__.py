"""Errors, file writing, console output, durations: modules that import none of the others."""
