"""Run a training config to its end."""

import autox_video.mm_compat  # noqa: F401

from mmengine.config import Config

from autox_video.engine.checkpoint import CheckpointKeeper
from autox_video.engine.interrupt import graceful_stop
from autox_video.engine.runner import ClipRunner


def train(config: Config) -> dict[str, float] | None:
    """Train as the config says, going on from `latest.pth` in its work dir if there is one.

    Gives the metrics of the best evaluation, None where none was made.

    Raises:
        Stopped: a signal came; everything is saved.
        CheckpointError: what is in the work dir does not fit the config.
    """
    with graceful_stop():
        runner = ClipRunner.from_cfg(config)
        runner.train()
    return next(hook.best for hook in runner.hooks if isinstance(hook, CheckpointKeeper))
