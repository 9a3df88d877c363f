"""Find clips that are cut from the same recording, and clips that a split must keep together.

A model can recognise the place, the lighting and the people in a recording. Validation scores are
therefore too high if the model was trained on other clips of the same recordings. Clips are
assigned to the same recording if their file names, their content or their scenes match (see
`scene`). The remaining clips are grouped into blocks of neighbours, in the natural order of their
names, since most recordings are cut into clips in order.

Shape legend: N clips, P pairs.
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from autox_video.data.inspection.clip_facts import Contents
from autox_video.data.inspection.fingerprint import near_duplicates
from autox_video.data.inspection.scene import same_scene
from autox_video.data.splitting.groups import either, members, same, same_digest
from autox_video.data.splitting.sources import sources

_DIGITS = re.compile(r"\d+")

# A scene with more clips than this is taken to be the place where a data set was filmed, not a
# recording. If all of its clips were on one side of a split, the other side would lack the place or
# the class.
_LARGEST_SCENE = 10
_LARGEST_SHARE, _LARGEST_SHARE_OF_CLASS = 1 / 4, 1 / 3

_MOST_OF_CLASS, _FEW_CLIPS = 0.9, 4
"""A name that occurs in more than this share, and in more than this number, of a class's clips is
taken to name the class, not a source."""

BLOCKS, MORE_BLOCKS = 5, 20
"""A numbered sequence is divided into at least BLOCKS blocks. There are up to MORE_BLOCKS blocks if
each block keeps at least SHORT_BLOCK clips, and even more if a block would otherwise have over
LONGEST_BLOCK clips of a class. With more blocks, a split comes closer to its intended share."""
SHORT_BLOCK, LONGEST_BLOCK = 10, 25


class Recordings(NamedTuple):
    """Clips grouped by the recording that they seem to be cut from."""

    labels: np.ndarray
    """Group labels (N,) of clips that share a video, a source name, content or a scene."""
    named: np.ndarray
    """Mask (N,) of clips whose source is known from their name or video."""
    equal: np.ndarray
    """Group labels (N,) of videos with equal content."""
    alike: np.ndarray
    """Group labels (N,) of near-duplicates, including equal videos."""
    standing: np.ndarray
    """Mask (N,) of clips whose scene was ignored because too many clips show it."""

    @property
    def count(self) -> int:
        """Number of recordings."""
        return len(np.unique(self.labels))

    def select(self, rows: Sequence[int] | slice) -> "Recordings":
        """Return the clips at `rows`, in the given order."""
        return Recordings(*(column[rows] for column in self))

    def with_those_of(self, others: "Recordings") -> "Recordings":
        """Return the recordings of these clips, followed by `others` from the same listing."""
        return Recordings(*map(np.concatenate, zip(self, others, strict=True)))


def find_recordings(
    keys: Sequence[Hashable],
    paths: Sequence[str],
    classes: Sequence[Hashable],
    *,
    contents: Contents,
    sizes: np.ndarray,
    num_classes: int,
) -> Recordings:
    """Group clips by the recording that they are cut from.

    Args:
        keys: key of each clip's video; parts of a video share a key.
        paths: path of each clip's video.
        classes: class of each clip; the rarest class if it has several, None if it has no label.
        contents: digests, fingerprints and scenes of the videos.
        sizes: width and height (N, 2) of the videos, in pixels.
        num_classes: number of classes.
    """
    of_video, clips_of = same(keys), Counter(classes)
    names = sources(paths, num_classes)
    for clips in members(same(names)):
        inside = [classes[clip] for clip in clips]
        if _is_part_of_class(inside, clips_of, more_than=_FEW_CLIPS, part=_MOST_OF_CLASS):
            for clip in clips:
                names[clip] = None
    equal = same_digest(contents.digests)
    copies = either(equal, near_duplicates(contents.fingerprints))
    certain = either(either(of_video, same(names)), copies)
    labels = either(certain, same_scene(contents.scenes, sizes, _neighbours(paths), copies))
    standing = np.zeros(len(labels), dtype=bool)
    for clips in members(labels):
        is_scene = len(np.unique(certain[clips])) > 1
        if is_scene and _is_too_common([classes[clip] for clip in clips], clips_of):
            labels[clips], standing[clips] = certain[clips], True
    has_name = np.array([name is not None for name in names], dtype=bool)
    return Recordings(labels, has_name | ~_is_alone(of_video), equal, copies, standing)


def kept_together(
    recordings: Recordings, paths: Sequence[str], classes: Sequence[Hashable]
) -> np.ndarray:
    """Return group labels (N,) of clips that a split must keep together (see the module `groups`).

    The groups are the recordings, and blocks of consecutive clips that belong to no recording. All
    blocks have nearly the same number of clips in each class. For `classes`, see `find_recordings`.
    """
    groups = same(recordings.labels.tolist())
    single = _is_alone(groups) & ~recordings.named
    for sequence in _sequences(paths):
        left = sequence[single[sequence]]
        for block in _blocks([classes[clip] for clip in left]):
            groups[left[block]] = left[block].min()
    return groups


def _is_alone(groups: np.ndarray) -> np.ndarray:
    return np.bincount(groups, minlength=len(groups))[groups] == 1


def _is_part_of_class(
    inside: Sequence[Hashable], clips_of: Counter, *, more_than: int, part: float
) -> bool:
    """Whether `inside` has more than a given number and share of some class's clips."""
    return any(
        label is not None and count > max(more_than, clips_of[label] * part)
        for label, count in Counter(inside).items()
    )


