"""The training and validation loops.

Unlike with mmengine's loops, a run can be resumed from any step and can use several processes. The
model is always evaluated after the last epoch, and training survives unreadable clips and
non-finite losses. The hook method `save_state` is called only at points from which a run can be
resumed.
"""

import time
from collections.abc import Callable, Sequence
from itertools import chain

import torch
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, ValLoop

from autox_video.core.errors import ListingError
from autox_video.data.loading.clip_dataset import build_batches
from autox_video.data.loading.loader import Unreadable
from autox_video.distributed import processes
from autox_video.training.checkpoints.checkpoint_hook import checkpoint_hook_of
from autox_video.training.checkpoints.model_state import is_sharded, unwrapped
from autox_video.training.hooks.time_budget import TimeBudget
from autox_video.training.interrupt import Stopped
from autox_video.training.step import TrainStep, compiled_for

LOOK_EVERY = {"cpu": 1, "cuda": 20}
"""Steps between checks for non-finite losses, by device type; each check waits for the GPU."""
BAD_IN_A_ROW = 5
"""Number of consecutive non-finite steps after which training is rolled back."""


@LOOPS.register_module()
class ClipTrainLoop(EpochBasedTrainLoop):
    """Train for `max_epochs`; evaluate every `val_interval` epochs and after the last epoch.

    `evaluated_epoch` is the number of epochs completed at the last evaluation. `taken` is the
    number of clips used so far in the current epoch, over all processes.

    Args:
        runner: mmengine's runner.
        dataloader: config of ClipBatches.
        max_epochs: number of epochs.
        val_interval: number of epochs between two evaluations.
        max_bad: maximum share of training clips that may become unreadable during training.
        accumulation: number of gradient accumulation parts per step.
    """

    evaluated_epoch = 0
    taken = 0
    told_epochs: int | None = None
    """Number of epochs shown to the user while `max_epochs` may still change."""

    def __init__(
        self,
        runner,
        dataloader: dict,
        max_epochs: int,
        *,
        val_interval: int = 1,
        max_bad: float = 1.0,
        accumulation: int = 1,
    ) -> None:
        batches = build_batches(dataloader, processes.current())
        super().__init__(runner, batches, max_epochs, val_interval=val_interval)
        self.max_bad = max_bad
        self.dataloader.tolerate(max_bad)
        self.accumulation = accumulation
        self.training_sec = 0.0

    @property
    def steps_in_epoch(self) -> int:
        return len(self.dataloader)

    def resume_at(self, epoch: int, taken: int, *, evaluated_epoch: int) -> None:
        """Set the epoch and clip to resume from; the step is computed from the batch size."""
        self._epoch, self.taken, self.evaluated_epoch = epoch, taken, evaluated_epoch
        self._iter = epoch * self.steps_in_epoch + self.dataloader.batches_in(taken)

    def end_at(self, epochs: int, last_step: int) -> None:
        """Set the run's total numbers of epochs and steps."""
        self._max_epochs, self._max_iters = epochs, last_step

    def evaluation_is_due(self) -> bool:
        """Return whether the model has to be evaluated before the next step."""
        last = self._epoch == self._max_epochs
        due = self._epoch > 0 and (last or self._epoch % self.val_interval == 0)
        return self.runner.val_loop is not None and due and self.evaluated_epoch != self._epoch

    def may_evaluate(self) -> bool:
        """Return whether there is time for an unplanned evaluation."""
        return self.time_budget is None or self.time_budget.may_evaluate()

    def stop_if_asked(self) -> None:
        """Raise Stopped, without saving, if any process has received a signal."""
        (stop,) = processes.all_reduce_max([self._stop_signal()])
        if stop:
            raise Stopped(stop, saved=self.checkpoint_hook.is_saved(self.runner))

    def run(self):
        """Train and evaluate; return the trained model."""
        self.time_budget = next((h for h in self.runner.hooks if isinstance(h, TimeBudget)), None)
        self.checkpoint_hook = checkpoint_hook_of(self.runner)
        seed = self.dataloader.dataset.seed
        self.step = TrainStep(self.runner, accumulation=self.accumulation, seed=seed)
        self.runner.call_hook("before_train")
        self._count_bad_steps()
        started = time.monotonic()
        try:
            self._evaluate_if_due()
            self._settle_end()
            while self._epoch < self._max_epochs and not self.stop_training:
                if self.run_epoch():
                    self._settle_end()  # before saving, since a resumed run has no measured speed
                    self._save_or_stop(at_rest=True)
                    self._evaluate_if_due()
                else:
                    self.runner.call_hook("roll_back")
                    self._count_bad_steps()
            self._evaluate_if_due()  # in case time ran out before the planned end
            self.runner.call_hook("save_state")
            # If saving failed, the next start resumes from an earlier state and still needs the
            # weights to average.
            if processes.run_on_rank_zero(lambda: self.checkpoint_hook.is_saved(self.runner)):
                self.runner.call_hook("average_weights")
        finally:
            self.dataloader.close()
            if self.runner.val_loop is not None:
                self.runner.val_loop.dataloader.close()
        self.training_sec = time.monotonic() - started
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> bool:
        """Train the rest of the epoch; return False if training has to be rolled back."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * self.steps_in_epoch
        batches = self.dataloader.epoch(self._epoch, skip=self.taken)
        for step, batch in enumerate(batches, start=done):
            taken, unreadable = batch.pop("taken"), batch.pop("unreadable")
            if not len(batch["inputs"]):
                # This process still takes part in the step. If too many clips are unreadable, all
                # processes raise an error after the step.
                batch |= self.dataloader.nothing()
            self.run_iter(step, batch)
            self.taken = taken
            if not self._is_sound():
                return False
            last = step + 1 == self.steps_in_epoch
            self._save_or_stop(unreadable, at_rest=False, may_save=not last)
            if self._iter >= self._max_iters and not last:
                break
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self._iter = self._epoch * self.steps_in_epoch
        self.taken = 0
        return True

    def run_iter(self, idx: int, data_batch: dict) -> None:
        weight, is_full = data_batch.pop("weight"), data_batch.pop("is_full")
        runner = self.runner
        runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        with compiled_for(runner.model, is_full=is_full):
            outputs = self.step(self._iter, data_batch, weight)
        runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _save_or_stop(
        self, unreadable: Sequence = (), *, at_rest: bool, may_save: bool = True
    ) -> None:
        """Report unreadable clips, move the end of training, and save or stop if requested.

        Args:
            unreadable: clips that this process could not read since the last call.
            at_rest: whether an epoch or an evaluation has just ended.
            may_save: whether saving and stopping are possible at this point.
        """
        due = self.checkpoint_hook.clock.is_due(at_rest=at_rest) and processes.current().is_main
        end = self.time_budget.new_end(self) if self.time_budget and may_save else (0, 0)
        stop, save, news, *end = processes.all_reduce_max(
            [self._stop_signal(), int(due), len(unreadable), *end]
        )
        if any(end):
            self.time_budget.end_at(self, *end)
        if news:
            clips = list(chain.from_iterable(processes.all_gather(list(unreadable))))
            self.runner.call_hook("on_unreadable", clips=clips)
            self._refuse_too_many_bad(clips)
        # Do not save a checkpoint after bad steps, since rolling back needs a good one.
        if may_save and (stop or (save and not self.runner.optim_wrapper.bad_steps[0])):
            self.runner.call_hook("save_state")
            self.runner.call_hook("after_save_state")
        if may_save and stop:
            raise Stopped(stop, saved=self.checkpoint_hook.is_saved(self.runner))

    def _stop_signal(self) -> int:
        request = getattr(self.runner, "stop_request", None)
        return (request and request.signum) or 0

    def _refuse_too_many_bad(self, clips: Sequence[Unreadable]) -> None:
        """Count the unreadable clips of all processes; raise ListingError if there are too many."""
        broken, in_all = self.dataloader.broken, len(self.dataloader.dataset)
        broken.update((clip.position, clip.error) for clip in clips)
        (gives_up,) = processes.all_reduce_max([int(self.dataloader.gives_up)])
        if gives_up:
            too_many = len(broken) / in_all > self.max_bad
            how = f"more than {self.max_bad:.0%}" if too_many else "one after another"
            raise ListingError(
                f"max_bad: {len(broken)} of {in_all} training clips have become unreadable during "
                f"training, {how}. See the reasons above, and check that the disk is still "
                "mounted. Run the same command again to resume from the last checkpoint."
            )

    def _count_bad_steps(self) -> None:
        """Read the number of bad steps, which may have been restored from a checkpoint."""
        self.bad_steps = self.runner.optim_wrapper.bad_steps.tolist()[1]

    def _is_sound(self) -> bool:
        """Return False if losses or gradients were not finite for several steps in a row."""
        optimizer = self.runner.optim_wrapper
        if self._iter % LOOK_EVERY[optimizer.device.type]:
            return True
        in_a_row, in_all = optimizer.bad_steps.tolist()
        if in_all > self.bad_steps:
            self.bad_steps = in_all
            sentence = (
                f"Step {self._iter}: the loss or a gradient is not finite. The step is skipped, "
                f"and the weights are unchanged; steps skipped so far: {in_all}."
            )
            self.runner.call_hook("on_trouble", sentence=sentence)
        return in_a_row < BAD_IN_A_ROW

    def _settle_end(self) -> None:
        if self.time_budget is not None:
            self.time_budget.settle(self)

    def _evaluate_if_due(self) -> None:
        if self.evaluation_is_due():
            self.runner.val_loop.run(between_batches=lambda: self._save_or_stop(at_rest=False))
            self.evaluated_epoch = self._epoch
            self._save_or_stop(at_rest=True)


@LOOPS.register_module()
class ClipValLoop(ValLoop):
    """Evaluate the model on the validation clips; unreadable clips are skipped.

    Batches are split among the processes, and each process gets the metrics over all clips.
    """

    def __init__(self, runner, dataloader: dict, evaluator) -> None:
        super().__init__(runner, build_batches(dataloader, processes.current()), evaluator)

    def run(self, between_batches: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Evaluate the model; all processes call `between_batches` the same number of times."""
        self.runner.call_hook("before_val")
        self.runner.call_hook("before_val_epoch")
        metrics = self.measure(between_batches)
        self.runner.call_hook("after_val_epoch", metrics=metrics)
        self.runner.call_hook("after_val")
        return metrics

    def measure(self, between_batches: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Evaluate the model without calling the hooks before and after an evaluation."""
        self.runner.model.eval()
        batches, unreadable = iter(self.dataloader), []
        size = processes.current().size
        for number in range(-(-len(self.dataloader) // size)):
            between_batches()
            batch = next(batches, None)
            if batch is not None:
                unreadable += batch["unreadable"]
            if batch is not None and len(batch["inputs"]):
                self.run_iter(number, batch)
            elif is_sharded(self.runner.model):  # all processes must run the same number of passes
                with torch.no_grad():
                    self.runner.model.val_step(self.dataloader.nothing())
            self.runner.call_hook("after_val_iter", batch_idx=number * size)
        clips = list(chain.from_iterable(processes.all_gather(unreadable)))
        if clips:
            self.runner.call_hook("on_unreadable", clips=clips)
        return self.evaluator.evaluate(len(self.dataloader.dataset))

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        model = self.runner.model if is_sharded(self.runner.model) else unwrapped(self.runner.model)
        with compiled_for(model, is_full=data_batch["is_full"]):
            outputs = model.val_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
