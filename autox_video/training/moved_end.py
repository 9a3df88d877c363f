"""Training that ends elsewhere than planned, with the learning rate at 0 by then."""

from typing import Any

MovedEnd = dict[str, Any]
"""`epochs`, `last_step` and the shapes of the `schedules`: plain values for a checkpoint."""


def move_end(runner, epochs: int, last_step: int) -> MovedEnd:
    """End training after so many epochs, the last of which may be cut short at a step.

    Args:
        runner: of the training.
        epochs: in all.
        last_step: steps in all.
    """
    runner.train_loop.end_at(epochs, last_step)
    shapes = [schedule.end_at(last_step) for schedule in runner.param_schedulers]
    return {"epochs": epochs, "last_step": last_step, "schedules": shapes}


def restore_end(runner, end: MovedEnd) -> None:
    """Move the end of a resumed run to where it was."""
    runner.train_loop.end_at(end["epochs"], end["last_step"])
    for schedule, shape in zip(runner.param_schedulers, end["schedules"], strict=True):
        schedule.take_shape(shape)
