"""Run a training config to its end."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.hooks import Hook

from autox_video.distributed import processes
from autox_video.machine.hardware import make_cublas_deterministic
from autox_video.training.checkpoints.checkpoint_hook import ClipCheckpointHook
from autox_video.training.interrupt import Stopped, graceful_stop, stop_requested
from autox_video.training.runner import ClipRunner

GIVE_UP_SEC = 20.0
"""After a signal, where several processes train: a step may wait for one that is gone."""


def train(config: Config, hooks: Sequence[Hook] = ()) -> dict[str, float] | None:
    """Train as the config says, going on from the checkpoint in its work dir if there is one.

    Gives the metrics of the best evaluation, None where none was made.

    Args:
        config: of the run.
        hooks: beside those of the config; what they raise ends the run.

    Raises:
        Stopped: a signal came; everything is saved.
        CheckpointError: what is in the work dir does not fit the config.
    """
    if config.randomness.get("deterministic"):
        make_cublas_deterministic()
    alone = processes.current().size == 1
    with graceful_stop(None if alone else GIVE_UP_SEC), ClipRunner.closed_behind():
        runner = ClipRunner.from_cfg(config)
        for hook in hooks:
            runner.register_hook(hook, priority=hook.priority)
        try:
            runner.train()
        except RuntimeError as error:
            # A scheduler that signals every process kills the data workers too: what was saved
            # last stays.
            if signum := stop_requested():
                raise Stopped(signum, saved=False) from error
            raise
        finally:
            runner.call_hook("close")
    return next(hook.best for hook in runner.hooks if isinstance(hook, ClipCheckpointHook))
