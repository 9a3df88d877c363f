"""The Video Swin Transformer and its backbone specs."""
