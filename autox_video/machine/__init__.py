"""This machine, and the packages that are installed on it."""
