"""Training and validation over clips, some of which may turn out unreadable.

Beyond mmengine's loops: a run goes on from the middle of an epoch, evaluates after the last epoch
too, and asks the hooks to `save_state` at every point from which it can go on.
"""

import autox_video.mm_compat  # noqa: F401

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, ValLoop

from autox_video.dataset.clips import ClipBatches, build_batches
from autox_video.engine.interrupt import stop_if_requested, stop_requested
from autox_video.errors import ListingError


@LOOPS.register_module()
class ClipTrainLoop(EpochBasedTrainLoop):
    """Train for `max_epochs`; evaluate every `val_interval` epochs and after the last.

    `evaluated_epoch` is the number of epochs done at the last evaluation, `taken` the number of
    places of the current epoch's order that have been used.

    Args:
        runner: mmengine's.
        dataloader: config of ClipBatches.
        max_epochs: epochs in all.
        val_interval: epochs between two evaluations.
        max_bad: greatest share of the clips that may turn out unreadable before the run stops.
    """

    evaluated_epoch = 0
    taken = 0

    def __init__(
        self,
        runner,
        dataloader: dict,
        max_epochs: int,
        *,
        val_interval: int = 1,
        max_bad: float = 1.0,
    ) -> None:
        super().__init__(runner, _built(dataloader), max_epochs, val_interval=val_interval)
        self.max_bad = max_bad

    def resume_at(self, epoch: int, iteration: int, *, evaluated_epoch: int, taken: int) -> None:
        """Set the counters as they stood when a checkpoint was written."""
        self._epoch, self._iter = epoch, iteration
        self.evaluated_epoch, self.taken = evaluated_epoch, taken

    def run(self):
        """Train and evaluate; gives the trained model."""
        self.runner.call_hook("before_train")
        try:
            self._evaluate_if_due()
            while self._epoch < self._max_epochs:
                self.run_epoch()
                self.runner.call_hook("save_state")
                stop_if_requested()
                self._evaluate_if_due()
        finally:
            self.dataloader.close()
            if self.runner.val_loop is not None:
                self.runner.val_loop.dataloader.close()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on what is left of the current epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        batches = self.dataloader.epoch(self._epoch, skip=self.taken, done=done)
        for step, batch in enumerate(batches, start=done):
            self.taken = batch.pop("taken")
            self.run_iter(step, batch)
            if stop_requested():
                self.runner.call_hook("save_state")
                stop_if_requested()
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self._iter = self._epoch * len(self.dataloader)
        self.taken = 0

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Train on one batch."""
        _report_unreadable(self.runner, data_batch)
        self._refuse_too_many_bad()
        if len(data_batch["inputs"]):
            super().run_iter(idx, data_batch)

    def _refuse_too_many_bad(self) -> None:
        bad, clips = len(self.dataloader.broken), len(self.dataloader.dataset)
        if bad == clips or bad > max(1.0, self.max_bad * clips):
            raise ListingError(
                f"max_bad: {bad} of {clips} training clips could be read before training and "
                f"cannot be read now, more than {self.max_bad:.0%}; the reasons are above. Is the "
                "disk still there? Run the same command again to go on from the last checkpoint."
            )

    def _evaluate_if_due(self) -> None:
        last = self._epoch == self._max_epochs
        due = self._epoch > 0 and (last or self._epoch % self.val_interval == 0)
        if self.runner.val_loop is None or not due or self.evaluated_epoch == self._epoch:
            return
        self.runner.val_loop.run()
        self.evaluated_epoch = self._epoch
        self.runner.call_hook("save_state")


@LOOPS.register_module()
class ClipValLoop(ValLoop):
    """Evaluate on the validation clips; those that cannot be read do not count."""

    def __init__(self, runner, dataloader: dict, evaluator) -> None:
        super().__init__(runner, _built(dataloader), evaluator)

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Evaluate one batch."""
        stop_if_requested()
        data_batch.pop("taken")
        _report_unreadable(self.runner, data_batch)
        if len(data_batch["inputs"]):
            super().run_iter(idx, data_batch)


def _built(dataloader: dict | ClipBatches) -> ClipBatches:
    return dataloader if isinstance(dataloader, ClipBatches) else build_batches(dataloader)


def _report_unreadable(runner, data_batch: dict) -> None:
    clips = data_batch.pop("unreadable")
    if clips:
        runner.call_hook("on_unreadable", clips=clips)
