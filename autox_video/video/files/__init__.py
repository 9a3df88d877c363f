"""Files by name and first bytes, here or at an address."""
