"""Training of the temporal head on the features of recordings.

Shape letters: R recordings, B recordings of a batch, C channels, N steps, K classes, L logits; see
`temporal_head`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid

from autox_video.core.errors import ListingError, NumbersError
from autox_video.tasks.localisation.segments import BACKGROUND
from autox_video.tasks.localisation.temporal_head import TemporalHead

VALIDATION_SHARE = 0.2
SMOOTHING_WEIGHT, MOST_LOG_STEP = 0.15, 4.0
"""Weight of the smoothing loss, and the change of a log probability above which it is constant
(lambda and tau in MS-TCN, section 3.3)."""
BALANCE = 0.5
"""Exponent of a class's weight 1 / share in the loss: 0 weighs steps equally, so that background
dominates; 1 weighs classes equally."""
MOST_WEIGHT = 20.0
MOST_STRETCH = 0.25
"""Recordings are played up to 28% slower or faster in training. Without this, the head learns the
exact lengths of the events of few recordings by heart."""
LONGEST_CROP = 4096
"""Longer recordings are cut at random in each epoch, so that a batch fits into memory."""
WARM_UP = 0.1
NO_LABEL = -100


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How the head is trained."""

    epochs: int = 60
    """Number of epochs of the schedule, 1 or more."""
    patience: int = 30
    """Training ends after this many epochs without a lower validation loss."""
    batch: int = 2
    """Recordings per step of the optimizer."""
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A trained head, with the weights of its best epoch."""

    head: TemporalHead
    best_epoch: int
    """Number of epochs after which the validation loss was lowest."""
    epochs: int
    """Number of epochs that were trained; the time limit can cut the last one short."""
    validation_loss: float
    """Lowest validation loss: cross-entropy per step in nats, not weighted by class."""


@dataclass(frozen=True, slots=True)
class _Batch:
    features: Tensor
    """(B, C, N)"""
    targets: Tensor
    """(B, N) class indices, NO_LABEL in padding; or (B, K, N) of 0 and 1."""
    is_step: Tensor
    """(B, 1, N), 0 in padding."""


@dataclass(frozen=True, slots=True)
class _Data:
    """Features (C, N) of each recording with targets (N,) or (K, N)."""

    features: list[Tensor]
    targets: list[Tensor]

    def batches(self, size: int, draw: torch.Generator | None = None) -> Iterator[_Batch]:
        """Yield batches of recordings; if `draw` is given, in random order and augmented."""
        count = len(self.features)
        order = torch.arange(count) if draw is None else torch.randperm(count, generator=draw)
        for start in range(0, count, size):
            yield self._batch(order[start : start + size].tolist(), draw)

    def _batch(self, rows: list[int], draw: torch.Generator | None) -> _Batch:
        parts = [(self.features[row], self.targets[row]) for row in rows]
        if draw is not None:
            parts = [_stretch(*_crop(*part, draw), draw) for part in parts]
        size = max(features.shape[-1] for features, _ in parts)
        fills = NO_LABEL if parts[0][1].ndim == 1 else 0
        is_step = [torch.ones_like(features[:1]) for features, _ in parts]
        return _Batch(
            torch.stack([_padded(features, size, 0) for features, _ in parts]),
            torch.stack([_padded(targets, size, fills) for _, targets in parts]),
            torch.stack([_padded(ones, size, 0) for ones in is_step]),
        )


def _stretch(features: Tensor, targets: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a recording with its speed changed at random, by at most MOST_STRETCH in logarithm."""
    steps = features.shape[-1]
    share = 2 * float(torch.rand(1, generator=draw)) - 1
    size = max(1, round(steps * math.exp(share * MOST_STRETCH)))
    places = ((torch.arange(size) + 0.5) * (steps / size) - 0.5).clamp(0, steps - 1)
    before = places.floor().long().to(features.device)
    after = (before + 1).clamp(max=steps - 1)
    weights = (places - places.floor()).to(features.device)
    mixed = features[:, before] * (1 - weights) + features[:, after] * weights
    return mixed, targets[..., places.round().long().to(targets.device)]


