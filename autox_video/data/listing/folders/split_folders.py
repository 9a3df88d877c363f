"""Which folders hold training, validation and test clips, and which are the classes."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.listing.folders.folder_walk import some
from autox_video.data.listing.folders.split_names import parse_split, split_of

SPLITS = ("train", "val", "test")
Clips = tuple[list[str], list[str] | None]
"""Paths, and the class of each; None where they have none."""


@dataclass(slots=True)
class Arrangement:
    """What folders say of the clips in them."""

    splits: dict[str, Clips] = field(default_factory=dict)
    """Of training, validation and test, as far as there are any."""
    unused: list[str] = field(default_factory=list)
    """Clips that lie in no split or in no class."""
    notes: list[str] = field(default_factory=list)
    classes_at: int = 0
    """The part of a path that is the class, from 0."""


def split_names(names: Iterable[str]) -> dict[str, str]:
    """Give the split of each of the folders beside each other that is called like one.

    Where none is called so alone, names that differ in nothing but the split are taken, as in
    kinetics_train, kinetics_val.

    Raises:
        ListingError: there are several such pairs: `red_train`, `red_test`, `blue_train`, ...
    """
    alone, pairs = _called_like_splits(names)
    if alone or not pairs:
        return alone
    if len(pairs) > 1:
        shown = some(name for group in pairs for name in group)
        raise ListingError(
            f"data_root: its folders look like the splits of several classes: {shown} Put them "
            "into train/CLASS, val/CLASS and test/CLASS, or give ann_file_train."
        )
    return pairs[0]


def _called_like_splits(names: Iterable[str]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Give the names that say nothing but a split, and groups of those with an equal rest."""
    parsed = {name: parse_split(name) for name in names}
    alone = {name: split for name, (split, rest) in parsed.items() if split and not rest}
    groups: dict[str, dict[str, str]] = {}
    for name, (split, rest) in parsed.items():
        if split and rest:
            groups.setdefault(rest, {})[name] = split
    return alone, [group for group in groups.values() if {"train"} < set(group.values())]


def has_test_folder(root: str | Path) -> bool:
    """Whether a folder on this machine, or a folder in it, holds one that is called like a test."""
    folders = [path for path in Path(root).iterdir() if path.is_dir()]
    inner = (path for folder in folders for path in _folders_in(folder))
    return any(parse_split(path.name)[0] == "test" for path in chain(folders, inner))


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def arrange(videos: Sequence[str], empty: Sequence[str], root: str) -> Arrangement:
    """Find the classes and the splits of clips by the folders that they are in.

    Splits are folders above the classes (train/CLASS/CLIP) or in each of them (CLASS/train/CLIP).

    Args:
        videos: paths relative to `root`, sorted.
        empty: folders without anything in them.
        root: the folder, for sentences.

    Raises:
        ListingError: the folders cannot be what they look like.
    """
    tops: dict[str, list[str]] = {}
    for video in videos:
        if "/" in video:
            tops.setdefault(video.partition("/")[0], []).append(video)
    without = {path.partition("/")[0] for path in empty} - tops.keys()
    splits = split_names([*tops, *sorted(without)])
    if _are_splits(tops, splits, root):
        return _splits_above(videos, tops, splits, root)
    _refuse_wrapper(videos, tops, root)
    return _splits_inside(videos, tops, root) or _classes(videos, tops, splits, root)


def _depth(video: str) -> int:
    return video.count("/")


def _is_nested(videos: Sequence[str]) -> bool:
    """Whether most clips of a folder lie in folders of it."""
    return 2 * sum(_depth(video) > 1 for video in videos) > len(videos)


def _inner(videos: Iterable[str]) -> set[str]:
    """Names of the folders right in a folder that hold its clips."""
    return {video.split("/")[1] for video in videos if _depth(video) > 1}


