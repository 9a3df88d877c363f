"""The backbones and their pretrained weights."""
