"""A small convolution network for clips: its spec and the model."""
