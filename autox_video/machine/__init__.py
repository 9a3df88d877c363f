"""Inspect the hardware and the installed packages of this machine."""
