"""Find segments in recordings with a temporal head on a model's features."""
