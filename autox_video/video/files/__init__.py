"""Recognise and check video files, and download remote ones."""
