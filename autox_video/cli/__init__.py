"""The commands of `autox-video`."""
