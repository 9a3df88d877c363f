"""Clips under folders: which folders are splits, which are classes."""
