"""Classification: the heads, the metrics, and the single-label and multi-label tasks."""
