"""What a training run tells: metrics.jsonl for machines, a live board or plain lines for people."""

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from autox_video.core.console import SILENCE_SEC, complain, is_quiet, printable, say
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
        self.best: dict[str, float] = {}
        self.unreadable: set[str] = set()
        self.board: Board | None = None
        self.resumed = False
        self.last_line = -math.inf

    def before_run(self, runner) -> None:
        self.log, self.file = runner.logger, MetricsFile(runner.work_dir)

    def before_train(self, runner) -> None:
        loop = runner.train_loop
        self.board = Board(loop.max_iters) if sys.stdout.isatty() and not self.quiet else None
        self.every = max(1, loop.steps_in_epoch // SUMMARIES_PER_EPOCH)
        self._start_clock(loop)
        self.start_iter = loop.iter

    def before_train_epoch(self, runner) -> None:
        """Say where the run is resumed: here it is known that there is something left of it."""
        if self.resumed:
            loop, self.resumed = runner.train_loop, False
            steps = loop.iter - loop.epoch * loop.steps_in_epoch
            within = f", {steps} steps into the next" if steps else ""
            self._tell(f"Going on after epoch {loop.epoch} of {loop.max_epochs}{within}.")

    def before_start(self, runner) -> None:
        """Drop the lines of a run that was killed before its first checkpoint."""
        self.file.path.unlink(missing_ok=True)

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Drop the lines of what will be done again."""
        self._go_back(runner.train_loop)
        self.start_iter = runner.train_loop.iter
        self.best, self.resumed = best or {}, True

    def after_roll_back(self, runner, sentence: str) -> None:
        """Say why the run goes back, and drop the lines of what will be done again."""
        self._go_back(runner.train_loop)
        self._tell(sentence, complain)

    def after_train(self, runner) -> None:
        """Write down how long the training took, if there was any, and the saving in it."""
        loop = runner.train_loop
        if self.resumed:
            self._tell(f"The training was over before, after {loop.epoch} epochs.")
        if loop.iter != self.start_iter:
            saving_sec = loop.checkpoint_hook.clock.spent_sec
            times = {"training_sec": loop.training_sec, "saving_sec": saving_sec}
            self._write({"event": "end", "epoch": loop.epoch, "iter": loop.iter, **times})

    def state_dict(self) -> dict[str, Any]:
        """What the steps since the last summary gave, and lines that are not written yet."""
        return {"outputs": self.window.figures(), "waiting": list(self.file.waiting)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a summary that was begun before a stop."""
        self.window = Window(state["outputs"])
        self.file.waiting = list(state["waiting"])

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """The batch has arrived: what passed since the last step was waiting."""
        self.window.data_arrived()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count the step; report where a window is full, or nothing was said for long."""
        loop, step = runner.train_loop, batch_idx + 1
        self.window.step_done(len(data_batch["inputs"]) * processes.current().size, outputs)
        last = step == loop.steps_in_epoch
        is_full, is_silent = last or step % self.every == 0, self._is_silent()
        line = None
        if is_full or is_silent:
            event = self._summary(runner, step)
            line = self._line(loop, event)
        if self.board:
            self.board.advance(loop.iter + 1, line)
        since_sec = time.perf_counter() - self.last_line
        tells = last or (is_full and since_sec >= LEAST_SECONDS_BETWEEN_LINES)
        if is_full:
            self._write(event)
            self.window = Window()
        if tells:
            self.last_line = time.perf_counter()
            self.log.info(printable(line))
        if is_silent or (tells and not (self.board or self.quiet)):
            say(line)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self._is_silent():
            batches = len(runner.val_loop.dataloader)
            say(f"epoch {runner.train_loop.epoch}: evaluating, batch {batch_idx + 1} of {batches}.")

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        epoch = runner.train_loop.epoch
        at = {"epoch": epoch, "iter": runner.train_loop.iter}
        self._write({"event": "val", **at, **(metrics or {})})
        key = main_score(metrics)
        if key is None:
            self._tell(f"epoch {epoch}: no validation clip could be read.")
            return
        if key not in self.best or selection_score(metrics) > selection_score(self.best):
            self.best = metrics
        name, clips, beside = score_label(key), metrics["clips"], ""
        second = second_score(metrics)
        # Of five classes each is among the first five.
        if second and (second != "top5" or len(runner.cfg.get("classes", ())) > 5):
            beside = f"{score_label(second)} {score_text(metrics[second], clips)}, "
        self._tell(
            f"epoch {epoch}: validation {name} {score_text(metrics[key], clips)}, {beside}"
            f"loss {metrics['loss']:.4f} on {clips} clips (best {name} "
            f"{score_text(self.best[key], clips)})"
        )

    def on_note(self, runner, sentence: str) -> None:
        """Show a sentence from elsewhere in the training."""
        self._tell(sentence)

    def on_trouble(self, runner, sentence: str) -> None:
        """Show a sentence about something that went wrong and is being dealt with."""
        self._tell(sentence, complain)

    def on_unreadable(self, runner, clips) -> None:
        """Name each clip that failed, once."""
        for clip in clips:
            if clip.video not in self.unreadable:
                self.unreadable.add(clip.video)
                self._tell(f"Left out: {clip.error}", complain)

    def close(self, runner) -> None:
        """Close the display, however the run ended."""
        if self.board:
            self.board.close()
            self.board = None

    def _go_back(self, loop) -> None:
        self.file.drop_after(iteration=loop.iter, evaluated_epoch=loop.evaluated_epoch)
        self._start_clock(loop)

    def _start_clock(self, loop) -> None:
        self.first_iter, self.first_time = loop.iter, time.perf_counter()

    def _write(self, event: dict[str, Any]) -> None:
        if trouble := self.file.append(event):
            self._tell(trouble, complain)

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

    def _line(self, loop, event: dict[str, Any]) -> str:
        """Those figures, and how much is left, in words."""
        per_step = (time.perf_counter() - self.first_time) / (event["iter"] - self.first_iter)
        epochs = max(loop.told_epochs or loop.max_epochs, event["epoch"])
        left_sec = per_step * (loop.max_iters - event["iter"])
        line = describe(event, epochs, loop.steps_in_epoch, left_sec)
        return f"{line}, best {self.best[main_score(self.best)]:.3f}" if self.best else line

    def _is_silent(self) -> bool:
        """Whether the user has seen nothing for long."""
        return self.board is None and is_quiet(QUIET_SEC if self.quiet else SILENCE_SEC)

    def _tell(self, sentence: str, how: Callable[[str], None] = say) -> None:
        self.log.log(logging.INFO if how is say else logging.WARNING, printable(sentence))
        if not (self.quiet and how is say):
            self.board.tell(sentence) if self.board else how(sentence)


class Window:
    """Figures over a stretch of training steps, `outputs` of which were before a stop."""

    def __init__(self, outputs: Sequence[Mapping[str, float]] = ()) -> None:
        self.started = self.mark = time.perf_counter()
        self.waited_sec = 0.0
        self.clips = 0
        self.outputs = [{k: torch.tensor(v) for k, v in output.items()} for output in outputs]

    def data_arrived(self) -> None:
        """A batch came after waiting since the last step."""
        self.waited_sec += time.perf_counter() - self.mark

    def step_done(self, clips: int, outputs: Mapping[str, Tensor]) -> None:
        """A step on `clips` clips ended; its outputs stay on the device until the summary."""
        self.clips += clips
        self.outputs.append({k: outputs[k].detach() for k in ("loss", "top1_acc") if k in outputs})
        self.mark = time.perf_counter()

    def figures(self) -> list[dict[str, float]]:
        """What the steps gave; this is where a GPU is waited for."""
        return [{k: float(v) for k, v in output.items()} for output in self.outputs]

    def summary(self) -> dict[str, float | None]:
        """Mean loss and top-1 over the steps, clips/s, and the share of time spent waiting."""
        elapsed_sec = time.perf_counter() - self.started
        figures = self.figures()
        means = {k: float(torch.tensor([f[k] for f in figures]).mean()) for k in figures[0]}
        return {
            "loss": means["loss"],
            "top1": means.get("top1_acc"),
            "clips_per_sec": self.clips / elapsed_sec,
            "data_wait": self.waited_sec / elapsed_sec,
        }


def describe(event: dict[str, Any], epochs: int, steps: int, left_sec: float) -> str:
    """A summary event as a line for people."""
    return (
        f"epoch {event['epoch']}/{epochs} step {event['step']}/{steps}: loss {event['loss']:.4f}, "
        f"lr {event['lr']:.2e}, {event['clips_per_sec']:.1f} clips/s, "
        f"data wait {event['data_wait']:.0%}, {duration(left_sec)} left"
    )


class Board:
    """The live display on a terminal: one bar over the whole run, and a line of figures."""

    def __init__(self, max_iters: int) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns, refresh_per_second=4)
        self.task = self.bar.add_task("starting", total=max_iters)
        self.bar.start()

    def advance(self, iteration: int, line: str | None = None) -> None:
        """Move the bar to `iteration` steps done, and change the line of figures."""
        self.bar.update(self.task, completed=iteration, description=line)

    def tell(self, sentence: str) -> None:
        from rich.markup import escape

        self.bar.console.print(escape(printable(sentence)), highlight=False)

    def close(self) -> None:
        self.bar.stop()
