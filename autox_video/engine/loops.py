"""Training and validation over clips, some of which may turn out unreadable.

Beyond mmengine's loops: a run goes on from the middle of an epoch, evaluates after the last epoch
too, and asks the hooks to `save_state` at every point from which it can go on.
"""

import autox_video.mm_compat  # noqa: F401

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, ValLoop

from autox_video.engine.interrupt import stop_if_requested, stop_requested


@LOOPS.register_module()
class ClipTrainLoop(EpochBasedTrainLoop):
    """Train for `max_epochs`; evaluate every `val_interval` epochs and after the last.

    `evaluated_epoch` is the number of epochs done at the last evaluation.
    """

    evaluated_epoch = 0

    def resume_at(self, epoch: int, iteration: int, evaluated_epoch: int) -> None:
        """Set the counters as they stood when a checkpoint was written."""
        self._epoch, self._iter, self.evaluated_epoch = epoch, iteration, evaluated_epoch

    def run(self):
        """Train and evaluate; gives the trained model."""
        self.runner.call_hook("before_train")
        self._evaluate_if_due()
        while self._epoch < self._max_epochs:
            self.run_epoch()
            self.runner.call_hook("save_state")
            stop_if_requested()
            self._evaluate_if_due()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on what is left of the current epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        sampler = self.dataloader.sampler
        sampler.set_epoch(self._epoch)
        sampler.skip_first(done * self.dataloader.batch_size)
        for step, batch in enumerate(self.dataloader, start=done):
            self.run_iter(step, batch)
            if stop_requested():
                self.runner.call_hook("save_state")
                stop_if_requested()
        sampler.skip_first(0)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Train on one batch; without any readable clip it is a step that changes nothing."""
        _report_unreadable(self.runner, data_batch)
        if len(data_batch["inputs"]):
            super().run_iter(idx, data_batch)
        else:
            self._iter += 1

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

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Evaluate one batch."""
        stop_if_requested()
        _report_unreadable(self.runner, data_batch)
        if len(data_batch["inputs"]):
            super().run_iter(idx, data_batch)


def _report_unreadable(runner, data_batch: dict) -> None:
    clips = data_batch.pop("unreadable")
    if clips:
        runner.call_hook("on_unreadable", clips=clips)
