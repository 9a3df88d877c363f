"""Compact scene descriptors of clips, and detection of clips that show the same scene.

Clips cut from one recording show different actions but share the static parts of the picture: the
background (the median over some frames) and the colours. Backgrounds are compared by their
gradients, which depend less on lighting than grey values do; taking square roots keeps a single
strong edge from dominating. Clips from the same camera also have the same frame size.

Shape legend: N clips, P pairs, B bytes per scene descriptor, K frames per clip; H, W and S are
numbers of rows and columns.
"""

import math
from collections.abc import Iterator
from itertools import chain

import numpy as np

from autox_video.data.inspection.fingerprint import GREY, averaged
from autox_video.data.inspection.vector_hashing import CHUNK, in_chunks, near_pairs
from autox_video.data.splitting.groups import alone, join

SIDE = 24
LEVELS = 5
"""Levels per RGB channel in the histogram."""
GREY_BYTES = SIDE * SIDE
SCENE_BYTES = GREY_BYTES + LEVELS**3
_GRADIENTS = 2 * (SIDE - 1) ** 2

# The minimum background cosine, which ensures that equal colours alone are not enough, and the
# minimum sum of the background and colour cosines. On 150 surveillance clips with manually labelled
# recordings and 200 clips from different web videos, these values match 1 of 60,000 pairs from
# different recordings, 0 of 58 pairs of sequence neighbours from different recordings, and 78 of 90
# pairs of neighbours from the same recording.
ALIKE = 0.35, 1.2
NEIGHBOURS_ALIKE = 0.12, 1.0
"""Minimum background cosine and minimum sum of cosines for neighbours in a numbered sequence."""
_MEASURED_CLIPS, _MORE_FOR_TEN_TIMES = 350, 0.13
"""With more than _MEASURED_CLIPS clips, the minimum sum of cosines rises by _MORE_FOR_TEN_TIMES for
every tenfold increase in the number of clips, to limit chance matches."""

_COMPARED_UP_TO = 20_000
"""All pairs are compared if there are at most this many clips."""
_LOTS_KEPT = 4
"""Number of chunks whose vectors stay in memory while other chunks are compared with them."""
# Backgrounds whose gradients (square roots of 256ths) are smaller than this are nearly empty. The
# gradients are at most 1.65 in the synthetic demo and at least 1.77 in all but one of 350 real
# clips.
_FLAT = 1.7


def scene(frames: np.ndarray) -> bytes:
    """Return the scene descriptor of a clip's frames (K, H, W, 3) uint8, as SCENE_BYTES bytes.

    The descriptor consists of the background's grey values and a colour histogram.
    """
    background = np.median(averaged(frames, SIDE) @ GREY, axis=0)
    level = frames.astype(np.int64) * LEVELS // 256
    numbers = (level[..., 0] * LEVELS + level[..., 1]) * LEVELS + level[..., 2]
    histogram = np.bincount(numbers.ravel(), minlength=LEVELS**3) / numbers.size
    return b"".join(
        np.rint(part).astype(np.uint8).tobytes() for part in (background, np.sqrt(histogram) * 255)
    )


def same_scene(
    scenes: np.ndarray, sizes: np.ndarray, neighbours: np.ndarray, copies: np.ndarray
) -> np.ndarray:
    """Return group labels (N,) of clips that show the same scene (see the module `groups`).

    Similarity is treated as transitive. The search takes about 30 MB of memory, regardless of the
    number of clips. With more than 20,000 clips (copies counted once), pairs just above the
    similarity threshold are occasionally missed.

    Args:
        scenes: scene descriptors (N, B) uint8; a flat descriptor, such as all zeros, matches no
            other descriptor.
        sizes: width and height (N, 2) in pixels; clips of different sizes never match.
        neighbours: pairs (P, 2) of rows whose clips are neighbours in a sequence.
        copies: group labels (N,) of near-duplicates. Only the first clip of each group is compared
            with all other clips; the group's other clips are compared only with their neighbours.
    """

    def likeness(pairs: np.ndarray) -> np.ndarray:
        """Return the cosine similarities (P, 2) of the backgrounds and of the colours."""
        first, second = (_vectors(scenes[clips]) for clips in pairs.T)
        return np.add.reduceat(first * second, [0, _GRADIENTS], axis=1)

    labels = alone(len(scenes))
    shown = in_chunks(_shows_something, scenes)
    compared = np.flatnonzero(shown & (copies == labels))
    more = _MORE_FOR_TEN_TIMES * math.log10(max(len(scenes) / _MEASURED_CLIPS, 1))
    least = ALIKE[0], ALIKE[1] + more
    candidates = ((pairs, least) for pairs in _candidates(scenes, compared))
    shown_neighbours = neighbours[shown[neighbours].all(axis=1)]
    for pairs, (least_background, least_sum) in chain(
        candidates, [(shown_neighbours, NEIGHBOURS_ALIKE)]
    ):
        pairs = pairs[(sizes[pairs[:, 0]] == sizes[pairs[:, 1]]).all(axis=1)]
        pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        background, colours = in_chunks(likeness, pairs).T
        is_alike = (background >= least_background) & (background + colours >= least_sum)
        labels = join(labels, pairs[is_alike])
    return labels


def _candidates(scenes: np.ndarray, compared: np.ndarray) -> Iterator[np.ndarray]:
    """Yield arrays (P, 2) of pairs of clips in `compared` that may match."""
    if len(compared) > _COMPARED_UP_TO:
        yield from near_pairs(lambda clips: _vectors(scenes[clips]), compared)
        return
    lots = [compared[start : start + CHUNK] for start in range(0, len(compared), CHUNK)]
    for number in range(0, len(lots), _LOTS_KEPT):
        rows = np.concatenate([_vectors(scenes[lot]) for lot in lots[number : number + _LOTS_KEPT]])
        for behind, lot in enumerate(lots[number:]):
            first, second = np.nonzero(rows @ _vectors(scenes[lot]).T >= ALIKE[1])
            pairs = np.stack([first, second + behind * CHUNK], axis=1)
            yield compared[number * CHUNK + pairs[pairs[:, 0] < pairs[:, 1]]]


def _vectors(scenes: np.ndarray) -> np.ndarray:
    """Return vectors (N, D) of background gradients and colours, both normalised to length 1."""
    histogram = scenes[:, GREY_BYTES:].astype(np.float32)
    return np.concatenate([_unit(_gradients(scenes)), _unit(histogram)], axis=1)


def _gradients(scenes: np.ndarray) -> np.ndarray:
    grey = scenes[:, :GREY_BYTES].reshape(-1, SIDE, SIDE).astype(np.float32)
    across, down = np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]
    flat = [part.reshape(-1, _GRADIENTS // 2) for part in (across, down)]
    gradients = np.concatenate(flat, axis=1)
    return np.sign(gradients) * np.sqrt(np.abs(gradients))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _shows_something(scenes: np.ndarray) -> np.ndarray:
    """Return a mask (N,) of the backgrounds that show more than a plain area."""
    return np.sqrt(np.square(_gradients(scenes)).mean(axis=1)) >= _FLAT
