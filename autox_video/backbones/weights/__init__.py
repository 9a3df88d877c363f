"""Pretrained weights: known files, layouts and loading."""
