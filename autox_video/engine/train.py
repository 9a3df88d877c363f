"""Run a training config to its end."""

import autox_video.mm_compat  # noqa: F401

from mmengine.config import Config

from autox_video.engine.checkpoint import CheckpointKeeper
from autox_video.engine.interrupt import Stopped, graceful_stop, stop_requested
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
        try:
            runner.train()
        except RuntimeError as error:
            # A scheduler that signals every process kills the data workers too: what was saved
            # at the end of the last epoch stays.
            if signum := stop_requested():
                raise Stopped(signum) from error
            raise
        finally:
            runner.call_hook("close")
    return next(hook.best for hook in runner.hooks if isinstance(hook, CheckpointKeeper))
