"""Code shared by list formats: it reads text, columns, times and rows into a table."""
