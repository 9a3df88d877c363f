"""Predictions → metrics and results.json."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autox_video.core.files import write_json
from autox_video.metrics.intervals import multi_label_intervals, single_label_intervals
from autox_video.video.sampling import LEAST_SEEN_SHARE

SCHEMA = 1
SCORE_DIGITS = 6
LOSS_SHARE, LEAST_LOSS_SHARE, LARGEST_LOSS = 1.5, 1e-3, 100.0
"""What a nat of loss counts for beside a score of one clip, at least, and the most of them."""
POSITIVE_FROM = 0.5
"""Of several classes a clip, those that score this much are predicted."""

MAIN_SCORES: Mapping[str, str] = {
    "mAP": "mAP",
    "balanced_accuracy": "balanced accuracy",
    "top1": "top-1",
}
"""The metrics by which the best weights are chosen, with what to call them: an evaluation has one
of them."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one clip."""

    video: str
    """The path as listed."""
    label: int | tuple[int, ...] | None
    """The true class, or all true classes, where the list has them."""
    scores: tuple[float, ...] | None
    """One probability per class; None for a clip that could not be read."""
    error: str | None = None
    """Why the clip could not be read."""
    multi_label: bool = False
    """Whether the probabilities are of each class apart, and do not sum to 1."""
    segment: tuple[float, float] | None = None
    """Where the clip is in its video, in seconds; None: all of it."""
    seen: float = 1.0
    """Share of the clip's time that was looked at."""
    logits: tuple[float, ...] | None = None
    """Of one class a clip, the log-probabilities as the model gives them, however small; None: the
    logarithms of `scores` stand in for them."""

    def record(self, classes: Sequence[str]) -> dict:
        """The clip's entry in results.json.

        Of several classes a clip, `predicted`, `class` and `score` are lists: of the classes that
        score at least 0.5, the best first. A clip that is a part of its video has `start` and
        `end` in seconds; an `end` of null is the video's. A clip of which less than four fifths
        were looked at has that share as `seen`.
        """
        times = {}
        if self.segment is not None:
            start, end = self.segment
            times = {"start": start, "end": end if math.isfinite(end) else None}
        if self.is_partly_seen:
            times["seen"] = round(self.seen, 4)
        return {
            "video": self.video,
            **times,
            "status": "ok" if self.scores is not None else "unreadable",
            "error": self.error,
            "label": list(self.label) if isinstance(self.label, tuple) else self.label,
            **self._predicted(classes),
        }

    @property
    def is_partly_seen(self) -> bool:
        """Whether the clip is so long that much of it was not looked at."""
        return self.scores is not None and self.seen < LEAST_SEEN_SHARE

    def _predicted(self, classes: Sequence[str]) -> dict:
        if self.scores is None:
            return {"predicted": None, "class": None, "score": None, "scores": None}
        scores = [round(score, SCORE_DIGITS) for score in self.scores]
        if self.multi_label:
            order = sorted(range(len(scores)), key=lambda index: -self.scores[index])
            found = [index for index in order if self.scores[index] >= POSITIVE_FROM]
            names = [classes[index] for index in found]
            best = {"predicted": found, "class": names, "score": [scores[i] for i in found]}
        else:
            top = int(np.argmax(self.scores))
            best = {"predicted": top, "class": classes[top], "score": scores[top]}
        return {**best, "scores": scores}


