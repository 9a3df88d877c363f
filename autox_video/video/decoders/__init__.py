"""The video decoders: PyAV, torchcodec, decord, frame folders and animated WebP."""
