"""The Video Swin Transformer, and its specs."""
