"""A small convolutional network for clips, and its spec."""
