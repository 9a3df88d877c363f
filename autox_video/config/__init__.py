"""Read config.yaml and overrides into typed, validated, immutable settings."""
