"""What formats of lists share: text, columns, times, rows, one table."""
