"""What is saved, when, and how a run goes on from it.

`latest.pth` holds all that training needs to go on; `best.pth` the weights that validate best.
Both are written so that a crash leaves the old one or the new one, and hold tensors and plain
values only, so that reading them runs no code.
"""

import pickle
from pathlib import Path
from typing import Any

import autox_video.mm_compat  # noqa: F401

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.errors import CheckpointError
from autox_video.fileio import atomic_write
from autox_video.models.tensor_file import is_tensor_file, read_tensor_file
from autox_video.models.weights import load_pretrained
from autox_video.results import main_score

LATEST = "latest.pth"
BEST = "best.pth"
SCHEMA = 2


@HOOKS.register_module()
class CheckpointKeeper(Hook):
    """Start from the latest checkpoint or from pretrained weights; keep `latest` and `best`.

    Args:
        pretrained: weights to start from where there is no `latest.pth` yet.
        identity: what a checkpoint must have been trained for to go on from it: plain values.
        decoder: what decodes the clips, for the record.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        pretrained: str | None = None,
        identity: dict | None = None,
        decoder: str | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.decoder = decoder
        self.identity = dict(identity or {})
        self.best: dict[str, float] | None = None

    def before_train(self, runner) -> None:
        """Load what is there to start from."""
        latest = Path(runner.work_dir, LATEST)
        if latest.exists():
            self._resume(runner, latest)
            return
        runner.call_hook("before_start")
        if self.pretrained is not None:
            report = load_pretrained(runner.model, self.pretrained)
            runner.call_hook("on_note", sentence=report.sentence())

    def save_state(self, runner) -> None:
        """Write `latest.pth`."""
        loop = runner.train_loop
        state = {
            "schema": SCHEMA,
            "state_dict": runner.model.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "param_schedulers": [_progress_of(s) for s in runner.param_schedulers],
            "meta": {
                "epoch": loop.epoch,
                "iter": loop.iter,
                "evaluated_epoch": loop.evaluated_epoch,
                "taken": loop.taken,
                "best": self.best,
                "identity": self.identity,
                "decoder": self.decoder,
            },
        }
        write_checkpoint(Path(runner.work_dir, LATEST), state)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Write `best.pth` if this evaluation is the best so far."""
        if not metrics or not is_better(metrics, self.best):
            return
        self.best = {**metrics, "epoch": runner.train_loop.epoch}
        meta = {"metrics": self.best, "identity": self.identity, "decoder": self.decoder}
        weights = {"schema": SCHEMA, "state_dict": runner.model.state_dict(), "meta": meta}
        write_checkpoint(Path(runner.work_dir, BEST), weights)

    def _resume(self, runner, latest: Path) -> None:
        state = read_checkpoint(latest)
        meta = state["meta"]
        refuse_other_model(latest, meta.get("identity", {}), self.identity)
        load_state(runner.model, state["state_dict"], latest)
        runner.optim_wrapper.load_state_dict(state["optimizer"])
        progress = state["param_schedulers"]
        for scheduler, values in zip(runner.param_schedulers, progress, strict=False):
            scheduler.load_state_dict(values)
        loop = runner.train_loop
        loop.resume_at(
            meta["epoch"],
            meta["iter"],
            evaluated_epoch=meta["evaluated_epoch"],
            taken=meta["taken"],
        )
        runner.optim_wrapper.initialize_count_status(runner.model, loop.iter, loop.max_iters)
        self.best = meta["best"]
        runner.call_hook("after_resume", best=self.best)


def is_better(metrics: dict[str, float], best: dict[str, float] | None) -> bool:
    """Whether an evaluation beats the best so far: by its main score, ties by the lower loss."""
    key = main_score(metrics)
    if key is None:
        return False
    rank = (metrics[key], -metrics["loss"])
    return best is None or rank > (best[key], -best["loss"])


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace `path` by a checkpoint; raises ResourceError where it cannot be written."""
    with atomic_write(path) as temporary:
        torch.save(state, temporary)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of one of our checkpoints, tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of ours.
    """
    if is_tensor_file(path):
        return read_tensor_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such checkpoint; train first with autotrain.py."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: the checkpoint is damaged ({_first_line(error)}). Move it away to start "
            "anew, or put a good copy in its place; nothing in the folder was touched."
        ) from error
    if not isinstance(state, dict) or "state_dict" not in state or "meta" not in state:
        raise CheckpointError(f"{path}: not a checkpoint that autotrain.py wrote.")
    return state


def refuse_other_model(path: Path, saved: dict, wanted: dict) -> None:
    """Raise CheckpointError, spelling out the difference, if a checkpoint is of another run."""
    differing = [k for k in wanted if k in saved and saved[k] != wanted[k]]
    if differing:
        difference = "; ".join(f"{k}: {saved[k]} there, {wanted[k]} now" for k in differing)
        raise CheckpointError(
            f"{path}: was trained for something else ({difference}). Use another work_dir, or move "
            "this one away."
        )


def load_state(model: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load weights that must fit exactly; raises CheckpointError where they do not."""
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:4]]
        raise CheckpointError(
            f"{path}: the weights are of another model ({' '.join(reasons)[:300]})."
        ) from error


def _progress_of(scheduler) -> dict[str, Any]:
    """How far a schedule is, without its shape: that is the config's, and may have changed."""
    state = scheduler.state_dict()
    return {key: state[key] for key in ("last_step", "_global_step", "_last_value")}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:150]
