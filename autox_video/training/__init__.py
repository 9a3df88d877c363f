"""Training: loop, step, optimizer, schedule, hooks, checkpoints."""
