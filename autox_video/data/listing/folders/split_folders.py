"""Decide which folders are the train, val and test splits, and which are the classes."""

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


@dataclass(slots=True)
class Arrangement:
    """The splits and classes that folders define."""

    splits: dict[str, list[str]] = field(default_factory=dict)
    """Paths of the clips by split; splits without clips are omitted."""
    classes_at: int = 0
    """Index of the path component that is the class."""
    unused: list[str] = field(default_factory=list)
    """Clips that are in no split or in no class folder."""
    notes: list[str] = field(default_factory=list)

    def labels(self, split: str) -> list[str] | None:
        """Return the class of each clip in a split; None for a flat folder of test clips."""
        parts = [path.split("/")[self.classes_at :] for path in self.splits[split]]
        return [label for label, *_ in parts] if all(len(inner) > 1 for inner in parts) else None


def has_test_folder(root: str | Path) -> bool:
    """Whether a local folder contains a test folder one or two levels down."""
    folders = _folders_in(Path(root))
    names = (path.name for path in chain(folders, *map(_folders_in, folders)))
    return any(parse_split(name)[0] == "test" for name in names)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def arrange(videos: Sequence[str], empty: Sequence[str], root: str) -> Arrangement:
    """Return the splits and classes that the clips' folders define.

    Split folders are above the classes (train/CLASS/CLIP) or inside each class folder
    (CLASS/train/CLIP).

    Args:
        videos: sorted paths of the clips relative to `root`.
        empty: sorted paths of folders without clips.
        root: data_root, for messages.

    Raises:
        ListingError: the folders are ambiguous.
    """
    tops: dict[str, list[str]] = {}
    for video in videos:
        if "/" in video:
            tops.setdefault(_top(video), []).append(video)
    without = sorted({_top(path) for path in empty} - tops.keys())
    splits = _split_names([*tops, *without], root)
    if _are_splits(tops, splits, root):
        return _splits_above(videos, splits, root)
    _refuse_wrapper(videos, root)
    return _splits_inside(videos, tops, root) or _classes(videos, tops, splits, root)


def _top(path: str) -> str:
    return path.partition("/")[0]


def _depth(path: str) -> int:
    return path.count("/")


def _inner(videos: Iterable[str]) -> set[str]:
    """Return the names of the second-level folders that contain clips."""
    return {video.split("/")[1] for video in videos if _depth(video) > 1}


def _is_nested(videos: Sequence[str]) -> bool:
    """Whether most of a folder's clips are in its subfolders."""
    return 2 * sum(_depth(video) > 1 for video in videos) > len(videos)


def _look_alike(folders: Iterable[Iterable[str]]) -> set[str]:
    """Return the subfolder names shared by all folders; none if fewer than two are shared."""
    shared = set.intersection(*map(_inner, folders))
    return shared if len(shared) > 1 else set()


def _split_names(names: Iterable[str], root: str) -> dict[str, str]:
    """Return the split of each sibling folder that is named after a split.

    If no folder is simply named after a split, names that differ only in the split are used, such
    as kinetics_train and kinetics_val. Several groups of names that differ only in the split are an
    error.
    """
    alone, pairs = _called_like_splits(names)
    if not alone and len(pairs) > 1:
        shown = some(chain.from_iterable(pairs))
        raise ListingError(
            f"data_root: folders in {root} look like splits of several classes: {shown} Arrange "
            "them as train/CLASS, val/CLASS and test/CLASS, or set ann_file_train."
        )
    return alone or (pairs[0] if pairs else {})


