"""Progressive resizing: train on smaller clips at first, so that more epochs fit."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.training.checkpoints.model_state import unwrapped


@HOOKS.register_module()
class ProgressiveResizing(Hook):
    """Downscale the clips in the first part of training (progressive learning, arXiv 2104.00298).

    The clip size depends only on the step and the total number of steps, so a resumed run gives the
    same result as an uninterrupted run.

    Args:
        short_side: short side of the downscaled clips, in px.
        steps_share: share of all steps that use downscaled clips.
    """

    def __init__(self, short_side: int, steps_share: float) -> None:
        self.short_side, self.steps_share = short_side, steps_share

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Set the clip size for the step."""
        loop = runner.train_loop
        is_small = loop.iter < self.steps_share * loop.max_iters
        unwrapped(runner.model).data_preprocessor.side = self.short_side if is_small else None
