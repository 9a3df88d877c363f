"""The decoders, one module each."""
