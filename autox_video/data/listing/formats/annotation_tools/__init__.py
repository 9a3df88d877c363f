"""Exports of annotation tools: segments of videos with labels, one tool per module."""
