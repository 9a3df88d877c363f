"""Read folders of clips: which folders are splits, which are classes."""
