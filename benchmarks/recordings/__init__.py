"""Synthetic recordings with labelled events: `kinds` defines them, `files` writes them."""
