"""Batches of uint8 clips → normalised float32 clips on the model's device, with their labels."""

from collections.abc import Sequence

import autox_video.mm_compat  # noqa: F401

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseDataPreprocessor


@MODELS.register_module()
class ClipPreprocessor(BaseDataPreprocessor):
    """What mmaction2's recognisers get from the batches that `collate_clips` makes.

    Args:
        mean: of each colour, red, green, blue, 0 to 255.
        std: standard deviation of each colour.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(non_blocking=True)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move, normalise, and put each label into a data sample.

        Args:
            data: `inputs` (B, views, 3, T, H, W) uint8 and `labels` (B) int64 or None.
            training: without effect.

        Gives `inputs`, float32 of the same shape, and `data_samples`, one for each clip.
        """
        data = self.cast_data({key: data[key] for key in ("inputs", "labels")})
        inputs = data["inputs"].to(torch.float32).sub_(self.mean).div_(self.std)
        samples = [ActionDataSample() for _ in inputs]
        if data["labels"] is not None:
            for sample, label in zip(samples, data["labels"], strict=True):
                sample.gt_label = label[None]
        return {"inputs": inputs, "data_samples": samples}
