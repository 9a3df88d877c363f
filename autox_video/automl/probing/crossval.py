"""Probes: heads on fixed features, their settings chosen and scored by cross-validation.

Shape letters: n clips, K classes, R divisions, F folds of each, S settings, g = R F heads.
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
"""Up to so many clips the division is repeated: chance in a single one would decide."""

IMBALANCE = 3.0
"""Training clips of the commonest class over the rarest, from which balanced classes are tried
where a clip may be of several."""

DRAWS = 500
"""Bootstrap samples of clips for the interval of a score that is no share of right clips."""

SMALL = 50e6
"""Multiply-accumulates of a head on all samples, below which one thread does it soonest."""

_CLIPS_AT_A_TIME = 512


@dataclass(frozen=True, slots=True)
class Setting:
    """How a head is fitted."""

    pool: str
    """`linear`: on the mean over the feature map; `ordered`: on its means over parts of the time
    as well; `attentive`: on what learnt queries find in it."""
    weight_decay: float
    rate: float | None = None
    """AdamW's learning rate of an attentive head."""
    balanced: bool = False
    """Whether all classes count alike, however many clips they have."""

    def as_dict(self) -> dict[str, Any]:
        """The setting as plain JSON values."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Scored:
    """The best setting, and what heads made like that score on clips they have not seen."""

    setting: Setting
    score: float
    """The main score. The setting for each fold was chosen on the other folds."""
    low: float
    high: float
    """Ends of its 95% interval."""
    right: np.ndarray
    """(n,) of each clip, the share of the divisions in which it was told right; of several classes
    a clip, the share of them as well."""
    in_folds: OutOfFold | None
    """What heads that have not learnt from a clip say of it, in each division; None where a clip
    may be of several classes."""


@contextmanager
def few_threads(samples: Samples) -> Iterator[None]:
    """Within the block small products are done by one thread: many would mostly wait."""
    before = torch.get_num_threads()
    products = len(samples) * samples.tokens.shape[1] * samples.tokens.shape[-1]
    if products * samples.targets.shape[1] < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_folds(samples: Samples, groups: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """(R, n): the fold of each clip in each division; all 0 where nothing can be divided.

    Args:
        samples: the training clips.
        groups: of each clip; those of one group are in one fold.
        seed: of the divisions.
    """
    folds = min(FOLDS, len(set(groups)))
    if folds < 2:
        return np.zeros((1, len(samples)), dtype=np.int64)
    counts = samples.targets.sum(0).clamp(min=1)
    # Of several classes a clip counts for its rarest.
    rarest = (samples.targets / counts).argmax(1).tolist()
    repeats = REPEATS if len(samples) <= FEW_CLIPS else 1
    return repeated_folds(
        rarest, folds=folds, repeats=repeats, seed=seed, groups=np.asarray(groups)
    )


def cross_validate(
    samples: Samples, pool: str, folds: np.ndarray, *, seconds: float = math.inf
) -> Scored:
    """Choose a head's setting and score it.

    Args:
        samples: the training clips; a clip is scored by its first view.
        pool: one of `POOLS`.
        folds: as returned by `make_folds`.
        seconds: what it may take.

    Raises:
        TooSlowError: it would take longer.
    """
    grid = settings_of(samples, pool)
    folds = folds[:1] if pool == ATTENTIVE else folds  # each of these heads takes long
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
    """The grid for a head; with balanced classes only where they count or differ much."""
    counts = samples.targets.sum(0).clamp(min=1)
    # Where the plan can balance classes, it has.
    differ = float(counts.max() / counts.min()) >= IMBALANCE and not samples.task.balances_loss
    weigh = (False, True) if samples.balanced or differ else (False,)
    if pool != ATTENTIVE:
        return [Setting(pool, d, balanced=b) for b, d in product(weigh, linear_probe.DECAYS)]
    values = product(weigh, attentive_probe.RATES, attentive_probe.DECAYS)
    return [Setting(ATTENTIVE, decay, rate, b) for b, rate, decay in values]


def fit_on_all(
    samples: Samples, setting: Setting
) -> linear_probe.LinearHead | attentive_probe.AttentiveHead:
    """The head of a setting, fitted on all clips, for features as the backbone gives them."""
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
    """The validation figures of a head, by the first view of each clip, as training has them.

    Args:
        samples: the validation clips.
        head: which has not learnt from them.
        in_folds: of the clips that it has learnt from, by heads that have not: where few clips
            validate, the temperature is of these, too.
    """
    parts = samples.tokens[:, 0].split(_CLIPS_AT_A_TIME)
    logits = torch.cat([head.logits(part.float()) for part in parts]).cpu().numpy()
    figures = {**_figures(logits, samples), "clips": len(samples)}
    if not samples.task.calibrates:
        return figures
    others = in_folds if len(samples) < FEW_VALIDATION_CLIPS else None
    balanced = samples.balanced
    return figures | calibration_figures(
        logits, samples.labels(), balanced=balanced, in_folds=others
    )


def _linear_heads(
    samples: Samples,
    grid: Sequence[Setting],
    kept: Tensor,
    visit: Callable[[int, Tensor], None],
    *,
    seconds: float,
) -> None:
    """Fit a linear head for each fold (g, n) and setting, and show what each says of all clips."""
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
    """Fit all attentive heads at once, and show what each says of all clips."""
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
    """Queries and places of a head that only looks at parts of the time."""
    _, _, tokens, channels = samples.tokens.shape
    place = attentive_probe.windows(tokens - 1).to(samples.targets)
    return place.new_zeros(len(place), channels), place


def _weights(samples: Samples, *, balanced: bool) -> Tensor:
    return class_weights(samples.targets) if balanced else samples.targets.new_ones(len(samples))


def _figures(logits: np.ndarray, samples: Samples, rows: np.ndarray | None = None) -> dict:
    scores = samples.probabilities(logits if rows is None else logits[rows])
    return samples.task.figures(scores, samples.labels(rows), balanced=samples.balanced)


def _count(samples: Samples, rows: np.ndarray | None = None) -> float:
    """How many clips alike are as sure as these, or as some of them."""
    targets = samples.targets if rows is None else samples.targets[torch.from_numpy(rows)]
    weighs = samples.balanced and len(targets)
    return effective_clips(targets.argmax(1).cpu().numpy()) if weighs else len(targets)


def _choose(
    grid: Sequence[Setting], found: np.ndarray, samples: Samples, folds: np.ndarray
) -> Scored:
    """Pick the best setting; score the choice itself, fold by fold, by what the others say."""
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
    return Scored(grid[best], score, min(low, score), max(high, score), right, in_folds)


def _learnt(classes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n,) of each clip, whether one of its class is in another fold, in each division."""
    spread = np.ones(classes.max() + 1, dtype=bool)
    for fold in folds:
        counts = np.zeros((len(spread), folds.max() + 1), dtype=np.int64)
        np.add.at(counts, (classes, fold), 1)
        spread &= (counts > 0).sum(axis=1) > 1
    return spread[classes]


def _best(ranks: Sequence[tuple[float, float]], clips: float) -> int:
    """Of the settings whose score is within a standard error of the highest, that of least loss.

    The one-standard-error rule (Breiman et al. 1984): among few clips the highest is mostly luck.
    """
    highest = max(score for score, _ in ranks)
    least = highest - math.sqrt(highest * (1 - highest) / max(clips, 1))
    alike = [number for number, (score, _) in enumerate(ranks) if score >= least]
    return max(alike, key=lambda number: ranks[number][1])


def _rank(figures: dict[str, float]) -> tuple[float, float]:
    return figures[main_score(figures)], -figures["loss"]


def _mean_rank(found: np.ndarray, samples: Samples) -> tuple[float, float]:
    """The mean score and loss over divisions (R, n, K)."""
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
