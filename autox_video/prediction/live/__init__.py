"""Live sources: opening cameras and streams, and sampling clips from their frames."""
