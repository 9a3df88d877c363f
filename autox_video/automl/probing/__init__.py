"""Probes (linear and attentive heads on fixed features) and the feature leaderboard."""
