"""Smaller clips in the first part of training, where that makes room for more epochs."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.training.checkpoints.model_state import unwrapped


@HOOKS.register_module()
class ProgressiveResizing(Hook):
    """Scale training clips down in the first steps (progressive learning, arXiv 2104.00298).

    Which steps these are follows from the number of the step and of all steps alone, so that a
    resumed run is the run that was not stopped.

    Args:
        short_side: of those clips, in px.
        steps_share: of all steps, those first ones.
    """

    def __init__(self, short_side: int, steps_share: float) -> None:
        self.short_side, self.steps_share = short_side, steps_share

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Choose the size of the clips of this step."""
        loop = runner.train_loop
        is_small = loop.iter < self.steps_share * loop.max_iters
        unwrapped(runner.model).data_preprocessor.side = self.short_side if is_small else None
