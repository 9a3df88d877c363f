"""The work dir, lock, clock and command line of a run."""