def class_accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Share of clips of each class that are predicted right, for the classes that occur.

    Args:
        scores: (N, K) probabilities.
        labels: (N,) true classes, 0..K-1.
    """
    right = scores.argmax(axis=1) == labels
    return {int(label): float(right[labels == label].mean()) for label in np.unique(labels)}


def metrics(scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False) -> dict[str, float]:
    """Top-1, top-5, mean class accuracy (all in 0..1) and mean negative log-likelihood in nats.

    Ties for a place among the best five count against the model. Top-5 is 1 where there are five
    classes or fewer.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N,) true classes, 0..K-1.
        balanced: all classes that occur count alike, however many clips they have: the mean class
            accuracy is the main score, as `balanced_accuracy`, the loss is the mean of those of
            the classes, and `effective_clips` is how many clips make a score as sure as this one.
    """
    true_score = scores[np.arange(len(labels)), labels]
    rivals = (scores >= true_score[:, None]).sum(axis=1) - 1
    losses = -np.log(np.clip(true_score, 1e-12, None))
    found = {
        "top1": float((scores.argmax(axis=1) == labels).mean()),
        "top5": float((rivals < 5).mean()),
        "mean_class_accuracy": float(np.mean(list(class_accuracy(scores, labels).values()))),
        "loss": float(losses.mean()),
    }
    if not balanced:
        return found
    counts = np.bincount(labels)[labels]
    return {
        **found,
        "balanced_accuracy": found["mean_class_accuracy"],
        "loss": float(np.average(losses, weights=1 / counts)),
        "effective_clips": effective_clips(labels),
    }


def balancing_weights(labels: np.ndarray) -> np.ndarray:
    """How many clips each counts as, where all classes count alike: (N,), `effective_clips` in all.

    Args:
        labels: (N,) classes, N >= 1.
    """
    weights = 1 / np.bincount(labels)[labels]
    return weights * (effective_clips(labels) / weights.sum())


def effective_clips(labels: np.ndarray) -> float:
    """How many clips of equal weight are as sure as these, where all their classes count alike.

    The effective sample size of weighted data: (sum w)^2 / sum w^2 (Kish, Survey Sampling, 1965).

    Args:
        labels: (N,) classes, N >= 1.
    """
    weights = 1 / np.bincount(labels)[labels]
    return float(weights.sum() ** 2 / (weights**2).sum())


def average_precision(scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Average precision of each class that has a positive clip.

    The area under the steps of precision over recall: sum over thresholds of (R_n - R_n-1) P_n,
    where clips of equal score share one threshold (as scikit-learn defines it).

    Args:
        scores: (N, K) probabilities.
        labels: (N, K) 1 where a clip is of a class, else 0.
    """
    found = {}
    for index in range(scores.shape[1]):
        positives = int(labels[:, index].sum())
        if positives:
            found[index] = _area(scores[:, index], labels[:, index] > 0, positives)
    return found


def _area(scores: np.ndarray, is_positive: np.ndarray, positives: int) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_positive[order])
    # The last clip of each score: before it, the threshold lies within the same score.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0) / positives
    return float((precision * gained).sum())


def multi_label_metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """mAP, F1 at 0.5 (over all decisions, and as a mean over classes), mean loss in nats.

    mAP is the mean of the average precision of the classes that have a positive clip, 0 if none
    has; of the same classes is the mean of F1. The loss is the binary cross-entropy of a decision.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N, K) 1 where a clip is of a class, else 0.
    """
    truth, said = labels > 0, scores >= POSITIVE_FROM
    right = (truth & said).sum(axis=0)
    # 2 TP / (2 TP + FP + FN) = 2 TP / (said + true)
    both = said.sum(axis=0) + truth.sum(axis=0)
    occurs = truth.any(axis=0)
    per_class = 2 * right[occurs] / both[occurs]
    true_score = np.clip(np.where(truth, scores, 1 - scores), 1e-12, None)
    precisions = list(average_precision(scores, labels).values())
    return {
        "mAP": float(np.mean(precisions)) if precisions else 0.0,
        "f1": float(2 * right.sum() / max(both.sum(), 1)),
        "mean_class_f1": float(per_class.mean()) if precisions else 0.0,
        "loss": float(-np.log(true_score).mean()),
    }


def main_score(evaluation: Mapping[str, float] | None) -> str | None:
    """Give the key of the metric that says how good an evaluation is; None where it has none."""
    return next((key for key in MAIN_SCORES if key in (evaluation or {})), None)


