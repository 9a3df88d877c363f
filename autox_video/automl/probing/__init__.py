"""Heads on fixed features: the feature leaderboard."""
