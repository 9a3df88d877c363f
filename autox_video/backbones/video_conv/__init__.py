"""A small video CNN and its backbone spec."""
