"""Code shared by the list formats for reading text, columns, times and rows into a table."""
