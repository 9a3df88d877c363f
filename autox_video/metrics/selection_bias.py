"""What chosen weights score on clips that did not choose them.

The best of many evaluations on a few clips is mostly the luckiest one. So the choice is made again
on parts of the validation clips, and scored on the rest: cross-validation around the choice, as in
Tsamardinos et al., "Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation", Machine Learning 107 (2018), section 3. Clips of one recording are right or wrong
together, and are in one part.

Letters in shapes: E evaluations, N clips.
"""

import numpy as np

from autox_video.metrics.results import LARGEST_LOSS, loss_share

PARTS, REPEATS = 5, 20


def score_of_choice(
    right: np.ndarray, losses: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> float | None:
    """Give the score, 0 to 1, of choosing the best evaluation; None where nothing can be left out.

    The choice is that of `results.selection_score`.

    Args:
        right: (E, N) whether the class of a clip was found, E >= 1.
        losses: (E, N) calibrated loss of each clip.
        weights: (N,) how many clips each counts as.
        groups: (N,) labels of clips that are in one part.
    """
    _, of_group = np.unique(groups, return_inverse=True)
    count = int(of_group.max(initial=-1)) + 1
    if count < 2:
        return None
    parts, scores = min(PARTS, count), right * weights
    rng = np.random.default_rng(0)
    found = 0.0
    for _ in range(REPEATS):
        part = rng.permutation(count)[of_group] % parts
        for number in range(parts):
            chooses = part != number
            chosen = np.argmax(_merits(right, losses, np.where(chooses, weights, 0.0)))
            found += scores[chosen, ~chooses].sum()
    return float(found / (REPEATS * weights.sum()))


def _merits(right: np.ndarray, losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give (E,) what evaluations are chosen by, on clips (N,) of these weights."""
    clips = weights.sum()
    means = (each @ weights / clips for each in (right, losses))
    score, loss = means
    return score - loss_share(clips) * np.minimum(loss, LARGEST_LOSS)
