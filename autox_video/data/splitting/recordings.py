"""Which clips are cut from one recording, and what is kept together where clips are divided.

A model recognises the place, the light and the people of a recording: a validation clip whose
neighbours were trained on promises too much. Names tell recordings where they name one; contents
tell copies, and scenes (see `scene`) most of the rest. What nothing tells apart is kept in blocks
of neighbours, in the natural order of the names: recordings are mostly cut in order.

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

# A scene of more clips than that is no recording but where a data set was taken: all of its clips
# on one side would leave the other side without such clips, or without the class.
_LARGEST_SCENE = 10
_LARGEST_SHARE, _LARGEST_SHARE_OF_CLASS = 1 / 4, 1 / 3

_MOST_OF_CLASS, _FEW_CLIPS = 0.9, 4
"""What of a class, and how many clips, are exceeded by a source that is the name of the class."""

BLOCKS, MORE_BLOCKS = 5, 20
"""A numbered sequence is kept in so many blocks at least; in more, up to MORE_BLOCKS, where they
have SHORT_BLOCK clips all the same; and in still more where one had over LONGEST_BLOCK of a class.
The more there are, the nearer a split comes to the share that it should have."""
SHORT_BLOCK, LONGEST_BLOCK = 10, 25


class Recordings(NamedTuple):
    """Clips by the recording that they seem to be cut from."""

    labels: np.ndarray
    """(N,) as in `groups`: by video, by source in the name, by content, by looks and by scene."""
    named: np.ndarray
    """(N,) whether the name or the video tells the source of a clip."""
    equal: np.ndarray
    """(N,) group labels of videos with equal content."""
    alike: np.ndarray
    """(N,) group labels of near-duplicates, including equal videos."""
    standing: np.ndarray
    """(N,) whether a scene that too many clips show to be one recording was passed over."""

    @property
    def count(self) -> int:
        """How many recordings there are."""
        return len(np.unique(self.labels))

    def select(self, rows: Sequence[int] | slice) -> "Recordings":
        """Give the same of the clips at `rows`, in that order."""
        return Recordings(*(column[rows] for column in self))

    def with_those_of(self, others: "Recordings") -> "Recordings":
        """Give the same of these clips and then of others of the same listing."""
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
    """Find out which clips are cut from one recording.

    Args:
        keys: of the clips' videos; parts of one have one.
        paths: of the videos.
        classes: of each clip; of several, the rarest; None for none.
        contents: of the videos.
        sizes: (N, 2) width and height of the videos, in pixels.
        num_classes: how many classes there are.
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
    """Label the clips (N,), as in `groups`, that must be on one side of a division.

    Those of a recording; and of numbered sequences what belongs to none, in blocks with nearly as
    many clips of each class in every block. `classes` are as for `find_recordings`.
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
    """Whether clips, by the class of each, are more of a class than so many and than this part."""
    return any(
        label is not None and count > max(more_than, clips_of[label] * part)
        for label, count in Counter(inside).items()
    )


def _is_too_common(inside: Sequence[Hashable], clips_of: Counter) -> bool:
    """Whether a scene, by the class of each of its clips, is more than one recording."""
    if len(inside) > max(_LARGEST_SCENE, clips_of.total() * _LARGEST_SHARE):
        return True
    if len(set(inside)) == 1 and len(inside) == clips_of[inside[0]]:
        return inside[0] is not None  # its class would be on one side alone
    return _is_part_of_class(
        inside, clips_of, more_than=_LARGEST_SCENE, part=_LARGEST_SHARE_OF_CLASS
    )


def _sequences(paths: Sequence[str]) -> list[np.ndarray]:
    """Give the clips of each numbered sequence, in order: names that differ in numbers alone."""
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
    """Give (P, 2) clips that follow each other in a numbered sequence."""
    pairs = [np.stack([clips[:-1], clips[1:]], axis=1) for clips in _sequences(paths)]
    return np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs])


def _blocks(classes: Sequence[Hashable]) -> list[np.ndarray]:
    """Give the clips of each block of a sequence, of which every class is divided evenly.

    Classes that are too rare to be in every block have blocks of their own.
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
