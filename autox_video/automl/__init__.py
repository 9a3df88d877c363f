"""Around whole runs: preparing, planning, comparing."""