def _is_too_common(inside: Sequence[Hashable], clips_of: Counter) -> bool:
    """Whether a scene, given by its clips' classes, has too many clips for one recording."""
    if len(inside) > max(_LARGEST_SCENE, clips_of.total() * _LARGEST_SHARE):
        return True
    if len(set(inside)) == 1 and len(inside) == clips_of[inside[0]]:
        return inside[0] is not None  # the whole class would be on one side
    return _is_part_of_class(
        inside, clips_of, more_than=_LARGEST_SCENE, part=_LARGEST_SHARE_OF_CLASS
    )


def _sequences(paths: Sequence[str]) -> list[np.ndarray]:
    """Return the clips of each sequence (names that differ only in numbers), in order."""
    counted: dict[str, list[tuple[tuple[int, ...], int]]] = {}
    for clip, path in enumerate(paths):
        stem = path.rpartition(".")[0] or path
        if counters := tuple(map(int, _DIGITS.findall(stem))):
            counted.setdefault(_DIGITS.sub("0", stem), []).append((counters, clip))
    return [
        np.array([clip for _, clip in sorted(clips)])
        for clips in counted.values()
        if len(clips) > 1
    ]


def _neighbours(paths: Sequence[str]) -> np.ndarray:
    """Return the pairs (P, 2) of clips that follow each other in a numbered sequence."""
    pairs = [np.stack([clips[:-1], clips[1:]], axis=1) for clips in _sequences(paths)]
    return np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs])


def _blocks(classes: Sequence[Hashable]) -> list[np.ndarray]:
    """Return the clips of each block of a sequence, with every class spread evenly over the blocks.

    Classes that are too rare to be spread evenly get separate blocks.
    """
    clips_of = Counter(classes)
    most = max(clips_of.values(), default=0)
    several = min(MORE_BLOCKS, len(classes) // SHORT_BLOCK, most)
    count = max(BLOCKS, several, -(-most // LONGEST_BLOCK))
    rare = {label for label, clips in clips_of.items() if clips < min(count, most / 2)}
    blocks: dict[tuple[Hashable, int], list[int]] = {}
    passed: Counter[Hashable] = Counter()
    for clip, label in enumerate(classes):
        alone, parts = (label, min(BLOCKS, clips_of[label])) if label in rare else (None, count)
        blocks.setdefault((alone, passed[label] * parts // clips_of[label]), []).append(clip)
        passed[label] += 1
    return [np.array(block) for block in blocks.values()]
