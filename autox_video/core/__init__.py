"""Helpers for errors, files, console output and durations; imports no other subpackage."""
