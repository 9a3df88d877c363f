"""Prepare, plan and finish training runs, and compare models."""
