"""Read folders of clips, and decide which folders are splits and which are classes."""
