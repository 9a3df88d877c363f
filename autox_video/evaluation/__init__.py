"""Trained weights over clips, and what comes out."""
