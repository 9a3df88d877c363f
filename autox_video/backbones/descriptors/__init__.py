"""Hand-crafted descriptors of clips, and their spec."""
