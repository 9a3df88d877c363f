"""The backbones that a model can have."""
