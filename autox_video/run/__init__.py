"""The work dir: its file names, its lock and its clock."""
