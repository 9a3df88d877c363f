"""What a clip looks like in a few hundred bytes, and which clips look the same.

A fingerprint is a tiny grey picture of some frames and a tinier one of the clip's colours. Coding
anew, scaling, other brightness or contrast, and a few pixels less at the edges hardly change it.
Clips look the same if the grey pictures, what changes from one to the next, and the colours agree:
by the first alone, all clips of a camera that stands still would.

Near-duplicates are found without comparing all pairs, by locality-sensitive hashing: the bits of a
key are on which side of random planes the grey pictures lie (Charikar, "Similarity estimation
techniques from rounding algorithms", 2002, section 3), and clips of equal keys are compared.

Shape legend: N clips, P pairs, F bytes of a fingerprint, K frames of a clip, S rows and columns of
a tiny grey picture, G planes.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from autox_video.dataset.decode import Video
from autox_video.dataset.groups import alone, join

FRAMES = 5
SIDE = 8
COLOUR_SIDE = 4
GREY_BYTES = FRAMES * SIDE * SIDE
FINGERPRINT_BYTES = GREY_BYTES + 2 * COLOUR_SIDE * COLOUR_SIDE

# Measured on real clips, changed copies of them, the demo's clips, and clips of one fixed camera:
# copies of no or little motion are above 0.93, different clips with the same motion below.
MIN_LIKENESS = 0.92
MIN_MOTION_LIKENESS = 0.6
MAX_COLOUR_SHARE = 0.15
"""How far colours may be apart, as a part of how strong they are."""

_COLOUR_NOISE = 2.0  # what coding anew may change in colours, in 256ths
_STILL = 1.0  # less change than this in 256ths is noise
_FLAT = 1.5  # pictures of less contrast than this in 256ths, such as black ones, show nothing
_SHORT_SIDE_PX = 64
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_TABLES, _TABLES_AT_A_TIME = 32, 8
_NEIGHBOURS = 8  # clips of the same key that each is compared with, in each table
_CHUNK = 512


def fingerprint(video: Video) -> bytes:
    """Give what an open clip looks like: FINGERPRINT_BYTES, equal for equal pictures.

    Frames at fixed shares of the length, (K, S, S) grey values, and then the mean redness and
    blueness of the clip, (COLOUR_SIDE, COLOUR_SIDE, 2), 128 for none.

    Raises:
        VideoError: one of the frames cannot be decoded.
    """
    times_sec = (np.arange(FRAMES) + 0.5) / FRAMES * video.seconds
    tiny = np.stack([_tiny(frame) for frame in video.frames_at(times_sec, _SHORT_SIDE_PX)])
    fold = SIDE // COLOUR_SIDE
    mean = tiny.mean(axis=0).reshape(COLOUR_SIDE, fold, COLOUR_SIDE, fold, 3).mean(axis=(1, 3))
    colour = (mean[..., ::2] - (mean @ _GREY)[..., None]) / 2 + 128
    return b"".join(np.rint(part).astype(np.uint8).tobytes() for part in (tiny @ _GREY, colour))


def _tiny(frame: np.ndarray) -> np.ndarray:
    """Average a frame (H, W, 3) over even parts: (S, S, 3) in 0..255."""
    height, width = frame.shape[:2]
    rows = _averaging(height) @ frame.reshape(height, width * 3).astype(np.float32)
    return _averaging(width) @ rows.reshape(SIDE, width, 3)


@lru_cache(maxsize=256)
def _averaging(size: int) -> np.ndarray:
    """The matrix (S, size) that averages `size` pixels over SIDE even parts."""
    edges, pixel = np.arange(SIDE + 1) * size / SIDE, np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(covered, 0) * SIDE / size).astype(np.float32)


def near_duplicates(fingerprints: np.ndarray) -> np.ndarray:
    """Find the clips that look the same; those alike to a common one belong together.

    Takes time in proportion to N log N, and memory of about 100 bytes a clip. A pair that is only
    just alike is missed now and then.

    Args:
        fingerprints: (N, F) uint8; flat ones, such as those of nothing but zeros, are like no
            other.

    Returns:
        (N,) int64, as in `groups`.
    """
    labels = alone(len(fingerprints))
    shown = np.flatnonzero(_has_contrast(fingerprints))
    if len(shown) < 2:
        return labels
    for key, order in _tables(fingerprints, shown):
        for step in range(1, min(_NEIGHBOURS, len(shown) - 1) + 1):
            near = key[order[:-step]] == key[order[step:]]
            pairs = shown[np.stack([order[:-step][near], order[step:][near]], axis=1)]
            pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
            labels = join(labels, pairs[_alike(fingerprints, pairs)])
    return labels


def _has_contrast(fingerprints: np.ndarray) -> np.ndarray:
    """Tell (N,) which clips show something."""
    found = np.zeros(len(fingerprints), dtype=bool)
    for start in range(0, len(fingerprints), _CHUNK):
        pictures = _pictures(fingerprints[start : start + _CHUNK])
        found[start : start + _CHUNK] = _rms(pictures) >= _FLAT
    return found


def _tables(fingerprints: np.ndarray, shown: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give each table's keys of the clips `shown`, and an order in which equal keys are together.

    Among those of an equal key, clips come together that another table has together too.
    """
    # About four times as many keys as clips: few clips meet by chance, and few copies part.
    bits = min(max(math.ceil(math.log2(len(shown))) + 2, 8), 24)
    rng = np.random.default_rng(0)
    for _ in range(_TABLES // _TABLES_AT_A_TIME):
        planes = rng.standard_normal((GREY_BYTES, _TABLES_AT_A_TIME * bits), dtype=np.float32)
        keys = np.empty((_TABLES_AT_A_TIME, len(shown)), dtype=np.uint32)
        for start in range(0, len(shown), _CHUNK):
            chosen = shown[start : start + _CHUNK]
            keys[:, start : start + _CHUNK] = _keys(fingerprints[chosen], planes, bits)
        for number, key in enumerate(keys):
            other = keys[(number + 1) % len(keys)]
            yield key, np.argsort(key.astype(np.uint64) << np.uint64(32) | other, kind="stable")


def _keys(fingerprints: np.ndarray, planes: np.ndarray, bits: int) -> np.ndarray:
    """Give the keys (tables, N) that planes (K * S * S, G) make of fingerprints (N, F)."""
    pictures = _pictures(fingerprints).reshape(len(fingerprints), GREY_BYTES)
    sides = (pictures @ planes > 0).reshape(len(fingerprints), -1, bits)
    return (sides @ (np.uint32(1) << np.arange(bits, dtype=np.uint32))).T


def _pictures(fingerprints: np.ndarray) -> np.ndarray:
    """Give the grey pictures (N, K, S * S), each about its own mean."""
    grey = fingerprints[:, :GREY_BYTES].reshape(-1, FRAMES, SIDE * SIDE).astype(np.float32)
    return grey - grey.mean(axis=2, keepdims=True)


def _rms(pictures: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean_product(pictures, pictures))


def _alike(fingerprints: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Tell (P,) which pairs (P, 2) of clips look the same."""
    chunks = [
        _look_the_same(*(fingerprints[side] for side in pairs[start : start + _CHUNK].T))
        for start in range(0, len(pairs), _CHUNK)
    ]
    return np.concatenate([np.zeros(0, dtype=bool), *chunks])


def _look_the_same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Tell (P,) whether fingerprints (P, F) are of clips that look the same, one by one."""
    pictures = _pictures(one), _pictures(other)
    changes = tuple(each - each.mean(axis=1, keepdims=True) for each in pictures)
    still = np.maximum(*map(_rms, changes)) < _STILL
    colours = tuple(each[:, GREY_BYTES:].astype(np.float32) * 2 - 256 for each in (one, other))
    apart, *strengths = (
        np.sqrt(np.square(each).mean(axis=1)) for each in (colours[0] - colours[1], *colours)
    )
    return (
        (_likeness(*pictures) >= MIN_LIKENESS)
        & (still | (_likeness(*changes) >= MIN_MOTION_LIKENESS))
        & (apart <= _COLOUR_NOISE + MAX_COLOUR_SHARE * sum(strengths))
    )


def _likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give (P,) the cosine between pictures (P, K, S * S)."""
    return _mean_product(one, other) / np.maximum(_rms(one) * _rms(other), 1e-9)


def _mean_product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("nks,nks->n", one, other) / (FRAMES * SIDE * SIDE)
