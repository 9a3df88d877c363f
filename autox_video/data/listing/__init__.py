"""From lists and folders to checked clips with labels."""
