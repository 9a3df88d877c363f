"""Compact clip fingerprints (a few hundred bytes each) and near-duplicate detection.

A fingerprint consists of tiny greyscale images of a few frames and an even smaller image of the
clip's mean colours. Re-encoding, scaling, changes in brightness or contrast, and slight cropping
hardly change a clip's fingerprint. Two clips are near-duplicates if their greyscale images, the
changes in these images over time, and their mean colours all agree. If only greyscale images were
compared, all clips from a static camera would match.

Shape legend: N clips, P pairs, F bytes per fingerprint, K frames per clip, S rows and columns in a
tiny greyscale image.
"""

from functools import lru_cache

import numpy as np

from autox_video.data.inspection.vector_hashing import in_chunks, near_pairs
from autox_video.data.splitting.groups import alone, join
from autox_video.video.video import Video

FRAMES = 5
SIDE = 8
COLOUR_SIDE = 4
GREY_BYTES = FRAMES * SIDE * SIDE
FINGERPRINT_BYTES = GREY_BYTES + 2 * COLOUR_SIDE * COLOUR_SIDE

# Measured on real clips, modified copies of these, the demo's clips, and clips from one static
# camera: copies with little or no motion score above 0.93; different clips with the same motion
# score lower.
MIN_LIKENESS = 0.92
MIN_MOTION_LIKENESS = 0.6
MAX_COLOUR_SHARE = 0.15
"""Maximum colour difference between near-duplicates, relative to the saturation of their
colours."""

_COLOUR_NOISE = 2.0  # colour change caused by re-encoding, in 256ths
_STILL = 1.0  # changes smaller than this, in 256ths, are noise
_FLAT = 1.5  # images with less contrast (in 256ths), such as black ones, count as empty
_SHORT_SIDE_PX = 64
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def sampled_frames(video: Video) -> np.ndarray:
    """Return small frames (K, H, W, 3) of an open clip, taken at fixed fractions of its length.

    Raises:
        VideoError: one of the frames cannot be decoded.
    """
    return video.frames_at((np.arange(FRAMES) + 0.5) / FRAMES * video.seconds, _SHORT_SIDE_PX)


def fingerprint(frames: np.ndarray) -> bytes:
    """Return the fingerprint (FINGERPRINT_BYTES bytes) of the frames from `sampled_frames`.

    A fingerprint contains grey values (K, S, S), followed by the clip's mean chroma (red and blue
    difference), (COLOUR_SIDE, COLOUR_SIDE, 2), where 128 stands for zero.
    """
    tiny = averaged(frames, SIDE)
    fold = SIDE // COLOUR_SIDE
    mean = tiny.mean(axis=0).reshape(COLOUR_SIDE, fold, COLOUR_SIDE, fold, 3).mean(axis=(1, 3))
    colour = (mean[..., ::2] - (mean @ GREY)[..., None]) / 2 + 128
    return b"".join(np.rint(part).astype(np.uint8).tobytes() for part in (tiny @ GREY, colour))


def averaged(frames: np.ndarray, side: int) -> np.ndarray:
    """Return frames (K, H, W, 3) averaged over a grid, as (K, side, side, 3) float32 in 0..255."""
    height, width = frames.shape[1:3]
    rows = np.einsum("sh,khwc->kswc", _averaging(height, side), frames.astype(np.float32))
    return np.einsum("sw,krwc->krsc", _averaging(width, side), rows)


@lru_cache(maxsize=256)
def _averaging(size: int, side: int) -> np.ndarray:
    """Return the matrix (side, size) that averages `size` pixels in each of `side` equal parts."""
    edges, pixel = np.arange(side + 1) * size / side, np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(covered, 0) * side / size).astype(np.float32)


def near_duplicates(fingerprints: np.ndarray) -> np.ndarray:
    """Return group labels (N,) of clips with similar fingerprints (N, F) uint8.

    Similarity is treated as transitive; the module `groups` explains group labels. A flat
    fingerprint, such as all zeros, matches no other fingerprint. Pairs just above the similarity
    threshold are occasionally missed (see `near_pairs`).
    """

    def vectors(clips: np.ndarray) -> np.ndarray:
        return _images(fingerprints[clips]).reshape(len(clips), GREY_BYTES)

    def look_the_same(pairs: np.ndarray) -> np.ndarray:
        return _look_the_same(*(fingerprints[clips] for clips in pairs.T))

    labels = alone(len(fingerprints))
    shown = np.flatnonzero(in_chunks(lambda rows: _rms(_images(rows)) >= _FLAT, fingerprints))
    for pairs in near_pairs(vectors, shown):
        pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        labels = join(labels, pairs[in_chunks(look_the_same, pairs)])
    return labels


def _look_the_same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a mask (P,) of matching pairs of fingerprints; `first` and `second` are (P, F)."""
    images = _images(first), _images(second)
    changes = tuple(image - image.mean(axis=1, keepdims=True) for image in images)
    still = np.maximum(*map(_rms, changes)) < _STILL
    colours = tuple(clips[:, GREY_BYTES:].astype(np.float32) * 2 - 256 for clips in (first, second))
    apart, *strengths = (
        np.sqrt(np.square(colour).mean(axis=1)) for colour in (colours[0] - colours[1], *colours)
    )
    return (
        (_likeness(*images) >= MIN_LIKENESS)
        & (still | (_likeness(*changes) >= MIN_MOTION_LIKENESS))
        & (apart <= _COLOUR_NOISE + MAX_COLOUR_SHARE * sum(strengths))
    )


def _images(fingerprints: np.ndarray) -> np.ndarray:
    """Return the greyscale images, as (N, K, pixels), each with its mean subtracted."""
    grey = fingerprints[:, :GREY_BYTES].reshape(-1, FRAMES, SIDE * SIDE).astype(np.float32)
    return grey - grey.mean(axis=2, keepdims=True)


def _likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine similarity (P,) of each pair of images (P, K, pixels)."""
    return _mean_product(first, second) / np.maximum(_rms(first) * _rms(second), 1e-9)


def _rms(images: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean_product(images, images))


def _mean_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("nks,nks->n", first, second) / (FRAMES * SIDE * SIDE)
