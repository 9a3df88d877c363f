"""Probes, which are linear and attentive heads on fixed features, and the feature leaderboard."""
