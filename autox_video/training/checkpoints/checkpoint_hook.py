"""The checkpoint hook, which saves and resumes runs and rolls them back to good checkpoints."""

import copy
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.backbones.weights.loading import load_pretrained
from autox_video.core.errors import CheckpointError, NumbersError, ResourceError
from autox_video.distributed import processes
from autox_video.metrics.selection_score import main_score, selection_score
from autox_video.planning.record import load_stored
from autox_video.run.work_dir import LATEST, PREVIOUS
from autox_video.training.checkpoints.checkpoint import (
    RECORD_KEY,
    SCHEMA,
    read_best,
    read_checkpoint,
    read_newest,
    refuse_other_model,
    write_best,
    write_checkpoint,
)
from autox_video.training.checkpoints.model_record import model_record
from autox_video.training.checkpoints.model_state import (
    is_sharded,
    load_optimizer_state,
    load_weights,
    optimizer_state,
    unwrapped,
    weights_of,
)

SAVING_SHARE = 0.01
"""Maximum share of the training time to spend on saving checkpoints after epochs."""
MOST_ROLLBACKS = 3
LOWER_LR = 0.5


class SavingClock:
    """Decides when to save a checkpoint, with at most `minutes` between two checkpoints."""

    def __init__(self, minutes: float) -> None:
        self.longest_sec = minutes * 60
        self.spent_sec = 0.0
        self._cost_sec = 0.0
        self._last = time.monotonic()

    def is_due(self, *, at_rest: bool) -> bool:
        """Return whether to save now; after an epoch (`at_rest`), a quick save may come early."""
        since = time.monotonic() - self._last
        cheap = at_rest and since * SAVING_SHARE >= self._cost_sec
        return cheap or since >= self.longest_sec

    @contextmanager
    def counting(self, *, checkpoint: bool = False) -> Iterator[None]:
        """Count the time spent in the `with` block as time spent on saving files."""
        started = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            self.spent_sec += ended - started
            if checkpoint:
                self._last, self._cost_sec = ended, ended - started


