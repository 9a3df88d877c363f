"""A greedy model soup, which averages a run's best weights if that improves validation.

The method follows Wortsman et al., "Model soups" (ICML 2022, section 2), but uses weights from
different epochs of a single run. The average starts with the best weights. The next best weights
are added one at a time and kept only if the average improves.
"""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.distributed import processes
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score, score_label, selection_score
from autox_video.run.work_dir import SOUP
from autox_video.training.checkpoints.checkpoint import (
    SCHEMA,
    read_checkpoint,
    read_meta,
    write_checkpoint,
)
from autox_video.training.checkpoints.checkpoint_hook import checkpoint_hook_of, is_better
from autox_video.training.checkpoints.model_state import load_weights, weights_of

Metrics = dict[str, float]


@HOOKS.register_module()
class ModelSoup(Hook):
    """Keep the weights of the `most` best epochs on disk, and average them after training.

    Args:
        most: maximum number of epochs whose weights are kept, at least 2.
    """

    priority = "VERY_LOW"  # like the checkpoint hook, so that the evaluated weights are saved

    def __init__(self, most: int) -> None:
        self.most = most
        self.metrics: dict[int, Metrics] = {}
        """Validation metrics of the weights on disk, keyed by epoch."""

    def before_start(self, runner) -> None:
        """Delete the files of a run that was killed before its first checkpoint."""
        if processes.current().is_main:
            _remove(runner)

    def after_resume(self, runner, best: Metrics | None) -> None:
        self.metrics = processes.run_on_rank_zero(lambda: _find(runner))

    def after_val_epoch(self, runner, metrics: Metrics | None = None) -> None:
        """Save the weights if they are among the best `most` so far."""
        epoch = runner.train_loop.epoch
        earlier = [at for at in self._ranked() if at != epoch]
        better = [at for at in earlier if not is_better(metrics or {}, self.metrics[at])]
        if len(better) >= self.most or not is_better(metrics or {}, None):
            return
        for worst in earlier[self.most - 1 :]:
            del self.metrics[worst]
            if processes.current().is_main:
                _file(runner, worst).unlink(missing_ok=True)
        weights = weights_of(runner.model)
        if processes.run_on_rank_zero(lambda: _write(runner, epoch, weights, metrics)):
            self.metrics[epoch] = dict(metrics)

    def average_weights(self, runner) -> None:
        """Average the weights on disk, and replace the best weights if the average is better.

        The training loop calls this method after training has ended and has been saved. Afterwards,
        the model contains the last average that was tried. If the result cannot be written, the
        weights stay on disk, so that averaging can be retried at the next start.
        """
        keeps, ranked = checkpoint_hook_of(runner), self._ranked()
        before = keeps.best
        if len(ranked) > 1 and before is not None and before["epoch"] == ranked[0]:
            epochs = self._try_averages(runner, ranked)
            if len(epochs) > 1:
                runner.call_hook("on_note", sentence=_sentence(epochs, keeps.best, before))
        self.metrics = {}
        if processes.current().is_main and keeps.best_is_written:
            _remove(runner)

    def _try_averages(self, runner, ranked: list[int]) -> list[int]:
        """Save the best average; return the epochs of the averaged weights."""
        loop, keeps, epochs = runner.train_loop, checkpoint_hook_of(runner), ranked[:1]
        mean, best = _read(runner, ranked[0]), keeps.best
        for epoch in ranked[1:]:
            if mean is None or not loop.may_evaluate():
                break
            weights = _read(runner, epoch)
            if weights is None:
                continue
            average = {k: _average(mean[k], weights[k], len(epochs)) for k in mean}
            load_weights(runner.model, average)
            metrics = runner.val_loop.measure(loop.stop_if_asked)
            if is_better(metrics, best):
                epochs, mean, best = [*epochs, epoch], average, metrics
                keeps.keep_best(runner, metrics)
        return epochs

    def _ranked(self) -> list[int]:
        """Return the epochs of the weights on disk, best first."""
        return sorted(self.metrics, key=lambda at: (-selection_score(self.metrics[at]), at))


def _average(mean: Tensor, value: Tensor, count: int) -> Tensor:
    """Return the mean of `count + 1` tensors, given the mean of `count` and one more tensor."""
    return torch.lerp(mean, value, 1 / (count + 1)) if mean.is_floating_point() else mean


def _sentence(epochs: list[int], metrics: Metrics, before: Metrics) -> str:
    key, clips = main_score(metrics), metrics.get("clips", math.inf)
    named = f"{', '.join(map(str, sorted(epochs)[:-1]))} and {max(epochs)}"
    return (
        f"Model soup: the average of the weights after epochs {named} validates better "
        f"({score_label(key)} {score_text(metrics[key], clips)}, loss {metrics['loss']:.4f}; "
        f"before {score_text(before[key], clips)}, {before['loss']:.4f}) and is kept as the best."
    )


def _file(runner, epoch: int) -> Path:
    return Path(runner.work_dir, SOUP, f"{epoch:05d}.pth")


def _files(runner) -> list[Path]:
    """Return the weight files in the soup folder, including incompletely written files."""
    return sorted(Path(runner.work_dir, SOUP).glob("*[0-9].pth*"))


def _find(runner) -> dict[int, Metrics]:
    """Return the metrics of usable weight files, keyed by epoch; delete all other weight files."""
    identity, metrics = checkpoint_hook_of(runner).identity, {}
    for path in _files(runner):
        try:
            meta = read_meta(path)
        except CheckpointError:
            meta = {}
        epoch = meta.get("epoch", math.inf)
        if meta.get("identity") == identity and epoch <= runner.train_loop.evaluated_epoch:
            metrics[epoch] = dict(meta["metrics"])
        else:
            path.unlink(missing_ok=True)
    return metrics


def _read(runner, epoch: int) -> dict[str, Tensor] | None:
    def read() -> dict[str, Any] | None:
        try:
            return read_checkpoint(_file(runner, epoch))["state_dict"]
        except CheckpointError as error:
            runner.call_hook(
                "on_trouble", sentence=f"{error} The file is left out of the model soup."
            )
            return None

    return processes.run_on_rank_zero(read)


def _write(runner, epoch: int, weights: dict[str, Tensor], metrics: Metrics) -> bool:
    keeps, path = checkpoint_hook_of(runner), _file(runner, epoch)
    meta = {"epoch": epoch, "metrics": metrics, "identity": keeps.identity}
    try:
        with keeps.clock.counting():
            path.parent.mkdir(exist_ok=True)
            write_checkpoint(path, {"schema": SCHEMA, "state_dict": weights, "meta": meta})
    except (ResourceError, OSError) as error:
        sentence = f"{error} Training continues; these weights are left out of the model soup."
        runner.call_hook("on_trouble", sentence=sentence)
        return False
    return True


def _remove(runner) -> None:
    for path in _files(runner):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # the folder is missing, or contains other files
        Path(runner.work_dir, SOUP).rmdir()
