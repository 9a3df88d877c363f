"""Choose and score the settings of probes (heads on fixed features) by cross-validation.

Shape letters: n clips, K classes, R repeats, F folds per repeat, S settings, g = R F heads.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autox_video.automl.probing import attentive_probe, linear_probe
from autox_video.automl.probing.samples import Samples, class_weights
from autox_video.data.splitting.folds import repeated_folds
from autox_video.metrics.calibration import OutOfFold, calibration_figures
from autox_video.metrics.intervals import FEW_VALIDATION_CLIPS, wilson_interval
from autox_video.metrics.selection_score import main_score
from autox_video.tasks.classification.metrics import effective_clips

LINEAR, ORDERED, ATTENTIVE = "linear", "ordered", "attentive"
POOLS = (LINEAR, ORDERED, ATTENTIVE)
FOLDS = 5
FEW_CLIPS, REPEATS = 500, 3
"""Largest number of clips for which cross-validation is repeated to reduce noise, and the number of
repeats."""

IMBALANCE = 3.0
"""Smallest ratio of the largest to the smallest class size at which class balancing is tried in
multi-label tasks."""

DRAWS = 500
"""Number of bootstrap samples for the confidence interval of a score other than accuracy."""

SMALL = 50e6
"""Number of multiply-accumulate operations below which a single thread is fastest."""

_CLIPS_AT_A_TIME = 512


@dataclass(frozen=True, slots=True)
class Setting:
    """How a head is fitted on features."""

    pool: str
    """Input of the head. `linear`: the mean over the feature map; `ordered`: that mean and the
    means over time windows; `attentive`: the outputs of learned attention queries."""
    weight_decay: float
    rate: float | None = None
    """Learning rate of AdamW for an attentive head."""
    balanced: bool = False
    """Whether all classes count equally, regardless of their size."""

    def as_dict(self) -> dict[str, Any]:
        """Return the setting as JSON values."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Scored:
    """The best setting and its nested cross-validation score."""

    setting: Setting
    score: float
    """The main score, with each fold's setting chosen on the other folds."""
    low: float
    high: float
    """Lower and upper bounds of the score's 95% confidence interval."""
    right: np.ndarray
    """Share of repeats in which each clip (n,) is classified correctly; in multi-label tasks, mean
    share of classes predicted correctly."""
    unseen: np.ndarray
    """Out-of-fold logits (R, n, K) of each repeat."""
    in_folds: OutOfFold | None
    """The out-of-fold predictions with their labels; None for multi-label tasks."""


