"""Classification: head, metrics, single-label and multi-label tasks."""
