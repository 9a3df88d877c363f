"""Predictions → metrics and results.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autox_video.fileio import write_json

SCHEMA = 1
SCORE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one clip."""

    video: str
    """The path as listed."""
    label: int | None
    """The true class, where the list has one."""
    scores: tuple[float, ...] | None
    """One probability per class; None for a clip that could not be read."""
    error: str | None = None
    """Why the clip could not be read."""

    def record(self, classes: Sequence[str]) -> dict:
        """The clip's entry in results.json."""
        if self.scores is None:
            best = {"predicted": None, "class": None, "score": None, "scores": None}
        else:
            top = int(np.argmax(self.scores))
            scores = [round(score, SCORE_DIGITS) for score in self.scores]
            best = {"predicted": top, "class": classes[top], "score": scores[top], "scores": scores}
        status = "ok" if self.scores is not None else "unreadable"
        return {
            "video": self.video,
            "status": status,
            "error": self.error,
            "label": self.label,
            **best,
        }


def class_accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Share of clips of each class that are predicted right, for the classes that occur.

    Args:
        scores: (N, K) probabilities.
        labels: (N,) true classes, 0..K-1.
    """
    right = scores.argmax(axis=1) == labels
    return {int(label): float(right[labels == label].mean()) for label in np.unique(labels)}


def metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Top-1, top-5, mean class accuracy (all in 0..1) and mean negative log-likelihood in nats.

    Ties for a place among the best five count against the model. Top-5 is 1 where there are five
    classes or fewer.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N,) true classes, 0..K-1.
    """
    true_score = scores[np.arange(len(labels)), labels]
    rivals = (scores >= true_score[:, None]).sum(axis=1) - 1
    return {
        "top1": float((scores.argmax(axis=1) == labels).mean()),
        "top5": float((rivals < 5).mean()),
        "mean_class_accuracy": float(np.mean(list(class_accuracy(scores, labels).values()))),
        "loss": float(-np.log(np.clip(true_score, 1e-12, None)).mean()),
    }


def scored(predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) and labels (N,) of the clips that were read and have a label."""
    known = [p for p in predictions if p.scores is not None and p.label is not None]
    scores = np.array([p.scores for p in known], dtype=np.float64)
    return scores, np.array([p.label for p in known], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where predictions come from."""

    config: str
    checkpoint: str
    checkpoint_sha256: str
    classes: tuple[str, ...]


def results(predictions: Sequence[Prediction], provenance: Provenance) -> dict:
    """The content of results.json: one record per clip in listed order, metrics where labelled."""
    scores, labels = scored(predictions)
    measured = None
    if len(labels):
        measured = metrics(scores, labels)
        measured["clips"] = len(labels)
        measured["unreadable"] = sum(p.scores is None for p in predictions)
    return {
        "schema": SCHEMA,
        "config": provenance.config,
        "checkpoint": provenance.checkpoint,
        "checkpoint_sha256": provenance.checkpoint_sha256,
        "classes": list(provenance.classes),
        "metrics": measured,
        "predictions": [p.record(provenance.classes) for p in predictions],
    }


def write_results(path: str | Path, content: dict) -> None:
    """Write results.json so that a crash leaves the old file or the new one."""
    write_json(path, content)
