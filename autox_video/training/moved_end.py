"""Move the end of training, with a learning rate schedule that reaches 0 at the new end."""

from typing import Any

MovedEnd = dict[str, Any]
"""The end of training as a dict: `epochs`, `last_step` and the shapes of the `schedules`."""


def move_end(runner, epochs: int, last_step: int) -> MovedEnd:
    """Set a new end of training, possibly in the middle of an epoch.

    Args:
        runner: mmengine's runner.
        epochs: total number of epochs.
        last_step: total number of steps.

    Returns:
        The new end of training, for `restore_end`.
    """
    runner.train_loop.end_at(epochs, last_step)
    for schedule in runner.param_schedulers:
        schedule.end_at(last_step)
    return current_end(runner)


def current_end(runner) -> MovedEnd:
    """Return the current end of training, for `restore_end`."""
    loop, shapes = runner.train_loop, [schedule.shape for schedule in runner.param_schedulers]
    return {"epochs": loop.max_epochs, "last_step": loop.max_iters, "schedules": shapes}


def restore_end(runner, end: MovedEnd) -> None:
    """Restore an end of training returned by `move_end` or `current_end`."""
    runner.train_loop.end_at(end["epochs"], end["last_step"])
    for schedule, shape in zip(runner.param_schedulers, end["schedules"], strict=True):
        schedule.take_shape(shape)
