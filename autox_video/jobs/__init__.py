"""The jobs behind the commands: training, testing, checking the data and writing a config."""
