"""Many clips: listed, inspected, split and loaded."""
