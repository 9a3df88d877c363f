"""Video Swin Transformer: its spec, the model and what it computes with."""
