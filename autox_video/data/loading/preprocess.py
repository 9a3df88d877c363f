"""Augment batches of uint8 clips and normalise them to float32, on the model's device.

Shape legend: B clips, V views, T frames, H height and W width in pixels.
"""

from collections.abc import Mapping, Sequence

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseDataPreprocessor
from torchvision.transforms.v2.functional import resize

from autox_video.data.loading.augment import ClipAugmentation, Strengths


@MODELS.register_module()
class ClipPreprocessor(BaseDataPreprocessor):
    """Turns batches from `ClipBatches` into inputs for mmaction2's recognisers.

    Args:
        mean: mean of each RGB channel, 0 to 255.
        std: standard deviation of each RGB channel.
        augment: fields of `Strengths`, for training.
        num_classes: number of classes, needed for MixUp and CutMix.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        augment: Mapping[str, float] | None = None,
        num_classes: int = 0,
    ) -> None:
        super().__init__(non_blocking=True)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1, 1), persistent=False)
        self.side: int | None = None
        """Side length in px to which training clips are scaled down; None: training clips are not
        scaled."""
        self.channels_last = False
        """Whether to keep the memory layout of the frames, for networks that process them one by
        one with 2D convolutions."""
        self.augmentation = ClipAugmentation(Strengths(**(augment or {})), num_classes)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the augmented, normalised batch on the model's device.

        Args:
            data: `inputs` (B, V, T, H, W, 3) uint8, `labels` (B) int64, (B, classes) float32 or
                None, and `seeds`, one per clip.
            training: whether to augment the clips; in training, V is 1.

        Returns:
            `inputs` (B, V, 3, T, H, W) float32, scaled to `side` in training if `side` is set, and
            `data_samples`, one per clip, whose `gt_label` is (1) int64 or, for multi-label or mixed
            clips, (1, classes) float32.
        """
        moved = self.cast_data({key: data[key] for key in ("inputs", "labels")})
        inputs, labels = moved["inputs"], moved["labels"]
        if training:
            frames = inputs[:, 0].permute(0, 1, 4, 2, 3)
            if self.side is not None:
                frames = resize(frames, [self.side, self.side], antialias=True)
            frames = self.augmentation.on_pixels(frames, data["seeds"])
            inputs = frames.permute(0, 1, 3, 4, 2)[:, None]
        inputs = inputs.permute(0, 1, 5, 2, 3, 4)
        if not self.channels_last:
            inputs = inputs.contiguous()  # copies less while the type is still uint8
        inputs = inputs.to(torch.float32).sub_(self.mean).div_(self.std)
        if training:
            mixed, labels = self.augmentation.on_batch(inputs[:, 0], labels, data["seeds"])
            inputs = mixed[:, None]
        samples = [ActionDataSample() for _ in inputs]
        if labels is not None:
            for sample, label in zip(samples, labels, strict=True):
                sample.gt_label = label[None]
        return {"inputs": inputs, "data_samples": samples}
