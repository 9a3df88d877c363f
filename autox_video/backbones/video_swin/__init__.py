"""Video Swin Transformer: its specs and the model."""
