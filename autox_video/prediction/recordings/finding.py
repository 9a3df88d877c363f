"""Find segments in step probabilities, choose how, and compare them with true segments.

Shape letters: N steps, K classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from autox_video.prediction.timeline import TimelineOptions, timeline
from autox_video.prediction.video_prediction import VideoPrediction, Windows
from autox_video.tasks.localisation.metrics import Recording, localisation_figures
from autox_video.tasks.localisation.segments import (
    Segments,
    labels_of_segments,
    nms,
    segments_above,
)

THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
LEAST_SECONDS = (0.0, 0.25, 0.5, 1.0)
"""Options of a timeline to choose from: thresholds and shortest segments."""
PROPOSAL_THRESHOLDS = tuple(np.linspace(0.1, 0.9, 9).round(1).tolist())
MOST_IOU = 0.3
"""Of two proposals of a class that overlap more, the one with the lower score is dropped."""
SURROUNDING = 0.25
"""Length of the surroundings on each side of a proposal, relative to the proposal."""


def found_in(prediction: VideoPrediction, options: TimelineOptions) -> Segments:
    """Return the segments of the timeline of a recording."""
    rows = [(s.start, s.end, s.index, s.score) for s in timeline(prediction, options)]
    return Segments.of(rows)


def proposals_in(windows: Windows) -> Segments:
    """Return segments of many lengths with scores, for the average precision.

    The score is the mean probability inside minus the mean probability in the surroundings, so that
    a proposal that is too short or too long scores less than one that fits.
    """
    edges = np.append(windows.starts, windows.ends[-1])
    found = segments_above(windows.scores, edges, PROPOSAL_THRESHOLDS)
    sums = np.concatenate([np.zeros((1, windows.scores.shape[1])), windows.scores.cumsum(0)])
    first, last = (np.searchsorted(edges, t) for t in (found.starts, found.ends))
    around = np.maximum(1, np.ceil(SURROUNDING * (last - first))).astype(int)
    before, after = np.maximum(first - around, 0), np.minimum(last + around, len(edges) - 1)
    inside = sums[last, found.labels] - sums[first, found.labels]
    outside = sums[after, found.labels] - sums[before, found.labels] - inside
    steps = np.maximum((after - before) - (last - first), 1)
    scores = inside / np.maximum(last - first, 1) - outside / steps
    return nms(replace(found, scores=scores), most_iou=MOST_IOU)


def compared(truth: Segments, prediction: VideoPrediction, options: TimelineOptions) -> Recording:
    """Return what is true and what is predicted in a recording."""
    windows = prediction.windows
    edges = np.append(windows.starts, windows.ends[-1])
    found = found_in(prediction, options)
    return Recording(
        truth,
        proposals_in(windows),
        found,
        labels_of_segments(truth, edges),
        labels_of_segments(found, edges),
    )


def selection_score(figures: dict[str, float]) -> float:
    """Return the score by which models are chosen."""
    return (figures["mAP@0.5"] + figures["f1@50"]) / 2


def best_options(
    truth: Sequence[Segments], predictions: Sequence[VideoPrediction]
) -> tuple[TimelineOptions, dict[str, float]]:
    """Return the options with the highest segmental F1 on recordings, and all figures with them."""
    best = None
    for threshold, least_sec in product(THRESHOLDS, LEAST_SECONDS):
        options = TimelineOptions(threshold, least_sec)
        pairs = zip(truth, predictions, strict=True)
        figures = localisation_figures([compared(*pair, options) for pair in pairs])
        if best is None or figures["f1@50"] > best[1]["f1@50"]:
            best = options, figures
    return best
