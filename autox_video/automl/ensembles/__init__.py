"""Ensembles of the models of a run."""
