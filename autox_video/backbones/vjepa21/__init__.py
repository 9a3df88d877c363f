"""The backbone family `vjepa2.1:NAME`: the video encoders of V-JEPA 2.1."""
