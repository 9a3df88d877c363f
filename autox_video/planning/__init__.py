"""Every automatic choice, made by pure functions of the settings, the data and the machine."""
