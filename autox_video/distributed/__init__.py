"""Several processes: launching them, and what they tell each other."""
