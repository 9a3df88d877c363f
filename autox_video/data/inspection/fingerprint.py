"""What a clip looks like in a few hundred bytes, and which clips look the same.

A fingerprint is a tiny grey picture of some frames and a tinier one of the clip's colours. Coding
anew, scaling, other brightness or contrast, and a few pixels less at the edges hardly change it.
Clips look the same if the grey pictures, what changes from one to the next, and the colours agree:
by the first alone, all clips of a camera that stands still would.

Shape legend: N clips, P pairs, F bytes of a fingerprint, K frames of a clip, S rows and columns of
a tiny grey picture.
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
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def sampled_frames(video: Video) -> np.ndarray:
    """Return small frames (K, H, W, 3) of an open clip, at fixed shares of its length.

    Raises:
        VideoError: one of the frames cannot be decoded.
    """
    return video.frames_at((np.arange(FRAMES) + 0.5) / FRAMES * video.seconds, _SHORT_SIDE_PX)


def fingerprint(frames: np.ndarray) -> bytes:
    """Return what `sampled_frames` look like: FINGERPRINT_BYTES, equal for equal pictures.

    (K, S, S) grey values, and then the mean redness and blueness of the clip,
    (COLOUR_SIDE, COLOUR_SIDE, 2), 128 for none.
    """
    tiny = averaged(frames, SIDE)
    fold = SIDE // COLOUR_SIDE
    mean = tiny.mean(axis=0).reshape(COLOUR_SIDE, fold, COLOUR_SIDE, fold, 3).mean(axis=(1, 3))
    colour = (mean[..., ::2] - (mean @ GREY)[..., None]) / 2 + 128
    return b"".join(np.rint(part).astype(np.uint8).tobytes() for part in (tiny @ GREY, colour))


def averaged(frames: np.ndarray, side: int) -> np.ndarray:
    """Average frames (K, H, W, 3) over even parts: (K, side, side, 3) float32 in 0..255."""
    height, width = frames.shape[1:3]
    rows = np.einsum("sh,khwc->kswc", _averaging(height, side), frames.astype(np.float32))
    return np.einsum("sw,krwc->krsc", _averaging(width, side), rows)


@lru_cache(maxsize=256)
def _averaging(size: int, side: int) -> np.ndarray:
    """The matrix (side, size) that averages `size` pixels over `side` even parts."""
    edges, pixel = np.arange(side + 1) * size / side, np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(covered, 0) * side / size).astype(np.float32)


def near_duplicates(fingerprints: np.ndarray) -> np.ndarray:
    """Find the clips that look the same, by fingerprints (N, F) uint8: labels (N,), as in `groups`.

    Those alike to a common one belong together; flat ones, such as zeros, are like no other. A pair
    that is only just alike is missed now and then, as `near_pairs` is quick.
    """

    def vectors(clips: np.ndarray) -> np.ndarray:
        return _pictures(fingerprints[clips]).reshape(len(clips), GREY_BYTES)

    def look_the_same(pairs: np.ndarray) -> np.ndarray:
        return _look_the_same(*(fingerprints[clips] for clips in pairs.T))

    labels = alone(len(fingerprints))
    shown = np.flatnonzero(in_chunks(lambda rows: _rms(_pictures(rows)) >= _FLAT, fingerprints))
    for pairs in near_pairs(vectors, shown):
        pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        labels = join(labels, pairs[in_chunks(look_the_same, pairs)])
    return labels


def _look_the_same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Tell (P,) whether fingerprints (P, F) are of clips that look the same, one by one."""
    pictures = _pictures(first), _pictures(second)
    changes = tuple(picture - picture.mean(axis=1, keepdims=True) for picture in pictures)
    still = np.maximum(*map(_rms, changes)) < _STILL
    colours = tuple(clips[:, GREY_BYTES:].astype(np.float32) * 2 - 256 for clips in (first, second))
    apart, *strengths = (
        np.sqrt(np.square(colour).mean(axis=1)) for colour in (colours[0] - colours[1], *colours)
    )
    return (
        (_likeness(*pictures) >= MIN_LIKENESS)
        & (still | (_likeness(*changes) >= MIN_MOTION_LIKENESS))
        & (apart <= _COLOUR_NOISE + MAX_COLOUR_SHARE * sum(strengths))
    )


def _pictures(fingerprints: np.ndarray) -> np.ndarray:
    """Return the grey pictures (N, K, S * S), each about its own mean."""
    grey = fingerprints[:, :GREY_BYTES].reshape(-1, FRAMES, SIDE * SIDE).astype(np.float32)
    return grey - grey.mean(axis=2, keepdims=True)


def _likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (P,) the cosine between pictures (P, K, S * S)."""
    return _mean_product(first, second) / np.maximum(_rms(first) * _rms(second), 1e-9)


def _rms(pictures: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean_product(pictures, pictures))


def _mean_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("nks,nks->n", first, second) / (FRAMES * SIDE * SIDE)