def selection_score(evaluation: Mapping[str, float] | None) -> float:
    """Give what weights are chosen by: the main score, less a share of the loss; -inf without.

    Among few validation clips the highest score is mostly luck; how likely the true classes are
    says more, once the temperature is right, of how far the model is from being wrong or right.
    The loss counts for as much as the chance in a score: over the root of the number of clips.
    """
    key = main_score(evaluation)
    if key is None:
        return -math.inf
    figures = evaluation[key], evaluation["loss"]
    if any(figure is None or not math.isfinite(figure) for figure in figures):
        return -math.inf
    loss = evaluation.get("calibrated_loss", evaluation["loss"])
    clips = evaluation.get("effective_clips", evaluation.get("clips", math.inf))
    return evaluation[key] - loss_share(clips) * min(loss, LARGEST_LOSS)


def loss_share(clips: float) -> float:
    """How much of the loss counts against a score of so many clips."""
    return max(LOSS_SHARE / math.sqrt(clips), LEAST_LOSS_SHARE)


def main_score_of(*, multi_label: bool, balanced: bool) -> str:
    """Give the key of the metric that evaluations of such a run will have as their main score."""
    if multi_label:
        return "mAP"
    return "balanced_accuracy" if balanced else "top1"


def scored(predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) of the clips that were read and have a label, and their labels.

    Labels are (N,), or (N, K) of 0 and 1 for several classes a clip.
    """
    known = [p for p in predictions if p.scores is not None and p.label is not None]
    scores = np.array([p.scores for p in known], dtype=np.float64)
    if not known or not known[0].multi_label:
        return scores, np.array([p.label for p in known], dtype=np.int64)
    labels = np.zeros(scores.shape, dtype=np.int64)
    for row, prediction in zip(labels, known, strict=True):
        row[list(prediction.label)] = 1
    return scores, labels


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where predictions come from."""

    config: str
    checkpoint: str
    checkpoint_sha256: str
    decoder: str
    """What decoded the clips."""
    classes: tuple[str, ...]
    data_root: str
    """The folder that the clips' paths start from, or its address."""


def results(
    predictions: Sequence[Prediction], provenance: Provenance, calibration: dict | None = None
) -> dict:
    """The content of results.json: one record per clip in listed order, metrics where labelled.

    Args:
        predictions: with the probabilities that are to be told.
        provenance: where they come from.
        calibration: what there is to say of how the probabilities were made; None: as they came.
    """
    return {
        "schema": SCHEMA,
        "config": provenance.config,
        "checkpoint": provenance.checkpoint,
        "checkpoint_sha256": provenance.checkpoint_sha256,
        "decoder": provenance.decoder,
        "data_root": provenance.data_root,
        "classes": list(provenance.classes),
        "metrics": _measure(predictions, provenance.classes),
        "calibration": calibration,
        "predictions": [p.record(provenance.classes) for p in predictions],
    }


def _measure(predictions: Sequence[Prediction], classes: Sequence[str]) -> dict | None:
    scores, labels = scored(predictions)
    if not len(labels):
        return None
    if labels.ndim == 2:
        measured = multi_label_metrics(scores, labels)
        precisions = average_precision(scores, labels)
        by_class = {name: precisions.get(index) for index, name in enumerate(classes)}
        measured["average_precision"] = by_class
        intervals = multi_label_intervals(scores, labels, positive_from=POSITIVE_FROM)
    else:
        measured = metrics(scores, labels)
        intervals = single_label_intervals(scores, labels, measured)
    measured["intervals"] = {name: list(ends) for name, ends in intervals.items()}
    measured["clips"] = len(labels)
    measured["unreadable"] = sum(p.scores is None for p in predictions)
    return measured


def write_results(path: str | Path, content: dict) -> None:
    """Write results.json so that a crash leaves the old file or the new one."""
    write_json(path, content)
