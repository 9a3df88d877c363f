"""The user's clips, classes and splits, from list files or folders, with every check on them."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH100, PTH112, PTH113, PTH118

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.dataset.class_labels import Labels, number_labels, read_class_names
from autox_video.dataset.folders import find_videos, read_class_folders
from autox_video.dataset.list_files import (
    VIDEO_SUFFIXES,
    ClipList,
    Entries,
    at_most,
    counted,
    read_entries,
    read_list,
    write_list,
)
from autox_video.dataset.splits import Division, divide, keep
from autox_video.errors import ListingError
from autox_video.settings import AUTO, Settings

__all__ = [
    "ClipList",
    "Listing",
    "find_videos",
    "read_list",
    "read_listing",
    "read_test_list",
    "write_list",
]

# From as many listed clips of a folder on, reading the folder beats asking for each clip.
_WORTH_READING_FOLDER = 16
_SPACED_LABEL = re.compile(
    rf"({'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))})\s", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Listing:
    """All clips of a run, checked: every one is there, and every class has training clips."""

    data_root: Path
    classes: tuple[str, ...]
    """Name of each class index; "0", "1", ... where there are no names."""
    named: bool
    """Whether the names were given: by a list, by folders or by a file of class names."""
    train: ClipList
    val: ClipList
    test: ClipList | None
    """None where there is no test list."""
    notes: tuple[str, ...]
    """Sentences that the user should see: what was left out, divided or looks odd."""


def read_listing(settings: Settings) -> Listing:
    """Read and check the lists that the settings name, or the class folders where they name none.

    Where no validation list is given, training clips are set aside by class; WORK_DIR/split keeps
    which, and the same ones are used the next time. Nothing is written anywhere else.

    Raises:
        ListingError: with every problem that was found, one sentence each.
        ResourceError: WORK_DIR/split cannot be written.
    """
    root = _data_root(settings.data_root)
    names = read_class_names(settings)
    splits, notes = _read_given(settings, root)
    division = _divide(splits, settings, root)
    if division is not None:
        splits = {**splits, **division.splits}
        notes += division.notes
    labels = number_labels(
        splits,
        names=names,
        num_class=None if settings.num_class == AUTO else settings.num_class,
        are_names=settings.ann_file_train == AUTO,
    )
    problems = [*labels.problems, *_same_clip_twice(splits), *_missing(splits, root)]
    if problems:
        raise ListingError(*problems)
    lists = {name: _clip_list(split, labels) for name, split in splits.items()}
    if division is not None:
        keep(division, lists, len(labels.classes))
    notes += _overlaps(splits)
    return Listing(
        root,
        labels.classes,
        labels.named,
        lists["train"],
        lists["val"],
        lists.get("test"),
        tuple(notes),
    )


def read_test_list(path: str | Path, data_root: str | Path, classes: Sequence[str]) -> ClipList:
    """Read and check a list of clips to test; its labels are None where the list has none.

    A clip that is listed twice is kept once.

    Args:
        path: the list file.
        data_root: folder that the listed paths are relative to.
        classes: the model's classes; a label is the name of one, or its index.

    Raises:
        ListingError: with every problem that was found, one sentence each.
    """
    root = _data_root(data_root)
    entries, problems, _ = _drop_repeats(read_entries(path, root, need_labels=False))
    splits = {"test": entries}
    known = set(entries.labels or ()) <= set(classes)
    labels = number_labels(
        splits, names=(tuple(classes), "the model"), num_class=None, are_names=known
    )
    problems += [*labels.problems, *_missing(splits, root)]
    if problems:
        raise ListingError(*problems)
    return _clip_list(entries, labels)


def _data_root(path: str | Path) -> Path:
    root = Path(path)
    if root.is_dir():
        return root
    what = "is not a folder" if root.exists() else "does not exist"
    hint = "" if root.is_absolute() else f"; relative paths start from {Path.cwd()}"
    raise ListingError(f"data_root: {root} {what}{hint}.")


def _read_given(settings: Settings, root: Path) -> tuple[dict[str, Entries], list[str]]:
    """Read every list or folder that the settings name, each clip once; notes come along."""
    files = {
        "train": settings.ann_file_train,
        "val": settings.ann_file_val,
        "test": settings.ann_file_test,
    }
    splits: dict[str, Entries] = {}
    problems: list[str] = []
    notes: list[str] = []
    if settings.ann_file_train == AUTO:
        splits, notes = read_class_folders(root)
    for name, file in files.items():
        if file == AUTO:
            continue
        try:
            given = read_entries(file, root, need_labels=name != "test")
        except ListingError as error:
            problems += error.problems
            continue
        splits[name], repeated, repeats = _drop_repeats(given)
        problems += repeated
        notes += repeats
    if problems:
        raise ListingError(*problems)
    return splits, notes


def _divide(splits: Mapping[str, Entries], settings: Settings, root: Path) -> Division | None:
    """Set clips aside where there is no validation list; None where there is one."""
    if "val" in splits:
        return None
    entries = splits["train"]
    names: tuple[str, ...] = ("train", "val")
    if "test" in splits and settings.ann_file_train == AUTO:
        # Of the same folders: what is tested is not for training.
        tested = set(splits["test"].keys)
        entries = entries.select([i for i, key in enumerate(entries.keys) if key not in tested])
    elif settings.ann_file_train == AUTO:
        names = ("train", "val", "test")
    seed = 0 if settings.seed == AUTO else settings.seed
    folder = Path(settings.work_dir, "split")
    return divide(entries, root, folder, names=names, seed=seed)


def _clip_list(entries: Entries, labels: Labels) -> ClipList:
    if entries.labels is None:
        return ClipList(tuple(entries.paths), None)
    return ClipList(tuple(entries.paths), tuple(map(labels.index.__getitem__, entries.labels)))


def _drop_repeats(entries: Entries) -> tuple[Entries, list[str], list[str]]:
    """Keep each clip once; give the problems (two labels for a clip) and notes with the result."""
    if len(set(entries.keys)) == len(entries):
        return entries, [], []
    first: dict[str, int] = {}
    chosen, repeats = [], []
    for index, key in enumerate(entries.keys):
        if first.setdefault(key, index) == index:
            chosen.append(index)
        else:
            repeats.append((first[key], index))
    labels = entries.labels
    contradictions = (
        f"{entries.place(again)}: clip `{entries.paths[again]}` has the label {labels[again]}, but "
        f"{labels[index]} at {entries.place(index)}; keep one."
        for index, again in repeats
        if labels is not None and labels[index] != labels[again]
    )
    index, again = repeats[0]
    note = (
        f"{entries.source} lists {counted(len(repeats), 'clip')} again, which counts once: "
        f"{entries.place(again)} repeats {entries.place(index)}, for one."
    )
    return entries.select(chosen), at_most(contradictions), [note]


def _same_clip_twice(splits: Mapping[str, Entries]) -> list[str]:
    train, val = splits["train"], splits["val"]
    places = _common(train, val)
    return at_most(
        f"{val.place(j)}: clip `{val.paths[j]}` is for training too, at {train.place(i)}; "
        "validation needs clips of its own."
        for i, j in places
    )


def _common(one: Entries, other: Entries) -> list[tuple[int, int]]:
    """Give the indices of the clips that both have, in the order of `other`."""
    shared = set(one.keys).intersection(other.keys)
    if not shared:
        return []
    index = {key: i for i, key in enumerate(one.keys) if key in shared}
    return [(index[key], j) for j, key in enumerate(other.keys) if key in shared]


def _overlaps(splits: Mapping[str, Entries]) -> Iterator[str]:
    if "test" not in splits:
        return
    test = splits["test"]
    for name, why in (
        ("train", "the model has seen them"),
        ("val", "the best weights are chosen by them"),
    ):
        if shared := len(_common(splits[name], test)):
            yield (
                f"Of {counted(len(test), 'test clip')}, {shared} in the {name} list too: {why}, so "
                "expect less on other clips than the test says."
            )


def _missing(splits: Mapping[str, Entries], root: Path) -> list[str]:
    lists = {name: split for name, split in splits.items() if split.lines is not None}
    missing = {name: _find_missing(split.paths, root) for name, split in lists.items()}
    count = sum(map(len, missing.values()))
    if count and count == sum(map(len, lists.values())):
        name = next(iter(lists))
        looked_for = os.path.abspath(os.path.join(root, lists[name].paths[0]))
        return [
            f"{lists[name].place(0)}: clip {looked_for} is not there, and nor is any other of the "
            f"{count} listed. data_root ({root}) is probably wrong; relative paths start from "
            f"{Path.cwd()}."
        ]
    found = ((lists[name], index) for name, indices in missing.items() for index in indices)
    return at_most(found, lambda it: f"{it[0].place(it[1])}: {_why_missing(*it, root)}")


def _find_missing(paths: Sequence[str], root: Path) -> list[int]:
    """Give the indices of the paths at which there is no file."""
    folders: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        folders.setdefault(path.rpartition("/")[0], []).append(index)
    missing = []
    for folder, indices in folders.items():
        place = os.path.join(root, folder or ("/" if paths[indices[0]].startswith("/") else ""))
        names = _file_names(place) if len(indices) >= _WORTH_READING_FOLDER else ()
        missing += [
            index
            for index in indices
            # What the folder does not show may be there all the same, on a disk that ignores case.
            if paths[index].rpartition("/")[2] not in names
            and not os.path.isfile(os.path.join(root, paths[index]))
        ]
    return sorted(missing)


def _file_names(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def _why_missing(entries: Entries, index: int, root: Path) -> str:
    path = entries.paths[index]
    full = os.path.abspath(os.path.join(root, path))
    if os.path.isdir(full):
        return f"{full} is a folder, not a clip."
    if _SPACED_LABEL.search(path):
        return (
            f"clip {full} is not there. A label with spaces in it needs a TAB before it, or CSV "
            "(`path,label`)."
        )
    return f"clip {full} is not there."
