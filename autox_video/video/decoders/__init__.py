"""The video decoders, with one module for each."""
