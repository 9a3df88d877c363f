"""Launch several processes, and communicate between them."""