@HOOKS.register_module()
class ClipCheckpointHook(Hook):
    """Resumes from the newest checkpoint or loads pretrained weights, and saves checkpoints.

    Args:
        pretrained: path of the pretrained weights to load if there is no checkpoint yet.
        identity: plain values that must match those in a checkpoint for the run to resume from it.
        minutes: maximum time between two checkpoints, in minutes.
        head_rows: index of each class in the pretrained weights; -1 for a new class.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        pretrained: str | None = None,
        identity: dict | None = None,
        minutes: float = 10.0,
        head_rows: Sequence[int] = (),
    ) -> None:
        self.pretrained, self.head_rows = pretrained, head_rows
        self.identity = dict(identity or {})
        self.record: dict[str, Any] | None = None
        """Run record to store in checkpoints; None if the work dir has no run record."""
        self.clock = SavingClock(minutes)
        self.best: dict[str, float] | None = None
        self.rollbacks = 0
        self._first: dict[str, Any] | None = None
        """Training state at the start of the run, for rollbacks before the first checkpoint."""
        self._saved_at: tuple[int, int, int] | None = None
        self._rolled_back_at = -1
        self._unsaved_best: dict[str, Any] | None = None

    # ---- starting ----

    def before_train(self, runner) -> None:
        """Load the newest checkpoint if there is one, or else the pretrained weights."""
        self.record = load_stored(Path(runner.work_dir))
        state, best, notes = processes.run_on_rank_zero(lambda: self._find(Path(runner.work_dir)))
        for note in notes:
            runner.call_hook("on_note", sentence=note)
        if state is not None:
            self._resume(runner, state)
            self.best = best
            if best is None and state["meta"]["best"] is not None:
                lost = "The best weights so far are lost; the next evaluation sets new ones."
                runner.call_hook("on_note", sentence=lost)
            runner.call_hook("after_resume", best=self.best)
            return
        runner.call_hook("before_start")
        if self.pretrained is not None:
            self._load_pretrained(runner)
        self._first = copy.deepcopy(self._state(runner))  # training changes the tensors

    def _find(self, folder: Path) -> tuple[dict | None, dict | None, list[str]]:
        """Return the state to resume from, the metrics of the best weights, and user messages."""
        state, notes = read_newest(folder)
        if state is None:
            return None, None, notes
        # This check comes before changing any file that may belong to another run.
        refuse_other_model(folder / LATEST, state["meta"]["identity"], self.identity)
        best, more = read_best(folder, self.identity)
        return state, best, [*notes, *more]

    def _load_pretrained(self, runner) -> None:
        model = unwrapped(runner.model)
        if is_sharded(model):
            # The weights are loaded into a full model; each process then keeps its shard.
            model = MODELS.build(runner.cfg.model)
            model.load_state_dict(processes.broadcast(weights_of(runner.model)))
        report = load_pretrained(model, self.pretrained, self.head_rows)
        if is_sharded(runner.model):
            load_weights(runner.model, model.state_dict())
        runner.call_hook("on_note", sentence=report.sentence())

    # ---- saving ----

    def save_state(self, runner) -> None:
        """Write latest.pth if the state has changed; a failed write does not end training."""
        writes = processes.current().is_main
        if self._saved_at == _progress(runner) or not (writes or is_sharded(runner.model)):
            return
        with self.clock.counting(checkpoint=True):
            state = self._state(runner)
            # The best weights are written first: resuming from a newer checkpoint would lose them.
            if not writes or (self._write_best(runner) and self._write_latest(runner, state)):
                self._saved_at, self._first = _progress(runner), None

    def is_saved(self, runner) -> bool:
        """Return whether latest.pth contains the current state."""
        return not processes.current().is_main or self._saved_at == _progress(runner)

    @property
    def best_is_written(self) -> bool:
        """Whether the best weights have been written to disk."""
        return self._unsaved_best is None

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Save the weights as the best weights if the evaluation is the best so far."""
        if metrics and is_better(metrics, self.best):
            self.keep_best(runner, metrics)

    def keep_best(self, runner, metrics: dict[str, float]) -> None:
        """Save the model's current weights as the best weights."""
        self.best = {**metrics, "epoch": runner.train_loop.epoch}
        meta = {"metrics": self.best, "identity": self.identity}
        if self.record is not None:
            meta[RECORD_KEY] = model_record(self.record)
        with self.clock.counting():
            weights = weights_of(runner.model)
            if not processes.current().is_main:
                return
            self._unsaved_best = {"schema": SCHEMA, "state_dict": weights, "meta": meta}
            if not self._write_best(runner):
                waiting = {name: weight.detach().clone() for name, weight in weights.items()}
                self._unsaved_best["state_dict"] = waiting

    def _write_best(self, runner) -> bool:
        """Write unsaved best weights to disk; return whether the best weights are now saved."""
        if self._unsaved_best is not None:
            try:
                write_best(Path(runner.work_dir), self._unsaved_best)
                self._unsaved_best = None
            except ResourceError as error:
                sentence = f"{error} Training continues with the best weights in memory. Free "
                runner.call_hook("on_trouble", sentence=f"{sentence}some disk space for them.")
        return self._unsaved_best is None

    def _write_latest(self, runner, state: dict[str, Any]) -> bool:
        try:
            write_checkpoint(Path(runner.work_dir, LATEST), state, keep=PREVIOUS)
        except ResourceError as error:
            still = (
                "The previous checkpoint is intact" if self._saved_at else "No checkpoint exists"
            )
            sentence = (
                f"{error} {still}; training continues. Free some disk space for the next one."
            )
            runner.call_hook("on_trouble", sentence=sentence)
            return False
        return True

    # ---- rolling back ----

    def roll_back(self, runner) -> None:
        """Roll back to a good checkpoint and lower the learning rate.

        Raises:
            NumbersError: training has already been rolled back three times.
        """
        loop = runner.train_loop
        at, self.rollbacks = loop.iter, self.rollbacks + 1
        if self.rollbacks > MOST_ROLLBACKS:
            raise NumbersError(
                f"Training stopped at step {at}: the loss or gradients are still not finite after "
                f"lowering the learning rate {MOST_ROLLBACKS} times. Set a lower `lr` or "
                "`precision: float32`, and run with --fresh. Inspect the clips with `autox-video "
                "check`. The best weights so far are kept."
            )
        # If training fails again soon after a rollback, the newest checkpoint may already be bad.
        older = self.rollbacks > 1 and at <= self._rolled_back_at + loop.steps_in_epoch
        folder = Path(runner.work_dir)
        state, notes = processes.run_on_rank_zero(lambda: self._good_state(folder, older=older))
        for note in notes:
            runner.call_hook("on_note", sentence=note)
        self._rolled_back_at = at
        state["meta"]["rollbacks"] = self.rollbacks
        self._resume(runner, state)
        sentence = (
            f"The loss or gradients were not finite for several steps before step {at + 1}: rolled "
            f"back to step {loop.iter}, with {LOWER_LR**self.rollbacks:g} of the learning rate."
        )
        runner.call_hook("after_roll_back", sentence=sentence)
        self._saved_at = None
        self.save_state(runner)

    def _good_state(self, folder: Path, *, older: bool) -> tuple[dict[str, Any], list[str]]:
        if older:
            with suppress(CheckpointError):  # previous.pth is missing or damaged
                return read_checkpoint(folder / PREVIOUS), []
        state, notes = read_newest(folder)
        if state is None and self._first is None:
            raise CheckpointError(f"{folder}: there is no checkpoint to roll back to.")
        return state or self._first, notes

    # ---- the state of a run ----

    def _state(self, runner) -> dict[str, Any]:
        loop = runner.train_loop
        return {
            "schema": SCHEMA,
            "state_dict": weights_of(runner.model),
            "optimizer": optimizer_state(runner.model, runner.optim_wrapper),
            "hooks": {name: hook.state_dict() for name, hook in _stateful_hooks(runner).items()},
            "meta": {
                "epoch": loop.epoch,
                "iter": loop.iter,
                "evaluated_epoch": loop.evaluated_epoch,
                "taken": loop.taken,
                "best": self.best,
                "rollbacks": self.rollbacks,
                "identity": self.identity,
                RECORD_KEY: self.record,
            },
        }

    def _resume(self, runner, state: dict[str, Any]) -> None:
        meta, loop = state["meta"], runner.train_loop
        try:
            load_weights(runner.model, state["state_dict"])
        except RuntimeError as error:
            raise CheckpointError(
                f"{Path(runner.work_dir, LATEST)}: the weights belong to a different model, or to "
                "another version of it. Start a new run with --fresh, which moves the old run "
                "aside."
            ) from error
        load_optimizer_state(runner.model, runner.optim_wrapper, state["optimizer"])
        loop.resume_at(meta["epoch"], meta["taken"], evaluated_epoch=meta["evaluated_epoch"])
        self.rollbacks = meta["rollbacks"]
        for schedule in runner.param_schedulers:
            schedule.go_to(loop.iter, scale=LOWER_LR**self.rollbacks)
        runner.optim_wrapper.initialize_count_status(runner.model, loop.iter, loop.max_iters)
        for name, hook in _stateful_hooks(runner).items():
            if name in state["hooks"]:
                hook.load_state_dict(state["hooks"][name])
        self._saved_at = _progress(runner)


def checkpoint_hook_of(runner) -> ClipCheckpointHook:
    """Return the checkpoint hook that is registered in a runner."""
    return next(hook for hook in runner.hooks if isinstance(hook, ClipCheckpointHook))


def is_better(metrics: dict[str, float], best: dict[str, float] | None) -> bool:
    """Return whether an evaluation has a higher selection score than the best one so far.

    An evaluation with a non-finite score is never better. If the best evaluation so far lacks the
    main score of the new evaluation, the new evaluation is always better.
    """
    score = selection_score(metrics)
    if score == -math.inf:
        return False
    return not best or main_score(metrics) not in best or score > selection_score(best)


def _progress(runner) -> tuple[int, int, int]:
    loop = runner.train_loop
    return loop.epoch, loop.iter, loop.evaluated_epoch


def _stateful_hooks(runner) -> dict[str, Hook]:
    return {type(h).__name__: h for h in runner.hooks if hasattr(h, "load_state_dict")}
