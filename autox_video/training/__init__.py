"""Training: the loop, the step, the optimizer, the schedule, hooks and checkpoints."""
