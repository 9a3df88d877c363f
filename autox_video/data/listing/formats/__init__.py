"""One file for each format of lists."""
