"""Features of synthetic recordings in which single steps are ambiguous, but their context is not.

Class 0 moves from one point of the feature space to another, and class 1 moves back. Class 2 stays
at a third point, and class 3 alternates between it and a fourth point. The background is a random
walk with flashes of these points that are too short to be events. Everything has noise.
"""

from dataclasses import dataclass

import numpy as np
import torch

from autox_video.tasks.localisation.metrics import Recording
from autox_video.tasks.localisation.segments import (
    BACKGROUND,
    most_probable,
    nms,
    segments_above,
    segments_of_labels,
)

CLASSES, CHANNELS, STEPS_PER_SEC = 4, 24, 4
PROPOSAL_THRESHOLDS = tuple(np.arange(0.1, 1.0, 0.1).round(1))


@dataclass(frozen=True)
class Synthetic:
    """Features (N, C) float32 and labels (N,) of each recording."""

    features: list[np.ndarray]
    labels: list[np.ndarray]

    def __getitem__(self, rows: slice) -> "Synthetic":
        return Synthetic(self.features[rows], self.labels[rows])


def synthetic(seed: int, count: int, *, seconds: int = 120, noise: float = 0.6) -> Synthetic:
    """Return `count` recordings of about `seconds` seconds; all seeds have the same classes."""
    points = np.random.RandomState(7).normal(size=(4, CHANNELS)) * 0.8
    rng = np.random.RandomState(seed)
    parts = [_recording(rng, points, seconds * rng.uniform(0.7, 1.3), noise) for _ in range(count)]
    return Synthetic([part[0] for part in parts], [part[1] for part in parts])


def _recording(rng, points, seconds, noise):
    size = int(seconds * STEPS_PER_SEC)
    labels = np.full(size, BACKGROUND)
    features = np.cumsum(rng.normal(size=(size, CHANNELS)) * 0.04, axis=0)
    for flash in rng.randint(size, size=size // 20):
        features[flash : flash + 2] += points[rng.randint(len(points))]
    first = rng.randint(4, 40)
    while first + 24 < size:
        length, label = rng.randint(4, 25), rng.randint(CLASSES)
        features[first : first + length] += _event(label, length, points)
        labels[first : first + length] = label
        first += length + rng.randint(0, 50)
    return (features + rng.normal(size=features.shape) * noise).astype(np.float32), labels


def _event(label, length, points):
    """Return what an event adds to the features (length, C)."""
    share = np.linspace(0, 1, length)[:, None]
    if label in (0, 1):
        share = share if label == 0 else 1 - share
        return points[0] * (1 - share) + points[1] * share
    if label == 2:
        return np.repeat(points[2:3], length, axis=0)
    return points[2 + np.arange(length) // 2 % 2]


def as_recording(scores: np.ndarray, labels: np.ndarray) -> Recording:
    """Return a recording with the truth and with what probabilities (N, K) predict."""
    edges = np.arange(len(labels) + 1) / STEPS_PER_SEC
    predicted = most_probable(scores)
    return Recording(
        segments_of_labels(labels, edges),
        nms(segments_above(scores, edges, PROPOSAL_THRESHOLDS), most_iou=0.5),
        segments_of_labels(predicted, edges),
        labels,
        predicted,
    )


def stepwise_probabilities(train: Synthetic, features: list[np.ndarray]) -> list[np.ndarray]:
    """Return the probabilities (N, K) by logistic regression on single steps."""
    x, y = np.concatenate(train.features), np.concatenate(train.labels)
    x, y = torch.tensor(x), torch.tensor(np.where(y == BACKGROUND, CLASSES, y))
    mean, deviation = x.mean(dim=0), x.std(dim=0)
    linear = torch.nn.Linear(CHANNELS, CLASSES + 1)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        logits = linear((x - mean) / deviation)
        total = torch.nn.functional.cross_entropy(logits, y)
        total = total + 1e-4 * linear.weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    parts = [(torch.tensor(part) - mean) / deviation for part in features]
    return [linear(part).softmax(dim=1)[:, :CLASSES].detach().numpy() for part in parts]
