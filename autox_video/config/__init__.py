"""config.yaml and overrides as typed, checked, frozen settings."""
