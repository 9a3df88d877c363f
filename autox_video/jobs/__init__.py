"""The jobs that the commands run: train, test, check, write a config."""
