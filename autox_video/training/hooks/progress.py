"""Reports of a training run: metrics.jsonl, train.log and the progress shown to the user."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from autox_video.core.console import Activity, complain, is_quiet, printable, say, say_detail
from autox_video.core.durations import duration
from autox_video.distributed import processes
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import (
    main_score,
    score_label,
    second_score,
    selection_score,
)
from autox_video.training.hooks.metrics_file import MetricsFile

SUMMARIES_PER_EPOCH = 4
LEAST_SECONDS_BETWEEN_LINES = 5.0
"""Minimum time between two lines in train.log within an epoch, and between two readings of the
loss, since each reading waits for the GPU."""
SLOW_LOADING_SHARE = 0.2
"""Minimum share of time spent waiting for data that is reported to the user."""


@HOOKS.register_module()
class Progress(Hook):
    """Write summaries and evaluations to metrics.jsonl, and show the progress.

    A summary covers the steps since the previous summary. Each summary contains the mean loss and
    training accuracy, the learning rate of the head, the clips per second, and the share of time
    spent waiting for data.

    Args:
        quiet: whether to show only progress and problems and just log other messages (for side
            runs).
    """

    priority = "LOW"

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.window = Window()
        self.best: dict[str, float] = {}
        self.unreadable: set[str] = set()
        self.activity: Activity | None = None
        self.figures = self.prefix = ""
        self.resumed, self.is_first = False, True
        self.last_line = self.last_look = -math.inf

    def before_run(self, runner) -> None:
        self.log, self.file = runner.logger, MetricsFile(runner.work_dir)

    def before_train(self, runner) -> None:
        loop = runner.train_loop
        if self.quiet:
            folder = Path(runner.work_dir)
            self.prefix = f"{folder.parent.name}/{folder.name}: "
        text = f"{self.prefix}starting to train"
        self.activity = Activity(text, loop.max_iters, tells_time=False)
        self.every = max(1, loop.steps_in_epoch // SUMMARIES_PER_EPOCH)
        self._start_clock(loop)
        self.start_iter = loop.iter

    def before_train_epoch(self, runner) -> None:
        """Tell the user from which epoch and step a resumed run continues."""
        if self.resumed:
            loop, self.resumed = runner.train_loop, False
            steps = loop.iter - loop.epoch * loop.steps_in_epoch
            within = f", step {steps} of the next" if steps else ""
            self._tell(f"Resuming after epoch {loop.epoch} of {loop.max_epochs}{within}.")

    def before_start(self, runner) -> None:
        """Delete the metrics of a run that was killed before its first checkpoint."""
        self.file.path.unlink(missing_ok=True)

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Remove the events of steps that the resumed run will repeat."""
        self._go_back(runner.train_loop)
        self.start_iter = runner.train_loop.iter
        self.best, self.resumed = best or {}, True

    def after_roll_back(self, runner, sentence: str) -> None:
        """Tell the user why training was rolled back; remove the events of steps to be repeated."""
        self._go_back(runner.train_loop)
        self._tell(sentence, complain)

    def after_train(self, runner) -> None:
        """Write the time spent on training and saving, if this process has trained at all."""
        loop = runner.train_loop
        if self.resumed:
            self._tell(f"Training was already finished after {loop.epoch} epochs.")
        if loop.iter != self.start_iter:
            saving_sec = loop.checkpoint_hook.clock.spent_sec
            times = {"training_sec": loop.training_sec, "saving_sec": saving_sec}
            self._write({"event": "end", "epoch": loop.epoch, "iter": loop.iter, **times})

    def state_dict(self) -> dict[str, Any]:
        """Return the step outputs since the last summary, and the events not yet written."""
        return {"outputs": self.window.figures(), "waiting": list(self.file.waiting)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the unfinished summary of the interrupted run."""
        self.window = Window(state["outputs"])
        self.file.waiting = list(state["waiting"])

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Count the time since the last step as time spent waiting for data."""
        self.window.data_arrived()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Show the progress, and write a summary at the end of each window of steps."""
        loop, step, now = runner.train_loop, batch_idx + 1, time.perf_counter()
        self.window.step_done(len(data_batch["inputs"]) * processes.current().size, outputs)
        last = step == loop.steps_in_epoch
        is_full = last or step % self.every == 0
        if is_full or now - self.last_look >= LEAST_SECONDS_BETWEEN_LINES:
            self.last_look = now
            event = self._summary(runner, step)
            self.figures = describe(event, self._left_sec(loop))
        epochs = max(loop.told_epochs or loop.max_epochs, loop.epoch + 1)
        line = f"epoch {loop.epoch + 1}/{epochs}, step {step}/{loop.steps_in_epoch}{self.figures}"
        if self.activity:
            self.activity.show(f"{self.prefix}{line}", loop.iter + 1)
        if not is_full:
            return
        self._write(event)
        self.window = Window()
        if last or now - self.last_line >= LEAST_SECONDS_BETWEEN_LINES:
            self.last_line = now
            self._log_line(line)

    def _log_line(self, line: str) -> None:
        """Log a progress line; without a terminal, also show the first line to the user."""
        if self.quiet:
            self.log.info(line)
        elif self.is_first and self.activity and not self.activity.is_live:
            say(line)
        else:
            say_detail(line)
        self.is_first = False

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.activity:
            batches, epoch = len(runner.val_loop.dataloader), runner.train_loop.epoch
            at = f"epoch {epoch}: evaluating, batch {batch_idx + 1} of {batches}"
            self.activity.show(f"{self.prefix}{at}")

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        epoch = runner.train_loop.epoch
        at = {"epoch": epoch, "iter": runner.train_loop.iter}
        self._write({"event": "val", **at, **(metrics or {})})
        key = main_score(metrics)
        if key is None:
            self._tell(f"epoch {epoch}: no validation clip could be read.", complain)
            return
        is_better = key not in self.best or metrics[key] > self.best[key]
        if key not in self.best or selection_score(metrics) > selection_score(self.best):
            self.best = metrics
        name, clips, beside = score_label(key), metrics["clips"], ""
        second = second_score(metrics)
        # With five classes or fewer, top-5 is always 1.
        if second and (second != "top5" or len(runner.cfg.get("classes", ())) > 5):
            beside = f"{score_label(second)} {score_text(metrics[second], clips)}, "
        # Evaluations can be frequent, so only new best ones and the last one are shown.
        is_last = epoch >= runner.train_loop.max_epochs
        self._tell(
            f"epoch {epoch}: validation {name} {score_text(metrics[key], clips)}, {beside}"
            f"loss {metrics['loss']:.4f} on {clips} clips (best {name} "
            f"{score_text(self.best[key], clips)})",
            say if is_better or is_last or is_quiet() else say_detail,
        )

    def on_note(self, runner, sentence: str) -> None:
        """Show a message from another hook."""
        self._tell(sentence)

    def on_trouble(self, runner, sentence: str) -> None:
        """Show a warning from another hook."""
        self._tell(sentence, complain)

    def on_unreadable(self, runner, clips) -> None:
        """Tell the user about each unreadable clip once."""
        for clip in clips:
            if clip.video not in self.unreadable:
                self.unreadable.add(clip.video)
                self._tell(f"Skipped: {clip.error}", complain)

    def close(self, runner) -> None:
        """Close the progress display, even if the run has failed."""
        if self.activity:
            self.activity.close()
            self.activity = None

    def _go_back(self, loop) -> None:
        self.file.drop_after(iteration=loop.iter, evaluated_epoch=loop.evaluated_epoch)
        self._start_clock(loop)

    def _start_clock(self, loop) -> None:
        self.first_iter, self.first_time = loop.iter, time.perf_counter()

    def _write(self, event: dict[str, Any]) -> None:
        if trouble := self.file.append(event):
            self._tell(trouble, complain)

    def _summary(self, runner, step: int) -> dict[str, Any]:
        """Return an event with the metrics of all steps since the last summary."""
        return {
            "event": "train",
            "epoch": runner.train_loop.epoch + 1,
            "step": step,
            "iter": runner.train_loop.iter + 1,
            "lr": runner.optim_wrapper.optimizer.param_groups[-1]["lr"],
            **self.window.summary(),
        }

    def _left_sec(self, loop) -> float:
        """Return the remaining training time, based on the mean speed of this process."""
        done = loop.iter + 1
        per_step_sec = (time.perf_counter() - self.first_time) / (done - self.first_iter)
        return per_step_sec * (loop.max_iters - done)

    def _tell(self, sentence: str, how: Callable[[str], None] = say) -> None:
        if self.quiet:
            self.log.log(logging.WARNING if how is complain else logging.INFO, printable(sentence))
        if not self.quiet or how is complain:
            how(sentence)


class Window:
    """Metrics over a sequence of consecutive training steps.

    Args:
        outputs: step outputs from before an interruption, if the run was resumed.
    """

    def __init__(self, outputs: Sequence[Mapping[str, float]] = ()) -> None:
        self.started = self.mark = time.perf_counter()
        self.waited_sec = 0.0
        self.clips = 0
        self.outputs = [{k: torch.tensor(v) for k, v in output.items()} for output in outputs]

    def data_arrived(self) -> None:
        """Count the time since the last step as time spent waiting for data."""
        self.waited_sec += time.perf_counter() - self.mark

    def step_done(self, clips: int, outputs: Mapping[str, Tensor]) -> None:
        """Add a step with `clips` clips, leaving the outputs on the device until the summary."""
        self.clips += clips
        self.outputs.append({k: outputs[k].detach() for k in ("loss", "top1_acc") if k in outputs})
        self.mark = time.perf_counter()

    def figures(self) -> list[dict[str, float]]:
        """Return the step outputs as plain numbers, which requires waiting for the GPU."""
        return [{k: float(v) for k, v in output.items()} for output in self.outputs]

    def summary(self) -> dict[str, float | None]:
        """Return mean loss and accuracy, clips per second, and share of time waiting for data."""
        elapsed_sec = time.perf_counter() - self.started
        figures = self.figures()
        means = {k: float(torch.tensor([f[k] for f in figures]).mean()) for k in figures[0]}
        return {
            "loss": means["loss"],
            "top1": means.get("top1_acc"),
            "clips_per_sec": self.clips / elapsed_sec,
            "data_wait": self.waited_sec / elapsed_sec,
        }


def describe(event: dict[str, Any], left_sec: float) -> str:
    """Return the last part of a progress line, with the remaining time and summary metrics."""
    waits = event["data_wait"] >= SLOW_LOADING_SHARE
    return (
        f", {duration(left_sec)} left, loss {event['loss']:.3f}, "
        f"{event['clips_per_sec']:.3g} clips/s"
        + (f", data wait {event['data_wait']:.0%}" if waits else "")
    )