def _are_splits(tops: Mapping[str, Sequence[str]], splits: Mapping[str, str], root: str) -> bool:
    """Whether the folders right in `root` that are called like splits are splits."""
    others = [top for top in tops if top not in splits]
    train = [top for top in tops if splits.get(top) == "train"]
    nested = any(_is_nested(tops[top]) for top in train)
    if not any(top in splits for top in tops):
        return False
    if len(set(splits.values())) > 1:
        # Nobody has classes of these names alone; among others, train may be the vehicle.
        is_level = nested or len(others) < 2
    elif train:
        # Alone it is a split where only its clips lie in classes.
        return nested and (not others or (len(others) == 1 and not _is_nested(tops[others[0]])))
    else:
        is_level = bool(others) and _look_alike(tops, [*splits, *others])
    if is_level and not any(_inner(tops[top]) for top in train):
        _refuse_no_training(tops, splits, others, root=root)
    return is_level


def _look_alike(tops: Mapping[str, Sequence[str]], names: Sequence[str]) -> bool:
    """Whether folders hold folders of the same names, at least two of them."""
    inner = [_inner(tops.get(name, ())) for name in names]
    return len(set.intersection(*inner)) > 1


def _refuse_no_training(
    tops: Mapping[str, Sequence[str]],
    splits: Mapping[str, str],
    others: Sequence[str],
    *,
    root: str,
) -> None:
    look = f"data_root: {_named(splits)} in {root} {_look(splits)}"
    ways = "put each class's clips in train/CLASS, or give ann_file_train"
    if any(splits.get(top) == "train" for top in tops):
        raise ListingError(f"{look}, but the clips for training are in no class folders; {ways}.")
    if "train" in splits.values():
        raise ListingError(f"{look}, but there is no video for training; {ways}.")
    beside = f" (is it {others[0]}?)" if len(others) == 1 else ""
    raise ListingError(f"{look}, but none is called train{beside}; {ways}.")


def _look(splits: Mapping[str, str]) -> str:
    return "looks like a split" if len(splits) == 1 else "look like splits"


def _named(names: Iterable[str]) -> str:
    names = sorted(names)
    if len(names) == 1:
        return f"the folder {names[0]}"
    return f"the folders {', '.join(names[:-1])} and {names[-1]}"


def _splits_above(
    videos: Sequence[str],
    tops: Mapping[str, Sequence[str]],
    splits: Mapping[str, str],
    root: str,
) -> Arrangement:
    found = Arrangement(classes_at=1)
    odd = [
        f"{top} for {split}" for top, split in sorted(splits.items()) if top.lower() not in SPLITS
    ]
    if odd:
        found.notes.append(f"Folders of {root} are taken for splits: {', '.join(odd)}.")
    for split in SPLITS:
        clips = [v for v in videos if _depth(v) and splits.get(v.partition("/")[0]) == split]
        _add_split(found, split, clips)
        names = [top for top, of in splits.items() if of == split]
        if names and not clips:
            found.notes.append(f"There is no video in {_named(names)} of {root}.")
    found.unused += [v for v in videos if not _depth(v) or v.partition("/")[0] not in splits]
    for clips, _ in found.splits.values():
        found.notes += _say_deeper(clips, root, below=2)
    _refuse_one_folder(found.splits["train"], root)
    return found


def _add_split(found: Arrangement, split: str, clips: Sequence[str]) -> None:
    labelled = [clip for clip in clips if _depth(clip) > 1]
    if split == "test" and clips and not labelled:
        found.splits[split] = (list(clips), None)
        return
    if labelled:
        found.splits[split] = (labelled, [clip.split("/")[1] for clip in labelled])
    found.unused += [clip for clip in clips if _depth(clip) < 2]


def _refuse_one_folder(train: Clips, root: str) -> None:
    """Refuse train/videos/CLASS/CLIP, where a folder too many makes one class of all."""
    paths, labels = train
    deeper = {path.split("/")[2] for path in paths if _depth(path) > 2}
    if len(set(labels)) == 1 and len(deeper) > 1:
        inside = "/".join(paths[0].split("/")[:2])
        raise ListingError(
            f"data_root: all clips for training are in one folder, {root}/{inside}; if the "
            "folders in it are the classes, move them one level up."
        )


