"""List formats, one per module."""
