"""Batches of uint8 clips → augmented, normalised float32 clips on the model's device.

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
    """What mmaction2's recognisers get from the batches that `ClipBatches` gives.

    Args:
        mean: of each colour, red, green, blue, 0 to 255.
        std: standard deviation of each colour.
        augment: fields of `Strengths`, for training.
        num_classes: needed where clips are mixed.
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
        """Of the square that training clips are scaled down to, in px; None: they stay whole."""
        self.augmentation = ClipAugmentation(Strengths(**(augment or {})), num_classes)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move, augment, normalise, and put each label into a data sample.

        Args:
            data: `inputs` (B, V, T, H, W, 3) uint8, `labels` (B) int64, (B, classes) float32 or
                None, and `seeds`, one for each clip.
            training: whether to augment; V is then 1.

        Gives `inputs` (B, V, 3, T, H, W) float32, in training with `side` for H and W where that is
        set, and `data_samples`, one for each clip, whose `gt_label` is (1) int64 or, of several or
        mixed classes, (1, classes) float32.
        """
        moved = self.cast_data({key: data[key] for key in ("inputs", "labels")})
        inputs, labels = moved["inputs"], moved["labels"]
        if training:
            pictures = inputs[:, 0].permute(0, 1, 4, 2, 3)
            if self.side is not None:
                pictures = resize(pictures, [self.side, self.side], antialias=True)
            pictures = self.augmentation.on_pixels(pictures, data["seeds"])
            inputs = pictures.permute(0, 1, 3, 4, 2)[:, None]
        # Made contiguous while it is small.
        inputs = inputs.permute(0, 1, 5, 2, 3, 4).contiguous()
        inputs = inputs.to(torch.float32).sub_(self.mean).div_(self.std)
        if training:
            mixed, labels = self.augmentation.on_batch(inputs[:, 0], labels, data["seeds"])
            inputs = mixed[:, None]
        samples = [ActionDataSample() for _ in inputs]
        if labels is not None:
            for sample, label in zip(samples, labels, strict=True):
                sample.gt_label = label[None]
        return {"inputs": inputs, "data_samples": samples}
