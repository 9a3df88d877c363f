"""What list formats share: text, columns, times, rows and the table."""
