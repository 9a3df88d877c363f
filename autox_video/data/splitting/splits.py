"""Split clips once into training, validation and test sets, and store the split in the work dir."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from autox_video.core.console import Detail
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable, Splits, video_keys
from autox_video.data.listing.written_list import read_list, write_list
from autox_video.data.splitting.changes import Changes, compare
from autox_video.data.splitting.groups import same
from autox_video.data.splitting.known_clips import KnownClips, known_clips, read_known
from autox_video.data.splitting.stratify import sides_of_groups, stratify


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """How a list is to be split."""

    names: tuple[str, ...]
    """Names of the splits to make; must be a key of SHARES."""
    seed: int
    folder: Path
    """The folder that stores the split."""
    stored: Splits | None = None
    """The split that is already stored in `folder`, if any."""
    earlier: tuple[Path, ...] = ()
    """Work dirs of earlier runs, in order of preference; clips keep their splits from these
    runs."""
    weights: KnownClips | None = None
    """Clips of the run that trained the initial weights; splits from this run take precedence."""


def _say_split(source: str, rows: Mapping[str, Sequence[int]]) -> str:
    parts = ", ".join(f"{len(rows[name])} for {name}" for name in rows)
    return f"The clips of {source} are split: {parts}. WORK_DIR/split keeps the split."


def split_clips(
    clips: ClipTable,
    how: SplitRequest,
    classes: Sequence[str],
    *,
    data_root: str | Path,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, ClipTable], list[str]]:
    """Make a new split without storing it; return the table of each split, and notes.

    A clip with several classes counts as a clip of its rarest class. Clips that are known to be
    unreadable go to training and are not counted.

    Args:
        clips: labelled clips.
        how: names of the splits, the seed, and the earlier runs from which clips keep their splits.
        classes: class names in index order.
        data_root: folder or URL that the clips' paths are relative to.
        groups: group labels (N,) of clips that stay together (see the module `groups`); None: the
            segments of each video.

    Raises:
        ListingError: no clip is left for validation.
    """
    unreadable = clips.unreadable()
    usable = sorted(set(range(len(clips))) - set(unreadable))
    identities, strata = clips.identities(data_root), clips.rarest_classes()
    keys = [identities[row] for row in usable]
    labels = [classes[strata[row]] if strata[row] >= 0 else "" for row in usable]
    videos = same(video_keys(clips.paths, data_root))[usable]
    groups = videos if groups is None else groups[usable]
    now = known_clips({"": clips.select(usable)}, tuple(classes), data_root)
    recordings = groups if clips.recordings is None else clips.recordings.labels[usable]
    sides, notes = _known_sides(now, how, recordings, data_root)
    draw = partial(stratify, keys, labels, names=how.names, seed=how.seed)
    splits = draw(groups=groups, sides=sides)
    if sides and not splits["val"]:
        if how.weights is not None and compare(how.weights, now).earlier:
            raise ListingError(
                "load_from: the weights were trained on clips of every recording, so none is left "
                "for validation. Give other clips in ann_file_val, or start from other weights."
            )
        splits, notes = draw(groups=groups), []
    if not splits["val"]:
        by_video = draw(groups=videos)
        splits = by_video if by_video["val"] else draw()
        notes = [
            f"{clips.source}: in each class, all clips belong together (one source, or near-"
            "duplicates). They were split all the same: expect lower scores on other clips."
        ]
    if not splits["val"]:
        raise ListingError(
            f"{clips.source}: every class has a single clip, so no clip is left for validation; "
            "add clips, or give ann_file_val."
        )
    notes += _thin_classes(splits, labels)
    rows = {name: [usable[index] for index in indices] for name, indices in splits.items()}
    rows["train"] = sorted([*rows["train"], *unreadable])
    note = _say_split(clips.source, rows)
    return {name: clips.select(of_split) for name, of_split in rows.items()}, [Detail(note), *notes]


def _known_sides(
    now: KnownClips, how: SplitRequest, recordings: np.ndarray, data_root: str | Path
) -> tuple[dict[int, str], list[str]]:
    """Return the splits that clips keep from earlier runs, by row, and notes on what has changed.

    The splits come from the run that trained the initial weights, then from the first earlier run
    that contains any of the clips. All clips of a recording (`recordings` are group labels) get the
    same split.
    """
    sides, notes = _sides_before(now, how, data_root)
    settled = sides_of_groups(recordings, sides, how.names)
    if moved := sum(settled[row] != side for row, side in sides.items()):
        why = "as other clips of their recordings are there"
        notes.append(f"{counted(moved, 'known clip')} moved to another side of the split, {why}.")
    return settled, notes


def _sides_before(
    now: KnownClips, how: SplitRequest, data_root: str | Path
) -> tuple[dict[int, str], list[str]]:
    sides: dict[int, str] = {}
    if how.weights is not None:
        before = how.weights.in_splits(how.names)
        sides = {row: before.splits[old] for row, old in compare(before, now).earlier.items()}
    for folder in how.earlier:
        before = read_known(folder, data_root)
        changes = before and compare(before.in_splits(how.names), now)
        if changes and changes.earlier:
            splits = changes.before.splits
            sides = {row: splits[old] for row, old in changes.earlier.items()} | sides
            return sides, [_say_kept(changes, folder)]
    return sides, []


def _say_kept(changes: Changes, folder: Path) -> str:
    """Report how many clips keep their split, and what has changed since the run in a folder."""
    count, sentence = len(changes.earlier), changes.sentence()
    kept = f"{counted(count, 'clip')} {'keep their' if count > 1 else 'keeps its'} split"
    since = f"; since that run, {sentence}" if sentence else ""
    return f"{kept} from the run in {folder}{since}."


def _thin_classes(splits: Mapping[str, Sequence[int]], labels: Sequence[str]) -> list[str]:
    """Report which classes have no validation clip, and why."""
    train = Counter(labels[index] for index in splits["train"])
    validated = {labels[index] for index in splits["val"]} | {""}
    missing = sorted(train.keys() - validated)
    single = [label for label in missing if train[label] == 1]
    together = [label for label in missing if train[label] > 1]
    return [
        f"{counted(len(names), 'class', 'classes')} without a validation clip, as {why}: "
        f"{', '.join(names[:10])}{', ...' if len(names) > 10 else '.'}"
        for names, why in (
            (single, "there is a single clip"),
            (together, "all clips belong together (one source, or near-duplicates)"),
        )
        if names
    ]


def store(splits: Splits, folder: Path) -> None:
    """Write a new split; raises ResourceError if the folder cannot be written."""
    # The training list is written last: if it exists, the others do too, even after a crash.
    for name in reversed(splits):
        write_list(folder / f"{name}.csv", splits[name])
    if "test" not in splits:  # left by an earlier split
        (folder / "test.csv").unlink(missing_ok=True)


def read_stored(folder: Path, names: Sequence[str]) -> dict[str, ClipTable] | None:
    """Return the split that is stored in a folder; None if the folder contains no split.

    Raises:
        ListingError: the files of the split are damaged.
    """
    files = {name: folder / f"{name}.csv" for name in names}
    if not (files["train"].is_file() and files["val"].is_file()):
        return None
    try:
        return {name: read_list(file) for name, file in files.items() if file.is_file()}
    except ListingError as error:
        raise ListingError(
            *error.problems, f"Restore the file, or delete {folder} to split the clips anew."
        ) from error


def split_as_stored(
    clips: ClipTable, stored: Splits, data_root: str | Path
) -> dict[str, ClipTable] | None:
    """Apply a stored split; return None unless the clips and labels are exactly as stored."""
    stored_as: dict[object, tuple[str, object]] = {}
    for name, before in stored.items():
        labels = before.labels or [None] * len(before)
        pairs = zip(before.identities(data_root), labels, strict=True)
        stored_as |= {key: (name, label) for key, label in pairs}
    rows: dict[str, list[int]] = {name: [] for name in stored}
    for row, key in enumerate(clips.identities(data_root)):
        name, label = stored_as.get(key, (None, None))
        if name is None or label != clips.labels[row]:
            return None
        rows[name].append(row)
    if len(stored_as) != len(clips):
        return None
    return {name: clips.select(of_split) for name, of_split in rows.items()}
