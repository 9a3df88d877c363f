"""The list formats, one module each."""
