"""The jobs that the commands run: training, testing, checking the data and writing a config."""
