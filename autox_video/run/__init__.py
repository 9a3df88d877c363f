"""The work dir: its file names, its lock, its clock."""
