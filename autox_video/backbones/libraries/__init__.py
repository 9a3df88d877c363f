"""Backbones that other libraries define, by names such as `timm:resnet18`; a file per family."""
