"""What opening every clip once finds out."""
