"""Class names and labels."""
