"""Run the training described by a config."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.hooks import Hook

from autox_video.distributed import processes
from autox_video.machine.hardware import make_cublas_deterministic
from autox_video.training.checkpoints.checkpoint_hook import checkpoint_hook_of
from autox_video.training.interrupt import Stopped, graceful_stop
from autox_video.training.runner import ClipRunner, run_log

GIVE_UP_SEC = 20.0
"""Time limit in seconds for stopping several processes after a signal, since a step may wait
forever for a process that has ended."""


def train(config: Config, hooks: Sequence[Hook] = ()) -> dict[str, float] | None:
    """Train a model, resuming from the checkpoint in the work dir if there is one.

    Args:
        config: config of the run.
        hooks: additional hooks; an exception raised by a hook ends the run.

    Returns:
        The metrics of the best evaluation; None if there was no evaluation.

    Raises:
        Stopped: a signal arrived; `saved` tells whether everything was saved.
        CheckpointError: the checkpoint in the work dir does not match the config.
    """
    if config.randomness.get("deterministic"):
        make_cublas_deterministic()
    give_up_sec = None if processes.current().size == 1 else GIVE_UP_SEC
    with graceful_stop(give_up_sec) as request, run_log(config.work_dir):
        runner = ClipRunner.from_cfg(config)
        runner.stop_request = request
        for hook in hooks:
            runner.register_hook(hook, priority=hook.priority)
        try:
            runner.train()
        except RuntimeError as error:
            # A job scheduler may signal all processes and thus kill the data workers, which makes
            # the step fail. The last checkpoint is intact.
            if request.signum is not None:
                raise Stopped(request.signum, saved=False) from error
            raise
        finally:
            runner.call_hook("close")
    return checkpoint_hook_of(runner).best
