"""The average of a run's best weights, kept where it validates better than each of them.

A greedy model soup (Wortsman et al., "Model soups", ICML 2022, section 2) of the evaluations of one
run: the best weights first, then each of the next best whose part makes the average better.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
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
from autox_video.training.checkpoints.checkpoint_hook import ClipCheckpointHook, is_better
from autox_video.training.checkpoints.model_state import load_weights, weights_of

Weights = dict[str, Tensor]


@HOOKS.register_module()
class ModelSoup(Hook):
    """Keep the best few weights on disk; when training is over, average them.

    Args:
        most: how many are kept, 2 or more.
        identity: what weights must have been trained for to be of this run: plain values.
    """

    priority = "VERY_LOW"  # beside the keeper: the weights are those that were evaluated

    def __init__(self, most: int, identity: Mapping[str, Any] | None = None) -> None:
        self.most = most
        self.identity = dict(identity or {})
        self.kept: dict[int, dict[str, float]] = {}
        """Metrics of the weights that are kept, by the epochs they have seen."""
        self._to_write: dict[int, dict[str, Any]] = {}
        """Those for which there was no room on the disk yet."""

    def before_start(self, runner) -> None:
        """Drop what a run left that was killed before its first checkpoint."""
        if processes.current().is_main:
            _remove(runner)

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Find the weights of before."""
        self.kept = processes.run_on_rank_zero(lambda: self._find(runner))

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the weights if they are among the best."""
        if not metrics or main_score(metrics) is None:
            return
        epoch = runner.train_loop.epoch
        others = [at for at in self._ranked() if at != epoch]
        better = [at for at in others if not is_better(metrics, self.kept[at])]
        if len(better) >= self.most or not is_better(metrics, None):
            return
        for worst in others[self.most - 1 :]:
            del self.kept[worst]
            self._to_write.pop(worst, None)
            if processes.current().is_main:
                _file(runner, worst).unlink(missing_ok=True)
        self.kept[epoch] = dict(metrics)
        weights = weights_of(runner.model)
        if processes.current().is_main:
            meta = {"epoch": epoch, "metrics": metrics, "identity": self.identity}
            state = {"schema": SCHEMA, "state_dict": weights, "meta": meta}
            if not self._write(runner, epoch, state):
                waits = {name: weight.detach().clone() for name, weight in weights.items()}
                self._to_write[epoch] = {**state, "state_dict": waits}

    def save_state(self, runner) -> None:
        """Write what waits for room."""
        for epoch, state in list(self._to_write.items()):
            if self._write(runner, epoch, state):
                del self._to_write[epoch]

    def average(self, runner) -> None:
        """Average what is kept, and evaluate; the best weights are replaced by what is better.

        The loop calls it when training is over and saved: the model keeps the last weights tried.
        Where the result cannot be written, what it is made of stays, for the next start.
        """
        keeper = _keeper(runner)
        ranked = self._ranked()
        if len(ranked) > 1 and keeper.best is not None and keeper.best["epoch"] == ranked[0]:
            before, taken = keeper.best, self._try_averages(runner, keeper, ranked)
            if len(taken) > 1:
                runner.call_hook("on_note", sentence=_said(taken, keeper.best, before))
        self.kept, self._to_write = {}, {}
        if processes.current().is_main and keeper.best_is_written:
            _remove(runner)

    def _try_averages(self, runner, keeper: ClipCheckpointHook, ranked: list[int]) -> list[int]:
        """Keep the best average; gives the epochs whose weights are in it."""
        loop, taken, best = runner.train_loop, ranked[:1], keeper.best
        mean = processes.run_on_rank_zero(lambda: self._read(runner, ranked[0]))
        for epoch in ranked[1:]:
            if mean is None or not loop.may_evaluate():
                break
            tried = processes.run_on_rank_zero(
                partial(self._mixed, runner, mean, epoch, len(taken))
            )
            if tried is None:
                continue
            load_weights(runner.model, tried)
            metrics = runner.val_loop.measure(loop.stop_if_asked)
            if is_better(metrics, best):
                taken, mean, best = [*taken, epoch], tried, metrics
                keeper.keep_best(runner, metrics)
        return taken

    def _ranked(self) -> list[int]:
        """The epochs of what is kept, the best first."""

        return sorted(self.kept, key=lambda at: (selection_score(self.kept[at]), -at), reverse=True)

    def _find(self, runner) -> dict[int, dict[str, float]]:
        """What is on disk of this run; what a run that goes on will write again is removed."""
        found = {}
        for path in _files(runner):
            try:
                meta = read_meta(path)
            except CheckpointError:
                meta = {}
            epoch = meta.get("epoch", math.inf)
            if meta.get("identity") == self.identity and epoch <= runner.train_loop.evaluated_epoch:
                found[epoch] = dict(meta["metrics"])
            else:
                path.unlink(missing_ok=True)
        return found

    def _write(self, runner, epoch: int, state: dict[str, Any]) -> bool:
        path = _file(runner, epoch)
        try:
            with _keeper(runner).clock.counted():
                path.parent.mkdir(exist_ok=True)
                write_checkpoint(path, state)
        except (ResourceError, OSError) as error:
            sentence = f"{error} Training goes on; these weights, for an average, wait in memory."
            runner.call_hook("on_trouble", sentence=sentence)
            return False
        return True

    def _read(self, runner, epoch: int) -> Weights | None:
        if epoch in self._to_write:
            return self._to_write[epoch]["state_dict"]
        try:
            return read_checkpoint(_file(runner, epoch))["state_dict"]
        except CheckpointError as error:
            runner.call_hook("on_trouble", sentence=f"{error} They are in no average.")
            return None

    def _mixed(self, runner, mean: Weights, epoch: int, count: int) -> Weights | None:
        """The mean of `count` weights, and of one more."""
        one = self._read(runner, epoch)
        return one and {name: _moved(value, one[name], count) for name, value in mean.items()}


def _moved(mean: Tensor, value: Tensor, count: int) -> Tensor:
    return torch.lerp(mean, value, 1 / (count + 1)) if mean.is_floating_point() else mean


def _said(epochs: list[int], metrics: dict[str, float], before: dict[str, float]) -> str:
    key = main_score(metrics)
    named = f"{', '.join(map(str, sorted(epochs)[:-1]))} and {max(epochs)}"
    scores = [score_text(each[key], metrics.get("clips", math.inf)) for each in (metrics, before)]
    return (
        f"The average of the weights after epochs {named} validates better "
        f"({score_label(key)} {scores[0]}, loss {metrics['loss']:.4f}; before "
        f"{scores[1]}, {before['loss']:.4f}): it is kept as the best."
    )


def _keeper(runner) -> ClipCheckpointHook:
    return next(hook for hook in runner.hooks if isinstance(hook, ClipCheckpointHook))


def _file(runner, epoch: int) -> Path:
    return Path(runner.work_dir, SOUP, f"{epoch:05d}.pth")


def _files(runner) -> list[Path]:
    """Ours in the folder, those that a kill has cut short too."""
    return sorted(Path(runner.work_dir, SOUP).glob("*[0-9].pth*"))


def _remove(runner) -> None:
    for path in _files(runner):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or it holds something of somebody's
        Path(runner.work_dir, SOUP).rmdir()
