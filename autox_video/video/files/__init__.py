"""Recognise, check and download local and remote video files."""
