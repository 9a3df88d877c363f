"""Pure functions that make every automatic choice from the settings, the data and the machine."""
