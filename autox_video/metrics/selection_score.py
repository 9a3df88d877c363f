"""The selection score used to choose weights, and an unbiased score for the chosen weights.

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
"""Weight of the loss if there is a single clip, smallest weight of the loss, and largest loss of a
clip in nats (larger losses are clipped)."""
PARTS, REPEATS = 5, 20
"""Number of folds and of repeats for cross-validating a choice of weights."""


def _main(evaluation: Mapping[str, Any] | None) -> tuple[str, Task] | None:
    """Return the key of an evaluation's main score, and its task."""
    # User-defined tasks come first, since they may use built-in metrics besides their own.
    for task in map(TASKS.__getitem__, reversed([*TASKS])):
        for key in reversed(task.main_scores):
            if key in (evaluation or {}):
                return key, task
    return None


def main_score(evaluation: Mapping[str, Any] | None) -> str | None:
    """Return the name of the main score in an evaluation; None if there is none."""
    main = _main(evaluation)
    return None if main is None else main[0]


def second_score(evaluation: Mapping[str, Any]) -> str | None:
    """Return the name of the metric to show after the main score; None if no metric is left."""
    main = _main(evaluation)
    others = [] if main is None else [name for name in main[1].metrics if name != main[0]]
    return next((name for name in others if name in evaluation), None)


def score_label(key: str) -> str:
    """Return the name that messages use for a main score."""
    return METRICS[key].label if key in METRICS else key.replace("_", " ")


def main_score_interval(evaluation: Mapping[str, Any]) -> Interval | tuple[None, None]:
    """Return the 95% interval of the main score; (None, None) if the score is not an accuracy."""
    main = _main(evaluation)
    if main is None or not main[1].counts_right_clips or not evaluation.get("clips"):
        return None, None
    clips = evaluation.get("effective_clips", evaluation["clips"])
    return wilson_interval(evaluation[main[0]] * clips, clips)


def selection_score(evaluation: Mapping[str, Any] | None) -> float:
    """Return the main score minus the weighted loss; -inf if either is missing or not finite.

    With few validation clips, the highest accuracy is mostly luck, whereas the calibrated loss also
    depends on the margin of each prediction. Like the sampling error of an accuracy, the weight of
    the loss is inversely proportional to the square root of the number of clips.
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
    """Return the weight of the loss in a selection score that is computed on `clips` clips."""
    return max(LOSS_SHARE / math.sqrt(clips), LEAST_LOSS_SHARE)


def score_of_choice(
    right: np.ndarray, losses: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> float | None:
    """Return the cross-validated score, from 0 to 1, of choosing the best evaluation.

    The best of many scores on few clips is optimistic. Therefore, each fold is scored with the
    evaluation that is best on the other folds (Tsamardinos et al., "Bootstrapping the out-of-sample
    predictions for efficient and accurate cross-validation", Machine Learning 107 (2018), section
    3). Clips of the same recording tend to be classified correctly or incorrectly together, so they
    share a fold.

    Args:
        right: (E, N) whether each clip was classified correctly, E >= 1.
        losses: (E, N) calibrated loss of each clip.
        weights: (N,) weight of each clip.
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
    """Return the selection score of each evaluation (E,) on clips with weights (N,)."""
    clips = weights.sum()
    score, loss = (values @ weights / clips for values in (right, losses))
    return score - _loss_share(clips) * np.minimum(loss, LARGEST_LOSS)
