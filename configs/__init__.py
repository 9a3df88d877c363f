"""Base configs of mmaction2, one per backbone, and example settings."""
