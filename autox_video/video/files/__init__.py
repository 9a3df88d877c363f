"""Local and remote files: their names, their first bytes, and how to fetch them."""
