"""Every automatic choice: pure functions of settings, data and machine."""