def _crop(features: Tensor, targets: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    spare = features.shape[-1] - LONGEST_CROP
    if spare <= 0:
        return features, targets
    start = int(torch.randint(spare + 1, (1,), generator=draw))
    return features[..., start : start + LONGEST_CROP], targets[..., start : start + LONGEST_CROP]


def _padded(x: Tensor, size: int, fill: float) -> Tensor:
    return torch.nn.functional.pad(x, (0, size - x.shape[-1]), value=fill)


def fit_temporal_head(
    features: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    classes: int,
    seed: int,
    seconds_limit: float = math.inf,
    validation: Sequence[int] | None = None,
    device: str = "cpu",
    options: FitOptions = FitOptions(),
) -> FittedHead:
    """Return a temporal head that is trained on recordings.

    On a CPU, the result depends only on the arguments and the number of threads, unless the time
    limit ends training. Torch's random state and its number of threads are left as they are.

    Args:
        features: features (N, C) of each recording.
        labels: labels (N,) of each recording, a class index or BACKGROUND for each step; or targets
            (N, K) of 0 and 1, if classes can overlap.
        classes: number of classes K, without background.
        seed: seed of the initial weights, the order of recordings and dropout.
        seconds_limit: time limit for training.
        validation: indices of the recordings that choose the best epoch and are not trained on; by
            default a fifth, drawn by the seed.
        device: device on which the head is trained and returned.

    Raises:
        ListingError: there is no recording to train on, or none for validation.
        NumbersError: the features or the loss are not finite.
    """
    until = time.monotonic() + seconds_limit
    _check(features, labels, classes)
    held_out = set(_draw_validation(len(features), seed) if validation is None else validation)
    train_rows = [row for row in range(len(features)) if row not in held_out]
    if not train_rows or not held_out:
        raise ListingError(
            "Localisation needs at least 2 recordings, one to train on and one to choose the best "
            f"epoch, but there are {len(train_rows)} to train on and {len(held_out)} for "
            "validation: add recordings."
        )
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        train, held = (
            _data(features, labels, rows, classes, device)
            for rows in (train_rows, sorted(held_out))
        )
        head = TemporalHead(
            train.features[0].shape[0],
            classes,
            exclusive=labels[0].ndim == 1,
            layers=_layers(max(part.shape[1] for part in train.features)),
        ).to(device)
        head.standardise(train.features)
        return _Fit(head, train, held, options, until).run(seed)


def _check(features: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: int) -> None:
    """Check that the recordings fit together."""
    assert len(features) == len(labels), "each recording has features and labels"
    for row, (x, y) in enumerate(zip(features, labels, strict=True)):
        assert x.ndim == 2 and len(x) == len(y) > 0, f"recording {row}: features {x.shape}"
        assert x.shape[1] == features[0].shape[1], "all recordings have the same channels"
        assert y.shape[1:] == labels[0].shape[1:] and y.shape[1:] in ((), (classes,))
        low, high = (BACKGROUND, classes - 1) if y.ndim == 1 else (0, 1)
        assert low <= y.min() and y.max() <= high, f"recording {row}: a label is out of range"
        if not np.isfinite(x).all():
            raise NumbersError(f"The features of recording {row} contain NaN or infinity.")


def _draw_validation(count: int, seed: int) -> list[int]:
    size = max(1, round(VALIDATION_SHARE * count)) if count > 1 else 0
    return np.random.default_rng(seed).permutation(count)[:size].tolist()


def _layers(longest: int) -> int:
    """Return the number of layers with which a step sees 255 steps around it, or the recording."""
    return max(2, min(8, math.ceil(math.log2(longest + 1))))


def _data(
    features: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    rows: Sequence[int],
    classes: int,
    device: str,
) -> _Data:
    targets = [torch.as_tensor(labels[row]) for row in rows]
    if targets[0].ndim == 1:
        targets = [torch.where(part == BACKGROUND, classes, part).long() for part in targets]
    else:
        targets = [part.T.float() for part in targets]
    return _Data(
        [torch.as_tensor(features[row], dtype=torch.float32).T.to(device) for row in rows],
        [part.to(device) for part in targets],
    )


class _Fit:
    """The training of a head until a time of the monotonic clock."""

    def __init__(
        self, head: TemporalHead, train: _Data, held: _Data, options: FitOptions, until: float
    ) -> None:
        self.head, self.train, self.held, self.options = head, train, held, options
        self.until = until
        self.epochs = options.epochs
        self.weights = _class_weights(train.targets, head)
        head.log_weights.copy_(self.weights.log()[:, None])
        self.optimizer = torch.optim.AdamW(
            head.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )

    def run(self, seed: int) -> FittedHead:
        """Train to the end of the schedule, or until the loss stops falling, or time is over."""
        draw = torch.Generator().manual_seed(seed)
        best, best_epoch, weights, epoch = math.inf, 0, None, 0
        while epoch < self.epochs and epoch - best_epoch < self.options.patience:
            started = time.monotonic()
            self._epoch(epoch, draw)
            epoch += 1
            loss = self._validation_loss()
            if loss < best:
                best, best_epoch, weights = loss, epoch, deepcopy(self.head.state_dict())
            left, took = self.until - time.monotonic(), time.monotonic() - started
            if left <= 0:
                break
            if epoch == 1:  # the schedule has to end within the time limit
                self.epochs = min(self.epochs, 1 + int(min(left / max(took, 1e-9), self.epochs)))
        if weights is None:
            raise NumbersError(
                "The loss of the temporal head is not a finite number. Check the features, and use "
                "a lower learning rate."
            )
        self.head.load_state_dict(weights)
        return FittedHead(self.head.eval(), best_epoch, epoch, best)

    def _epoch(self, epoch: int, draw: torch.Generator) -> None:
        """Train an epoch, or its first batches if time is over."""
        self.head.train()
        batches = math.ceil(len(self.train.features) / self.options.batch)
        for number, batch in enumerate(self.train.batches(self.options.batch, draw)):
            stages = self.head(batch.features, batch.is_step)
            loss = sum(
                _step_loss(stage, batch, self.weights) + self._roughness(stage, batch)
                for stage in stages
            )
            share = (epoch + number / batches) / self.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.learning_rate * learning_rate_factor(share)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
            self.optimizer.step()
            if time.monotonic() > self.until:
                return

    def _roughness(self, logits: Tensor, batch: _Batch) -> Tensor:
        """Return the smoothing loss of a stage: the squared change of log probabilities."""
        logs = logits.log_softmax(dim=1) if self.head.exclusive else logsigmoid(logits)
        change = logs[:, :, 1:] - logs[:, :, :-1].detach()
        change = change.square().clamp(max=MOST_LOG_STEP**2).mean(dim=1, keepdim=True)
        is_step = batch.is_step[:, :, 1:]
        return SMOOTHING_WEIGHT * (change * is_step).sum() / is_step.sum().clamp(min=1)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        self.head.eval()
        total, steps = 0.0, 0.0
        for batch in self.held.batches(1):
            size = float(batch.is_step.sum())
            logits = self.head.unweighted(self.head(batch.features, batch.is_step)[-1])
            total += size * float(_step_loss(logits, batch, torch.ones_like(self.weights)))
            steps += size
        return total / steps


def _step_loss(logits: Tensor, batch: _Batch, weights: Tensor) -> Tensor:
    """Return the mean loss per step of logits (B, L, N), weighted by class."""
    if batch.targets.ndim == 2:
        total = cross_entropy(
            logits, batch.targets, weights, ignore_index=NO_LABEL, reduction="sum"
        )
        return total / batch.is_step.sum()
    losses = binary_cross_entropy_with_logits(
        logits, batch.targets, pos_weight=weights[:, None], reduction="none"
    )
    return (losses.mean(dim=1, keepdim=True) * batch.is_step).sum() / batch.is_step.sum()


def learning_rate_factor(share: float) -> float:
    """Return the learning rate after a share of the schedule, as a share of the highest rate.

    It rises linearly over the first tenth, and then falls to 0 along a cosine.
    """
    if share < WARM_UP:
        return (share + 0.01) / (WARM_UP + 0.01)
    return (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


def _class_weights(targets: list[Tensor], head: TemporalHead) -> Tensor:
    """Return the weight of each class: (L,), or of its positive steps: (K,)."""
    if not head.exclusive:
        share = torch.cat(targets, dim=1).mean(dim=1)
        odds = (1 - share) / share.clamp(min=1e-9)
        return odds.pow(BALANCE).clamp(1 / MOST_WEIGHT, MOST_WEIGHT)
    count = head.first.leave.out_channels
    share = torch.bincount(torch.cat(targets), minlength=count).float()
    share /= share.sum()
    weights = share.clamp(min=1e-9).pow(-BALANCE).clamp(max=MOST_WEIGHT)
    return weights / (weights * share).sum()
