"""Augmentation of whole batches on the model's device, with torchvision's transforms.

Random parameters are the same for all frames of a clip and depend only on the clip's seed. The
parameters are drawn on the CPU and copied to a GPU asynchronously.

Shape legend: B clips, T frames, H height and W width in pixels, K classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Video

# These are added to a clip's seed so that operations use independent random numbers.
FLIP, PICTURES, ERASE, ERASED_PART, MIX, RECOLOUR, COLOURS = range(7)


@dataclass(frozen=True, slots=True)
class Strengths:
    """Strength of each augmentation; 0 turns an augmentation off."""

    flip: float = 0.0
    """Probability of a horizontal flip."""
    colour: float = 0.0
    """Maximum relative change in brightness, contrast and saturation; hue changes a quarter as
    much."""
    recolour: float = 0.0
    """Maximum change in the contrast and brightness of each colour channel (brightness in standard
    deviations of the pixels). Half the clips are changed; their channels are also permuted and, in
    half of the changed clips, inverted. The other half keep their colours, which may be
    informative."""
    rand_augment: int = 0
    """Magnitude (0 to 30) of RandAugment (arXiv:1909.13719), which applies two operations."""
    erasing: float = 0.0
    """Probability of random erasing (arXiv:1708.04896)."""
    mixup: float = 0.0
    """Alpha of MixUp (arXiv:1710.09412)."""
    cutmix: float = 0.0
    """Alpha of CutMix (arXiv:1905.04899); if MixUp is on too, each batch gets one of the two."""


class ClipAugmentation:
    """Augments batches of clips; MixUp and CutMix also mix the labels."""

    def __init__(self, strengths: Strengths, num_classes: int) -> None:
        self.strengths = strengths
        self.pixel_changes = []
        if strengths.rand_augment:
            self.pixel_changes.append(v2.RandAugment(num_ops=2, magnitude=strengths.rand_augment))
        if (amount := strengths.colour) > 0:
            self.pixel_changes.append(v2.ColorJitter(amount, amount, amount, min(amount / 4, 0.5)))
        self.erase = v2.RandomErasing(p=1.0, scale=(0.02, 1 / 3))
        kinds = ((v2.MixUp, strengths.mixup), (v2.CutMix, strengths.cutmix))
        self.mixes = [
            kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha > 0
        ]

    def on_pixels(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return clips (B, T, 3, H, W) uint8 with random flips and colour changes."""
        flipped = [_chance(seed + FLIP, self.strengths.flip) for seed in seeds]
        if any(flipped):
            mask = torch.tensor(flipped).to(clips.device, non_blocking=True)
            clips = torch.where(mask.view(-1, 1, 1, 1, 1), clips.flip(-1), clips)
        if not self.pixel_changes:
            return clips
        changed = []
        for clip, seed in zip(clips, seeds, strict=True):
            with _seeded(seed + PICTURES):
                for change in self.pixel_changes:
                    clip = change(clip)
            changed.append(clip)
        return torch.stack(changed)

    def on_batch(
        self, clips: Tensor, labels: Tensor, seeds: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Recolour, randomly erase and mix normalised clips (B, 3, T, H, W), and return them with
        their labels.

        Labels (B) or (B, K) become (B, K) float if clips are mixed.
        """
        strength = self.strengths.recolour
        for clip, seed in zip(clips, seeds, strict=True):
            if strength and _chance(seed + RECOLOUR, 0.5):
                clip.copy_(_recoloured(clip, strength, seed + COLOURS))
            if _chance(seed + ERASE, self.strengths.erasing):
                with _seeded(seed + ERASED_PART):
                    part = self.erase.make_params([clip])
                top, left = part["i"], part["j"]
                clip[..., top : top + part["h"], left : left + part["w"]] = 0.0
        if not self.mixes or len(clips) < 2:
            return clips, labels
        with _seeded(seeds[0] + MIX):
            mix = self.mixes[int(torch.randint(len(self.mixes), ()))]
            # A Video has channels where these clips have time, but MixUp and CutMix use neither.
            mixed, labels = mix(Video(clips), labels)
        return mixed.as_subclass(Tensor), labels


def _recoloured(clip: Tensor, strength: float, seed: int) -> Tensor:
    """Return a normalised clip (3, T, H, W) with changed colours; see `Strengths`."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(3, generator=generator)
    gain, shift = strength * (2 * torch.rand(2, 3, generator=generator) - 1)
    sign = 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0
    order, gain, shift = (
        values.to(clip.device, non_blocking=True) for values in (order, sign * (1 + gain), shift)
    )
    return clip[order] * gain.view(3, 1, 1, 1) + shift.view(3, 1, 1, 1)


def _chance(seed: int, probability: float) -> bool:
    if probability <= 0:
        return False
    generator = torch.Generator().manual_seed(seed)
    return bool(torch.rand((), generator=generator) < probability)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's global random generator within the block, and restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