def _refuse_wrapper(videos: Sequence[str], tops: Mapping[str, Sequence[str]], root: str) -> None:
    """Refuse a folder whose only folder with clips holds the classes."""
    if len(tops) != 1:
        return
    folders = {video.rpartition("/")[0] for video in videos if _depth(video)}
    top = posixpath.commonpath(folders)
    if len(folders - {top}) > 1:
        raise ListingError(
            f"data_root: all clips in class folders are in one folder, {root}/{top}; is "
            f"data_root={root}/{top} meant?"
        )


def _splits_inside(
    videos: Sequence[str], tops: Mapping[str, Sequence[str]], root: str
) -> Arrangement | None:
    """Read CLASS/train/CLIP, where most classes have such folders; None where they have not."""
    splits = {}
    for top, clips in tops.items():
        alone, pairs = _called_like_splits(sorted(_inner(clips)))
        splits[top] = alone or (pairs[0] if len(pairs) == 1 else {})
    kinds = {split for inside in splits.values() for split in inside.values()}
    having = [top for top, inside in splits.items() if inside]
    if not kinds - {"train"} or 2 * len(having) <= len(tops):
        return None
    found = Arrangement()
    parts: dict[str, list[str]] = {name: [] for name in SPLITS}
    for video in videos:
        top, *rest = video.split("/")
        split = splits.get(top, {}).get(rest[0]) if len(rest) > 1 else None
        if split is None and rest and "train" not in kinds:
            split = "train"  # CLASS/CLIP beside CLASS/test/CLIP
        (found.unused if split is None else parts[split]).append(video)
    found.splits = {
        split: (clips, [clip.partition("/")[0] for clip in clips])
        for split, clips in parts.items()
        if clips
    }
    trained = set(found.splits.get("train", ([], []))[1])
    if lacking := sorted(tops.keys() - trained):
        raise ListingError(
            f"data_root: in most classes of {root} the clips are in folders called like splits "
            f"({some(sorted(kinds))[:-1]}), but for training there are none of {some(lacking)}"
        )
    names = sorted({f"CLASS/{name}" for inside in splits.values() for name in inside})
    sizes = ", ".join(f"{len(clips)} for {split}" for split, (clips, _) in found.splits.items())
    found.notes.append(
        f"Folders in the classes of {root} are splits ({', '.join(names)}): {sizes}."
    )
    return found


def _classes(
    videos: Sequence[str],
    tops: Mapping[str, Sequence[str]],
    splits: Mapping[str, str],
    root: str,
) -> Arrangement:
    labelled = [video for video in videos if _depth(video)]
    labels = [video.partition("/")[0] for video in labelled]
    found = Arrangement(unused=[video for video in videos if not _depth(video)])
    if labelled:
        found.splits["train"] = (labelled, labels)
    if named := sorted(top for top in tops if top in splits):
        one = len(named) == 1
        found.notes.append(
            f"In {root} {_named(named)} {'counts as a class' if one else 'count as classes'}, not "
            f"as {'a split' if one else 'splits'}."
        )
    inner = {top: _inner(clips) for top, clips in tops.items()}
    if len(tops) > 1 and _look_alike(tops, list(tops)):
        below = some(sorted(set.intersection(*inner.values())))[:-1]
        found.notes.append(
            f"The classes are the folders right in {root} ({some(tops)[:-1]}); the folders in "
            f"each of them ({below}) do not count. If {below} are the classes, call the splits "
            "train, val and test."
        )
    found.notes += _say_deeper(labelled, root, below=1)
    return found


def _say_deeper(clips: Sequence[str], root: str, *, below: int) -> list[str]:
    """Name folders that are called like splits but are no such level; `below` so many are read."""
    deep = [v for v in clips if any(split_of(part) for part in v.split("/")[below:-1])]
    if not deep:
        return []
    return [
        f"{counted(len(deep), 'clip')} of {root} in folders within the classes that are called "
        f"like splits, which are not followed: {some(deep)}"
    ]
