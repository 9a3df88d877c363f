"""Annotated videos: the classes and the timeline drawn on every frame."""
