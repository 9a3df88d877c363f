"""Read class names, and convert labels to class indices."""
