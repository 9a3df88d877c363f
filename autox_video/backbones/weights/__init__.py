"""Find, read and load pretrained weights."""
