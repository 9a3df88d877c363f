"""What weights are chosen by: the selection score, its main score, and what the choice promises.

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
"""What a nat of loss counts for beside a score of one clip, at least, and the most of them."""
PARTS, REPEATS = 5, 20
"""Of the cross-validation of a choice."""


def _main(evaluation: Mapping[str, Any] | None) -> tuple[str, Task] | None:
    """The key of an evaluation's main score, and the task that has it."""
    # Tasks of users first: they may have metrics of ours beside their own.
    for task in map(TASKS.__getitem__, reversed([*TASKS])):
        for key in reversed(task.main_scores):
            if key in (evaluation or {}):
                return key, task
    return None


def main_score(evaluation: Mapping[str, Any] | None) -> str | None:
    """The metric that an evaluation's weights are chosen by; None where it has none."""
    main = _main(evaluation)
    return None if main is None else main[0]


def second_score(evaluation: Mapping[str, Any]) -> str | None:
    """The metric that is told beside the main score; None where the task has no other."""
    main = _main(evaluation)
    others = [] if main is None else [name for name in main[1].metrics if name != main[0]]
    return next((name for name in others if name in evaluation), None)


def score_label(key: str) -> str:
    """What a main score is called for people."""
    return METRICS[key].label if key in METRICS else key.replace("_", " ")


def main_score_interval(evaluation: Mapping[str, Any]) -> Interval | tuple[None, None]:
    """The 95% interval of an evaluation's main score; Nones where that is no share of clips."""
    main = _main(evaluation)
    if main is None or not main[1].counts_right_clips or not evaluation.get("clips"):
        return None, None
    clips = evaluation.get("effective_clips", evaluation["clips"])
    return wilson_interval(evaluation[main[0]] * clips, clips)


def selection_score(evaluation: Mapping[str, Any] | None) -> float:
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
    return evaluation[key] - _loss_share(clips) * min(loss, LARGEST_LOSS)


def _loss_share(clips: float) -> float:
    """How much of the loss counts against a score of so many clips."""
    return max(LOSS_SHARE / math.sqrt(clips), LEAST_LOSS_SHARE)


def score_of_choice(
    right: np.ndarray, losses: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> float | None:
    """Give the score, 0 to 1, of choosing the best evaluation by its selection score.

    The best of many evaluations on few clips promises too much. So each part of the clips is scored
    by the evaluation that the others choose (Tsamardinos et al., "Bootstrapping the out-of-sample
    predictions for efficient and accurate cross-validation", Machine Learning 107 (2018), section
    3). Clips of one recording are right or wrong together, and are in one part.

    Args:
        right: (E, N) whether the class of a clip was found, E >= 1.
        losses: (E, N) calibrated loss of each clip.
        weights: (N,) how many clips each counts as.
        groups: (N,) labels of clips that are in one part.

    Returns:
        None where there is but one group.
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
    """(E,) selection scores on clips (N,) of these weights."""
    clips = weights.sum()
    score, loss = (values @ weights / clips for values in (right, losses))
    return score - _loss_share(clips) * np.minimum(loss, LARGEST_LOSS)
