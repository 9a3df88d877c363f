"""Data sets of clips: listing, inspection, splitting and loading."""
