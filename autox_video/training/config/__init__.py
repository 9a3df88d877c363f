"""Build the mmaction2 config of a run."""
