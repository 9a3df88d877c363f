"""Pretrained weights: known files, their layouts, loading them."""
