"""The heads, metrics and tasks of single-label and multi-label classification."""
