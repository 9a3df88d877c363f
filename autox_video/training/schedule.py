"""A learning rate schedule that depends only on the step, so a run can resume at any step."""

import math

from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

START = 0.01
"""Learning rate at the first warm-up step, relative to the full learning rate."""


@PARAM_SCHEDULERS.register_module()
class WarmFlatCosine(_ParamScheduler):
    """Linear warm-up, then a constant learning rate, then a cosine decay to 0.

    Args:
        optimizer: optimizer or mmengine optimizer wrapper.
        warmup: number of warm-up steps.
        fall: step at which the cosine decay starts.
        end: total number of steps.
    """

    def __init__(self, optimizer, *, warmup: int, fall: int, end: int) -> None:
        self.warmup, self.fall, self.total = warmup, fall, end
        self.scale = 1.0
        super().__init__(optimizer, "lr", by_epoch=False)

    def go_to(self, step: int, *, scale: float = 1.0) -> None:
        """Set the learning rates for a step; from then on, learning rates are scaled by `scale`."""
        self.scale = scale
        self.last_step = self._global_step = step
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group[self.param_name] = value

    @property
    def shape(self) -> list[float]:
        """The steps at which the warm-up, constant phase and decay end, for `take_shape`."""
        return [self.warmup, self.fall, self.total]

    def end_at(self, total: int) -> list[float]:
        """Move the end of the schedule without a jump in the learning rate.

        If the cosine decay has not started yet, the decay keeps its share of all steps. The new
        shape is returned, for `take_shape`.
        """
        step, before = max(self.last_step, 0), self.total
        if step <= self.fall:
            self.fall = max(step, min(self.fall * total / before, total - 1))
        else:
            done = min((step - self.fall) / max(before - self.fall, 1), 1.0)
            # The completed share of the cosine decay is preserved.
            self.fall = (step - done * total) / (1 - done) if done < 1 else self.fall
        self.total = total
        self.warmup = min(self.warmup, max(total - 1, step))
        self.go_to(step, scale=self.scale)
        return self.shape

    def take_shape(self, shape: list[float]) -> None:
        """Restore a schedule with the given `shape` from the current step on."""
        self.warmup, self.fall, self.total = shape
        self.go_to(self.last_step, scale=self.scale)

    def _get_value(self) -> list[float]:
        factor = self.scale * self._factor(self.last_step)
        return [base * factor for base in self.base_values]

    def _factor(self, step: int) -> float:
        if step < self.warmup:
            return START + (1 - START) * step / self.warmup
        if step < self.fall:
            return 1.0
        done = min((step - self.fall) / max(self.total - self.fall, 1), 1.0)
        return (1 + math.cos(math.pi * done)) / 2
