"""List formats, with one module per format."""
