"""A work dir: the names of its files, its lock, its clock."""
