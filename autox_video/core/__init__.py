"""Errors, file writing, console output and durations; this package imports no other subpackage."""
