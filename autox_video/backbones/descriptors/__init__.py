"""Fixed descriptors of clips: their spec and the model."""
