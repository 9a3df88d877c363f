"""Errors, files, console, spans of time: what stands on nothing of ours."""
