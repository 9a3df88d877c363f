"""Save the validation logits of a run, so that several runs can be calibrated together."""

import json
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.core.errors import ResourceError
from autox_video.core.files import write_json
from autox_video.distributed import processes
from autox_video.run.work_dir import LOGITS


@HOOKS.register_module()
class SaveLogits(Hook):
    """Write the logits of the latest evaluation to the work dir."""

    priority = "NORMAL"  # before the checkpoint hook, so that a saved evaluation has its logits

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Write the logits to disk; a failed write does not end training."""
        measured = runner.val_loop.evaluator.metrics[0].measured
        if measured is None or not processes.current().is_main:
            return
        content = {name: values.tolist() for name, values in measured.items()}
        try:
            write_json(Path(runner.work_dir, LOGITS), content)
        except ResourceError as error:
            runner.call_hook("on_trouble", sentence=f"{error} Training continues.")


def read_logits(work_dir: Path) -> dict[str, np.ndarray] | None:
    """Return the saved outputs of a run's last evaluation; None if the file is unreadable.

    The result contains the clips' `positions` (N,) in the clip list, their `logits` (N, K) and
    their `labels` (N,).
    """
    try:
        content = json.loads((work_dir / LOGITS).read_bytes())
        measured = {name: np.array(content[name]) for name in ("positions", "logits", "labels")}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    fits = measured["logits"].ndim == 2 and len(set(map(len, measured.values()))) == 1
    return measured if fits else None