@contextmanager
def few_threads(samples: Samples) -> Iterator[None]:
    """Use a single thread in the `with` block if the matrix products are small."""
    before = torch.get_num_threads()
    products = len(samples) * samples.tokens.shape[1] * samples.tokens.shape[-1]
    if products * samples.targets.shape[1] < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_folds(samples: Samples, groups: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """Return the fold of each clip in each repeat (R, n), or zeros if there is only one group.

    Args:
        samples: the training clips.
        groups: group of each clip; all clips of a group are in the same fold.
        seed: seed for drawing the folds.
    """
    folds = min(FOLDS, len(set(groups)))
    if folds < 2:
        return np.zeros((1, len(samples)), dtype=np.int64)
    counts = samples.targets.sum(0).clamp(min=1)
    # A clip with several classes counts for its rarest class.
    rarest = (samples.targets / counts).argmax(1).tolist()
    repeats = REPEATS if len(samples) <= FEW_CLIPS else 1
    return repeated_folds(
        rarest, folds=folds, repeats=repeats, seed=seed, groups=np.asarray(groups)
    )


def cross_validate(
    samples: Samples, pool: str, folds: np.ndarray, *, seconds: float = math.inf
) -> Scored:
    """Choose and score the best setting for a kind of head.

    Args:
        samples: the training clips; only the first view of each clip is scored.
        pool: one of `POOLS`.
        folds: folds as returned by `make_folds`.
        seconds: time limit.

    Raises:
        TooSlowError: fitting would exceed the time limit.
    """
    grid = settings_of(samples, pool)
    folds = folds[:1] if pool == ATTENTIVE else folds  # these heads are slow to fit
    parts = list(product(range(len(folds)), range(folds.max() + 1)))
    held_out = torch.from_numpy(np.stack([folds[r] == f for r, f in parts])).to(samples.targets)
    found = np.zeros((len(grid), len(folds), *samples.targets.shape), dtype=np.float32)

    def visit(setting: int, logits: Tensor) -> None:
        values = logits.float().cpu().numpy()
        for (r, f), value in zip(parts, values, strict=True):
            unseen = folds[r] == f
            found[setting, r, unseen] = value[unseen]

    if pool == ATTENTIVE:
        _attentive_heads(samples, grid, 1 - held_out, visit, seconds=seconds)
    else:
        seen = samples if pool == LINEAR else samples.pooled(*_ordered(samples))
        with few_threads(seen):
            _linear_heads(seen, grid, 1 - held_out, visit, seconds=seconds)
    return _choose(grid, found, samples, folds)


def settings_of(samples: Samples, pool: str) -> list[Setting]:
    """Return the settings to try for a kind of head; class balancing is tried if it may help."""
    counts = samples.targets.sum(0).clamp(min=1)
    # If the task can balance its loss, the plan has already decided on class balance.
    differ = float(counts.max() / counts.min()) >= IMBALANCE and not samples.task.balances_loss
    weigh = (False, True) if samples.balanced or differ else (False,)
    if pool != ATTENTIVE:
        return [Setting(pool, d, balanced=b) for b, d in product(weigh, linear_probe.DECAYS)]
    values = product(weigh, attentive_probe.RATES, attentive_probe.DECAYS)
    return [Setting(ATTENTIVE, decay, rate, b) for b, rate, decay in values]


def fit_on_all(
    samples: Samples, setting: Setting
) -> linear_probe.LinearHead | attentive_probe.AttentiveHead:
    """Fit a head for raw backbone features on all clips, using the given setting."""
    weights = _weights(samples, balanced=setting.balanced)
    if setting.pool == LINEAR:
        with few_threads(samples):
            return linear_probe.fit_linear(samples, weights, setting.weight_decay)
    if setting.pool == ORDERED:
        query, place = _ordered(samples)
        seen = samples.pooled(query, place)
        with few_threads(seen):
            head = linear_probe.fit_linear(seen, weights, setting.weight_decay)
        return attentive_probe.AttentiveHead(query, place, head.weight, head.bias)
    rates, decays = (weights.new_tensor([v]) for v in (setting.rate, setting.weight_decay))
    return attentive_probe.fit_heads(samples, weights[None], rates, decays).single(0)


def measure(
    samples: Samples,
    head: linear_probe.LinearHead | attentive_probe.AttentiveHead,
    in_folds: OutOfFold | None = None,
) -> dict[str, float]:
    """Return the validation metrics of a head, computed on the first view of each clip.

    Args:
        samples: the validation clips.
        head: a head that was not fitted on the validation clips.
        in_folds: out-of-fold predictions for the training clips; if there are few validation clips,
            the temperature is also fitted on these predictions.
    """
    logits = logits_of(samples, head)
    figures = {**_figures(logits, samples), "clips": len(samples)}
    if not samples.task.calibrates:
        return figures
    others = in_folds if len(samples) < FEW_VALIDATION_CLIPS else None
    balanced = samples.balanced
    return figures | calibration_figures(
        logits, samples.labels(), balanced=balanced, in_folds=others
    )


def logits_of(
    samples: Samples, head: linear_probe.LinearHead | attentive_probe.AttentiveHead
) -> np.ndarray:
    """Return a head's logits (n, K) for the first view of each clip."""
    parts = samples.tokens[:, 0].split(_CLIPS_AT_A_TIME)
    return torch.cat([head.logits(part.float()) for part in parts]).cpu().numpy()


def _linear_heads(
    samples: Samples,
    grid: Sequence[Setting],
    kept: Tensor,
    visit: Callable[[int, Tensor], None],
    *,
    seconds: float,
) -> None:
    """Fit a linear head for each setting and fold; `kept` (g, n) marks each head's training clips.

    `visit` is called with the index of each setting and the logits of all clips.
    """
    scale = linear_probe.scale_of(samples.mean_features)
    features = scale.apply(samples.mean_features[:, 0])
    for balanced in dict.fromkeys(setting.balanced for setting in grid):
        numbers = [n for n, setting in enumerate(grid) if setting.balanced == balanced]

        def show(which: int, weight: Tensor, bias: Tensor, numbers: list[int] = numbers) -> None:
            visit(numbers[which], features @ weight + bias[:, None])

        weights = _weights(samples, balanced=balanced) * kept
        decays = [grid[n].weight_decay for n in numbers]
        linear_probe.fit_path(samples, weights, decays, show, seconds=seconds)


def _attentive_heads(
    samples: Samples,
    grid: Sequence[Setting],
    kept: Tensor,
    visit: Callable[[int, Tensor], None],
    *,
    seconds: float,
) -> None:
    """Fit all attentive heads at once; the arguments are the same as for `_linear_heads`."""
    each = [setting for setting in grid for _ in kept]
    weights = torch.cat([_weights(samples, balanced=s.balanced) * kept for s in grid])
    rates, decays = (
        weights.new_tensor([getattr(s, name) for s in each]) for name in ("rate", "weight_decay")
    )
    heads = attentive_probe.fit_heads(samples, weights, rates, decays, seconds=seconds)
    parts = [heads.standardised(part) for part in samples.tokens[:, 0].split(_CLIPS_AT_A_TIME)]
    said = torch.cat([heads.logits(part) for part in parts], 1)
    for number, logits in enumerate(said.split(len(kept))):
        visit(number, logits)


def _ordered(samples: Samples) -> tuple[Tensor, Tensor]:
    """Return queries and position biases that make a head average over time windows."""
    _, _, tokens, channels = samples.tokens.shape
    place = attentive_probe.windows(tokens - 1).to(samples.targets)
    return place.new_zeros(len(place), channels), place


def _weights(samples: Samples, *, balanced: bool) -> Tensor:
    return class_weights(samples.targets) if balanced else samples.targets.new_ones(len(samples))


def _figures(logits: np.ndarray, samples: Samples, rows: np.ndarray | None = None) -> dict:
    scores = samples.probabilities(logits if rows is None else logits[rows])
    return samples.task.figures(scores, samples.labels(rows), balanced=samples.balanced)


def _count(samples: Samples, rows: np.ndarray | None = None) -> float:
    """Return the effective sample size of the clips in `rows`, or of all clips."""
    targets = samples.targets if rows is None else samples.targets[torch.from_numpy(rows)]
    weighs = samples.balanced and len(targets)
    return effective_clips(targets.argmax(1).cpu().numpy()) if weighs else len(targets)


def _choose(
    grid: Sequence[Setting], found: np.ndarray, samples: Samples, folds: np.ndarray
) -> Scored:
    """Choose the best setting, and score each fold with the setting chosen on the other folds."""
    ranks = {}
    parts = list(product(range(len(folds)), range(folds.max() + 1)))
    for (r, f), s in product(parts, range(len(grid))):
        others = np.flatnonzero(folds[r] != f) if folds.any() else np.arange(len(samples))
        ranks[r, f, s] = _rank(_figures(found[s, r], samples, others))
    unseen = np.empty(found.shape[1:], dtype=np.float32)
    for r, f in parts:
        clips = _count(samples, np.flatnonzero(folds[r] != f))
        best = _best([ranks[r, f, s] for s in range(len(grid))], clips)
        unseen[r, folds[r] == f] = found[best, r, folds[r] == f]
    clips = _count(samples)
    best = _best([_mean_rank(each, samples) for each in found], clips)
    score = _mean_rank(unseen, samples)[0]
    scores, in_folds = samples.probabilities(unseen), None
    if samples.task.counts_right_clips:
        low, high = wilson_interval(score * clips, clips)
    else:
        low, high = _bootstrap(scores.mean(0), samples)
    if samples.task.calibrates:
        classes = samples.targets.argmax(1).cpu().numpy()
        in_folds = OutOfFold(unseen, classes, _learnt(classes, folds))
    right = samples.task.right(scores, samples.labels()).mean(0)
    interval = min(low, score), max(high, score)
    return Scored(grid[best], score, *interval, right, unseen, in_folds)


def _learnt(classes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return, for each clip (n,), whether its class occurs in several folds of every repeat."""
    spread = np.ones(classes.max() + 1, dtype=bool)
    for fold in folds:
        counts = np.zeros((len(spread), folds.max() + 1), dtype=np.int64)
        np.add.at(counts, (classes, fold), 1)
        spread &= (counts > 0).sum(axis=1) > 1
    return spread[classes]


def _best(ranks: Sequence[tuple[float, float]], clips: float) -> int:
    """Return the index of the lowest-loss setting within one standard error of the best score.

    The one-standard-error rule (Breiman et al. 1984) is used because with few clips the best score
    is mostly luck.
    """
    highest = max(score for score, _ in ranks)
    least = highest - math.sqrt(highest * (1 - highest) / max(clips, 1))
    alike = [number for number, (score, _) in enumerate(ranks) if score >= least]
    return max(alike, key=lambda number: ranks[number][1])


def _rank(figures: dict[str, float]) -> tuple[float, float]:
    return figures[main_score(figures)], -figures["loss"]


def _mean_rank(found: np.ndarray, samples: Samples) -> tuple[float, float]:
    """Return the score and the negative loss of logits (R, n, K), averaged over the repeats."""
    score, loss = np.mean([_rank(_figures(each, samples)) for each in found], axis=0)
    return float(score), float(loss)


def _bootstrap(scores: np.ndarray, samples: Samples) -> tuple[float, float]:
    draw = np.random.default_rng(0)
    picks = (draw.integers(len(scores), size=len(scores)) for _ in range(DRAWS))
    figures = (
        samples.task.figures(scores[rows], samples.labels(rows), balanced=samples.balanced)
        for rows in picks
    )
    drawn = [_rank(drawn)[0] for drawn in figures]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)
