"""The selection score, by which weights are chosen, and an unbiased score of that choice.

Shape letters: E evaluations, N clips.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from autox_video.metrics.intervals import Interval, wilson_interval
from autox_video.metrics.metric import METRICS
from autox_video.tasks.task import TASKS, Task

LOSS_SHARE, LEAST_LOSS_SHARE, LARGEST_LOSS = 1.5, 1e-3, 100.0
"""Weight of the loss relative to an accuracy on one clip, its minimum, and the largest loss in
nats that counts."""
PARTS, REPEATS = 5, 20
"""Folds and repeats of the cross-validation of a choice."""


def _main(evaluation: Mapping[str, Any] | None) -> tuple[str, Task] | None:
    """Return the key of an evaluation's main score, and its task."""
    # Tasks of users first: they may have built-in metrics besides their own.
    for task in map(TASKS.__getitem__, reversed([*TASKS])):
        for key in reversed(task.main_scores):
            if key in (evaluation or {}):
                return key, task
    return None


def main_score(evaluation: Mapping[str, Any] | None) -> str | None:
    """Return the name of the metric by which weights are chosen; None if there is none."""
    main = _main(evaluation)
    return None if main is None else main[0]


def second_score(evaluation: Mapping[str, Any]) -> str | None:
    """Return the metric to show after the main score; None if the task has no other."""
    main = _main(evaluation)
    others = [] if main is None else [name for name in main[1].metrics if name != main[0]]
    return next((name for name in others if name in evaluation), None)


def score_label(key: str) -> str:
    """Return the name of a main score for messages."""
    return METRICS[key].label if key in METRICS else key.replace("_", " ")


def main_score_interval(evaluation: Mapping[str, Any]) -> Interval | tuple[None, None]:
    """Return the 95% interval of the main score; (None, None) if that is not an accuracy."""
    main = _main(evaluation)
    if main is None or not main[1].counts_right_clips or not evaluation.get("clips"):
        return None, None
    clips = evaluation.get("effective_clips", evaluation["clips"])
    return wilson_interval(evaluation[main[0]] * clips, clips)


def selection_score(evaluation: Mapping[str, Any] | None) -> float:
    """Return the selection score: the main score minus a share of the loss; -inf without either.

    With few validation clips the highest accuracy is mostly luck, and the calibrated loss says more
    about the margin of each prediction. Like the sampling error of an accuracy, the weight of the
    loss falls with the square root of the number of clips.
    """
    key = main_score(evaluation)
    if key is None:
        return -math.inf
    figures = evaluation[key], evaluation["loss"]
    if any(figure is None or not math.isfinite(figure) for figure in figures):
        return -math.inf
    loss = evaluation.get("calibrated_loss", evaluation["loss"])
    clips = evaluation.get("effective_clips", evaluation.get("clips", math.inf))
    return evaluation[key] - _loss_share(clips) * min(loss, LARGEST_LOSS)


def _loss_share(clips: float) -> float:
    """Return the weight of the loss for a score on that many clips."""
    return max(LOSS_SHARE / math.sqrt(clips), LEAST_LOSS_SHARE)


def score_of_choice(
    right: np.ndarray, losses: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> float | None:
    """Return the cross-validated score, 0 to 1, of choosing the best evaluation.

    The best of many evaluations on few clips is optimistic. So each fold of the clips is scored by
    the evaluation that the other folds choose (Tsamardinos et al., "Bootstrapping the out-of-sample
    predictions for efficient and accurate cross-validation", Machine Learning 107 (2018), section
    3). Clips of one recording are right or wrong together, so they share a fold.

    Args:
        right: (E, N) whether a clip was classified correctly, E >= 1.
        losses: (E, N) calibrated loss of each clip.
        weights: (N,) how many clips each counts as.
        groups: (N,) group of each clip; a group is never split.

    Returns:
        None if there is only one group.
    """
    _, of_group = np.unique(groups, return_inverse=True)
    count = int(of_group.max(initial=-1)) + 1
    if count < 2:
        return None
    parts, scores = min(PARTS, count), right * weights
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(REPEATS):
        part = rng.permutation(count)[of_group] % parts
        for number in range(parts):
            chooses = part != number
            weighted = np.where(chooses, weights, 0.0)
            chosen = np.argmax(_selection_scores(right, losses, weighted))
            total += scores[chosen, ~chooses].sum()
    return float(total / (REPEATS * weights.sum()))


def _selection_scores(right: np.ndarray, losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the selection scores (E,) on clips with weights (N,)."""
    clips = weights.sum()
    score, loss = (values @ weights / clips for values in (right, losses))
    return score - _loss_share(clips) * np.minimum(loss, LARGEST_LOSS)
