"""Backbones from other libraries, selected by names such as `timm:resnet18`."""
