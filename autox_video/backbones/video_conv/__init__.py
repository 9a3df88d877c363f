"""A small convolutional network for clips: its spec and the model."""