def _called_like_splits(names: Iterable[str]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return names that contain only a split, and groups of names that differ only in the split."""
    alone: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        split, rest = parse_split(name)
        if split:
            (groups.setdefault(rest, {}) if rest else alone)[name] = split
    return alone, [group for group in groups.values() if {"train"} < set(group.values())]


def _are_splits(tops: Mapping[str, Sequence[str]], splits: Mapping[str, str], root: str) -> bool:
    """Whether the top-level folders that are named after splits are in fact splits."""
    rest = [top for top in tops if top not in splits]
    train = [top for top in tops if splits.get(top) == "train"]
    nested = any(_is_nested(tops[top]) for top in train)
    if len(rest) == len(tops):
        return False
    if len(set(splits.values())) > 1:
        # Several such names mean splits; a lone `train` among other classes may mean the vehicle.
        are_level = nested or len(rest) < 2
    elif train:
        # A lone train folder is a split if only its clips are in class folders.
        return nested and (not rest or (len(rest) == 1 and not _is_nested(tops[rest[0]])))
    else:
        are_level = bool(rest and _look_alike(tops.get(top, ()) for top in (*splits, *rest)))
    if are_level and not any(_inner(tops[top]) for top in train):
        look = f"{_named(splits)} in {root} look{'s' if len(splits) == 1 else ''} like"
        lacking = "none is named train" + (f" (is it {rest[0]}?)" if len(rest) == 1 else "")
        if "train" in splits.values():
            lacking = "there is no video for training"
        if train:
            lacking = "the training clips are not in class folders"
        raise ListingError(
            f"data_root: {look} {'a split' if len(splits) == 1 else 'splits'}, but {lacking}; put "
            "the clips of each class in train/CLASS, or set ann_file_train."
        )
    return are_level


def _named(names: Iterable[str]) -> str:
    *first, last = sorted(names)
    return f"the folders {', '.join(first)} and {last}" if first else f"the folder {last}"


def _splits_above(videos: Sequence[str], splits: Mapping[str, str], root: str) -> Arrangement:
    arranged = Arrangement(classes_at=1)
    odd = [f"{top} for {splits[top]}" for top in sorted(splits) if top.lower() not in SPLITS]
    if odd:
        arranged.notes.append(f"Folders in {root} are used as splits: {', '.join(odd)}.")
    for split in SPLITS:
        clips = [v for v in videos if _depth(v) and splits.get(_top(v)) == split]
        labelled = [clip for clip in clips if _depth(clip) > 1]
        if clips and (labelled or split == "test"):
            arranged.splits[split] = labelled or clips
        if labelled or split != "test":
            arranged.unused += [clip for clip in clips if _depth(clip) < 2]
        names = [top for top in splits if splits[top] == split]
        if names and not clips:
            arranged.notes.append(f"There is no video in {_named(names)} in {root}.")
    arranged.unused += [v for v in videos if not _depth(v) or _top(v) not in splits]
    for clips in arranged.splits.values():
        arranged.notes += _say_deeper(clips, root, below=2)
    _refuse_one_folder(arranged.splits["train"], root)
    return arranged


def _refuse_one_folder(train: Sequence[str], root: str) -> None:
    """Raise ListingError for train/videos/CLASS/CLIP, where `videos` would be the only class."""
    inside = {"/".join(path.split("/")[:2]) for path in train}
    deeper = {path.split("/")[2] for path in train if _depth(path) > 2}
    if len(_inner(train)) == 1 and len(deeper) > 1:
        raise ListingError(
            f"data_root: all training clips are in one folder, {root}/{min(inside)}; if its "
            "subfolders are the classes, move them up one level."
        )


def _refuse_wrapper(videos: Sequence[str], root: str) -> None:
    """Raise ListingError if the classes are one folder level too deep."""
    folders = {video.rpartition("/")[0] for video in videos if _depth(video)}
    top = posixpath.commonpath(folders) if folders else ""
    if top and len(folders - {top}) > 1:
        raise ListingError(
            f"data_root: all class folders are in {root}/{top}; did you mean "
            f"data_root={root}/{top}?"
        )


def _splits_inside(
    videos: Sequence[str], tops: Mapping[str, Sequence[str]], root: str
) -> Arrangement | None:
    """Return the arrangement CLASS/train/CLIP if most classes have split folders, else None."""
    splits = {}
    for top, clips in tops.items():
        alone, pairs = _called_like_splits(sorted(_inner(clips)))
        splits[top] = alone or (pairs[0] if len(pairs) == 1 else {})
    kinds = {split for inside in splits.values() for split in inside.values()}
    if not kinds - {"train"} or 2 * sum(map(bool, splits.values())) <= len(tops):
        return None
    arranged = Arrangement()
    parts: dict[str, list[str]] = {name: [] for name in SPLITS}
    for video in videos:
        top, *rest = video.split("/")
        split = splits.get(top, {}).get(rest[0]) if len(rest) > 1 else None
        if split is None and rest and "train" not in kinds:
            split = "train"  # CLASS/CLIP next to CLASS/test/CLIP
        (arranged.unused if split is None else parts[split]).append(video)
    arranged.splits = {split: clips for split, clips in parts.items() if clips}
    if lacking := sorted(tops.keys() - set(map(_top, parts["train"]))):
        raise ListingError(
            f"data_root: most classes in {root} have split folders ({', '.join(sorted(kinds))}), "
            f"but these have no training clips: {some(lacking)}"
        )
    names = ", ".join(sorted({f"CLASS/{name}" for inside in splits.values() for name in inside}))
    sizes = ", ".join(f"{len(clips)} for {split}" for split, clips in arranged.splits.items())
    arranged.notes.append(f"Folders inside the classes of {root} are splits ({names}): {sizes}.")
    return arranged


def _classes(
    videos: Sequence[str], tops: Mapping[str, Sequence[str]], splits: Mapping[str, str], root: str
) -> Arrangement:
    labelled = [video for video in videos if _depth(video)]
    arranged = Arrangement(unused=[video for video in videos if not _depth(video)])
    if labelled:
        arranged.splits["train"] = labelled
    if named := [top for top in tops if top in splits]:
        what = "counts as a class, not as a split"
        what = what if len(named) == 1 else "count as classes, not as splits"
        arranged.notes.append(f"In {root}, {_named(named)} {what}.")
    if len(tops) > 1 and (shared := _look_alike(tops.values())):
        below = some(sorted(shared))[:-1]
        arranged.notes.append(
            f"The classes are the top-level folders in {root} ({some(tops)[:-1]}); the folders "
            f"inside each of them ({below}) are ignored. If {below} are the classes, rename the "
            "split folders to train, val and test."
        )
    arranged.notes += _say_deeper(labelled, root, below=1)
    return arranged


def _say_deeper(clips: Sequence[str], root: str, *, below: int) -> list[str]:
    """Report ignored folders that are named after splits but lie more than `below` levels down."""
    deep = [v for v in clips if any(split_of(part) for part in v.split("/")[below:-1])]
    if not deep:
        return []
    return [
        f"Folders inside the classes of {root} that are named like splits are ignored "
        f"({counted(len(deep), 'clip')}): {some(deep)}"
    ]
