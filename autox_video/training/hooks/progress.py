"""What a training run tells: metrics.jsonl for machines, a live board or plain lines for people."""

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.core.console import SILENCE_SEC, complain, is_quiet, printable, say
from autox_video.core.durations import duration
from autox_video.core.errors import ResourceError
from autox_video.core.files import append_json_line, write_text
from autox_video.distributed import processes
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score, score_label, selection_score
from autox_video.run.work_dir import METRICS
from autox_video.training.hooks.board import Board

SECOND_SCORES: Mapping[str, tuple[str, str]] = {
    "mAP": ("f1", "F1"),
    "balanced_accuracy": ("top1", "top-1"),
    "top1": ("top5", "top-5"),
}
"""What is told beside a main score, and its name."""
SUMMARIES_PER_EPOCH = 4
LEAST_SECONDS_BETWEEN_LINES = 5.0
QUIET_SEC = 2 * SILENCE_SEC
"""After which a run that is to be quiet says how far it is: it may take minutes."""


@HOOKS.register_module()
class Progress(Hook):
    """Report training: a line in metrics.jsonl per summary and evaluation, and the user's display.

    A summary covers the steps since the last one: mean loss and training accuracy, the head's
    learning rate, clips per second, and the share of the time spent waiting for data. What the user
    is told is in the run's log too, with the time of day.

    Args:
        quiet: whether the user sees nothing but what went wrong, and now and then how far it is.
    """

    priority = "LOW"

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.window = Window()
        self.first_iter = 0
        self.first_time = time.perf_counter()
        self.best: float | None = None
        """The main score of the evaluation that has been the best."""
        self.best_selection_score = -math.inf
        self.unreadable: dict[str, str] = {}
        self.board: Board | None = None
        self.waiting: list[dict[str, Any]] = []
        self.log: logging.Logger | None = None
        self.resumed = False

    def before_run(self, runner) -> None:
        """Write to the run's log from here on."""
        self.log = runner.logger

    def before_train(self, runner) -> None:
        """Open the display and start the clock."""
        loop = runner.train_loop
        self.board = Board(loop.max_iters) if sys.stdout.isatty() and not self.quiet else None
        self.every = max(1, len(loop.dataloader) // SUMMARIES_PER_EPOCH)
        self._start_clock(loop.iter)
        self.start_iter = loop.iter

    def before_train_epoch(self, runner) -> None:
        """Say where the run goes on: here it is known that there is something left of it."""
        if self.resumed:
            loop, self.resumed = runner.train_loop, False
            steps = loop.iter - loop.epoch * len(loop.dataloader)
            within = f", {steps} steps into the next" if steps else ""
            self._tell(f"Going on after epoch {loop.epoch} of {loop.max_epochs}{within}.")

    def before_start(self, runner) -> None:
        """Drop the lines of a run that was killed before its first checkpoint."""
        Path(runner.work_dir, METRICS).unlink(missing_ok=True)

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Drop the lines of what will be done again."""
        loop = runner.train_loop
        self._take_back(runner)
        self._start_clock(loop.iter)
        self.start_iter = loop.iter
        self.best, self.best_selection_score = (
            best and best[main_score(best)],
            selection_score(best),
        )
        self.resumed = True

    def after_roll_back(self, runner, sentence: str) -> None:
        """Say why the run goes back, and drop the lines of what will be done again."""
        self._take_back(runner)
        self._start_clock(runner.train_loop.iter)
        self._tell(sentence, complain)

    def after_train(self, runner) -> None:
        """Write down how long the training took, if there was any, and the saving in it."""
        loop = runner.train_loop
        if self.resumed:
            self._tell(f"The training was over before, after {loop.epoch} epochs.")
        if loop.iter == self.start_iter:
            return
        event = {
            "event": "end",
            "epoch": loop.epoch,
            "iter": loop.iter,
            "training_sec": loop.training_sec,
            "saving_sec": loop.keeper.clock.spent_sec,
        }
        self._write(runner, event)

    def state_dict(self) -> dict[str, Any]:
        """What the steps since the last summary gave, and lines that are not written yet."""
        return {
            "clips": self.window.clips,
            "outputs": self.window.figures(),
            "waiting": list(self.waiting),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a summary that was begun before a stop."""
        self.window = Window(state["clips"], state["outputs"])
        self.waiting = list(state["waiting"])

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """The batch has arrived: what passed since the last step was waiting."""
        self.window.data_arrived()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count the step; report when a window is full."""
        clips = len(data_batch["inputs"]) * processes.current().size
        self.window.step_done(clips, outputs)
        last = batch_idx + 1 == len(runner.train_loop.dataloader)
        if last or (batch_idx + 1) % self.every == 0:
            self._report_window(runner, batch_idx + 1)
        elif self.board:
            self.board.advance(runner.train_loop.iter + 1)
        elif self._is_waited_for():
            say(self._line(runner, batch_idx + 1))

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Say how far a long evaluation is."""
        if self.board is None and self._is_waited_for():
            batches = len(runner.val_loop.dataloader)
            say(f"epoch {runner.train_loop.epoch}: evaluating, batch {batch_idx + 1} of {batches}.")

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Report an evaluation."""
        epoch = runner.train_loop.epoch
        event = {"event": "val", "epoch": epoch, "iter": runner.train_loop.iter, **(metrics or {})}
        self._write(runner, event)
        key = main_score(metrics)
        if key is None:
            self._tell(f"epoch {epoch}: no validation clip could be read.")
            return
        if self.best is None or selection_score(metrics) > self.best_selection_score:
            self.best, self.best_selection_score = metrics[key], selection_score(metrics)
        name, clips = score_label(key), metrics["clips"]
        second, its_name = SECOND_SCORES[key]
        # Of five classes each is among the first five.
        told = second != "top5" or len(runner.cfg.get("classes", ())) > 5
        beside = f"{its_name} {score_text(metrics[second], clips)}, " if told else ""
        self._tell(
            f"epoch {epoch}: validation {name} {score_text(metrics[key], clips)}, {beside}"
            f"loss {metrics['loss']:.4f} on {clips} clips (best {name} "
            f"{score_text(self.best, clips)})"
        )

    def on_note(self, runner, sentence: str) -> None:
        """Show a sentence from elsewhere in the engine."""
        self._tell(sentence)

    def on_trouble(self, runner, sentence: str) -> None:
        """Show a sentence about something that went wrong and is being dealt with."""
        self._tell(sentence, complain)

    def on_unreadable(self, runner, clips) -> None:
        """Name each clip that failed, once."""
        for clip in clips:
            if clip.video not in self.unreadable:
                self.unreadable[clip.video] = clip.error
                self._tell(f"Left out: {clip.error}", complain)

    def close(self, runner) -> None:
        """Close the display, however the run ended."""
        if self.board:
            self.board.close()
            self.board = None

    def _take_back(self, runner) -> None:
        """Remove the lines of what will be done again; those that waited may be there by now."""
        loop, path = runner.train_loop, Path(runner.work_dir, METRICS)
        there = drop_events_after(path, iteration=loop.iter, evaluated_epoch=loop.evaluated_epoch)
        self.waiting = [event for event in self.waiting if event not in there]

    def _write(self, runner, event: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl; those for which there is no room wait for the next one."""
        self.waiting.append(_plain(event))
        try:
            while self.waiting:
                append_json_line(Path(runner.work_dir, METRICS), self.waiting[0])
                self.waiting.pop(0)
        except ResourceError as error:
            if len(self.waiting) == 1:
                self._tell(f"{error} Training goes on; its lines are written later.", complain)

    def _start_clock(self, iteration: int) -> None:
        self.first_iter, self.first_time = iteration, time.perf_counter()

    def _report_window(self, runner, step: int) -> None:
        event = self._summary(runner, step)
        self._write(runner, event)
        line = self._line(runner, step, event)
        self.window = Window()
        if self.board:
            self.board.advance(runner.train_loop.iter + 1, line)
        self._line_now_and_then(line, last=step == len(runner.train_loop.dataloader))

    def _summary(self, runner, step: int) -> dict[str, Any]:
        """The figures of the steps since the last summary."""
        return {
            "event": "train",
            "epoch": runner.train_loop.epoch + 1,
            "step": step,
            "iter": runner.train_loop.iter + 1,
            "lr": runner.optim_wrapper.optimizer.param_groups[-1]["lr"],
            **self.window.summary(),
        }

    def _line(self, runner, step: int, event: dict[str, Any] | None = None) -> str:
        """Those figures, and how much is left, in words."""
        loop = runner.train_loop
        per_step = (time.perf_counter() - self.first_time) / (loop.iter + 1 - self.first_iter)
        left_sec = per_step * (loop.max_iters - loop.iter - 1)
        event = event or self._summary(runner, step)
        epochs = max(loop.told_epochs or loop.max_epochs, loop.epoch + 1)
        return describe(event, epochs, len(loop.dataloader), left_sec) + self._best()

    def _line_now_and_then(self, line: str, *, last: bool) -> None:
        now = time.perf_counter()
        if last or now - getattr(self, "last_line", 0.0) >= LEAST_SECONDS_BETWEEN_LINES:
            self.last_line = now
            self._write_down(line)
            if not (self.board or self.quiet):
                say(line)
        if self.board is None and self._is_waited_for():
            say(line)

    def _is_waited_for(self) -> bool:
        """Whether the user has heard nothing for long."""
        return is_quiet(QUIET_SEC if self.quiet else SILENCE_SEC)

    def _write_down(self, line: str, level: int = logging.INFO) -> None:
        if self.log is not None:
            self.log.log(level, printable(line))

    def _best(self) -> str:
        return "" if self.best is None else f", best {self.best:.3f}"

    def _tell(self, sentence: str, how: Callable[[str], None] = say) -> None:
        self._write_down(sentence, logging.INFO if how is say else logging.WARNING)
        if not (self.quiet and how is say):
            self.board.tell(sentence) if self.board else how(sentence)


class Window:
    """Figures over a stretch of training steps."""

    def __init__(self, clips: int = 0, outputs: Sequence[Mapping[str, float]] = ()) -> None:
        self.started = self.mark = time.perf_counter()
        self.waited_sec = 0.0
        self.clips = clips
        self.clips_before = clips
        self.outputs: list[dict[str, torch.Tensor]] = [
            {key: torch.tensor(value) for key, value in output.items()} for output in outputs
        ]

    def data_arrived(self) -> None:
        """A batch came after waiting since the last step."""
        now = time.perf_counter()
        self.waited_sec += now - self.mark

    def step_done(self, clips: int, outputs: dict[str, torch.Tensor]) -> None:
        """A step on `clips` clips ended; its outputs stay on the device until the summary."""
        self.clips += clips
        self.outputs.append(
            {k: v.detach() for k, v in outputs.items() if k in ("loss", "top1_acc")}
        )
        self.mark = time.perf_counter()

    def figures(self) -> list[dict[str, float]]:
        """What the steps gave; this is where a GPU is waited for."""
        return [{k: float(v) for k, v in output.items()} for output in self.outputs]

    def summary(self) -> dict[str, float]:
        """Mean loss and top-1 over the steps, clips/s, and the share of time spent waiting."""
        elapsed_sec = time.perf_counter() - self.started
        figures = self.figures()
        means = {
            key: float(torch.tensor([output[key] for output in figures]).mean())
            for key in figures[0]
        }
        return {
            "loss": means["loss"],
            "top1": means.get("top1_acc"),
            "clips_per_sec": (self.clips - self.clips_before) / elapsed_sec,
            "data_wait": self.waited_sec / elapsed_sec,
        }


def describe(event: dict[str, Any], epochs: int, steps: int, left_sec: float) -> str:
    """A summary event as a line for people."""
    return (
        f"epoch {event['epoch']}/{epochs} step {event['step']}/{steps}: loss {event['loss']:.4f}, "
        f"lr {event['lr']:.2e}, {event['clips_per_sec']:.1f} clips/s, "
        f"data wait {event['data_wait']:.0%}, {duration(left_sec)} left"
    )


def drop_events_after(path: Path, *, iteration: int, evaluated_epoch: int) -> list[dict[str, Any]]:
    """Remove the events of later steps and evaluations, and lines that a crash tore.

    Gives the events that stay.
    """
    kept = []
    for event in map(_event, _lines(path) if path.exists() else ()):
        if event is None or event["event"] == "end" or event["iter"] > iteration:
            continue
        if event["event"] != "val" or event["epoch"] <= evaluated_epoch:
            kept.append(event)
    if path.exists():
        write_text(path, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept))
    return kept


def read_evaluations(work_dir: Path) -> list[dict[str, Any]]:
    """The evaluations in a work dir's metrics.jsonl, in order: epoch, iter and figures of each.

    Raises:
        ResourceError: the file cannot be read.
    """
    path = work_dir / METRICS
    events = map(_event, _lines(path) if path.is_file() else ())
    return [event for event in events if event is not None and event["event"] == "val"]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be read ({error.strerror}); move it away, and start again."
        ) from error


def _event(line: str) -> dict[str, Any] | None:
    """Read a line of metrics.jsonl; None where it is torn, or was not written here."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    counted = isinstance(event, dict) and all(
        isinstance(event.get(key), int) for key in ("epoch", "iter")
    )
    return event if counted and "event" in event else None


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: a figure that is none becomes null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in event.items()
    }
