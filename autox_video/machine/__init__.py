"""This machine's hardware, and the installed packages."""
