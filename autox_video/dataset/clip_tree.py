"""Where the clips of an official list are under data_root, whatever folders they were put in."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH112, PTH119, PTH120

import os
from array import array
from pathlib import Path

from autox_video.dataset.csv_lists import Table
from autox_video.dataset.entries import Entries, clip_keys, counted
from autox_video.dataset.folder_walk import find_videos
from autox_video.dataset.suffixes import VIDEO_SUFFIXES, split_suffix
from autox_video.errors import ListingError

MISSING_AT_MOST = 0.5
"""What share of an official list's clips may be missing; with more of them it is a mistake."""

_NAMED_AT_MOST = 3


class ClipTree:
    """The clips under a folder or an address, found by name without folder and suffix."""

    def __init__(self, data_root: str | Path) -> None:
        self.data_root = data_root
        self._by_stem: dict[str, str | list[str]] | None = None

    def find(self, name: str, label: str = "") -> str | None:
        """Give the path of a clip relative to the root; None where it is not there.

        Args:
            name: as an official list has it, with or without folders and suffix.
            label: its class: of clips of one name, that in the folder of this name is taken.
        """
        if self._by_stem is None:
            self._by_stem = self._index()
        found = self._by_stem.get(stem_of(name))
        if found is None or isinstance(found, str):
            return found
        if name in found:
            return name
        wanted = (os.path.dirname(name) or label).replace("_", " ").casefold()
        for path in found:
            folder = os.path.basename(os.path.dirname(path))
            if folder.replace("_", " ").casefold() == wanted:
                return path
        return found[0]

    def _index(self) -> dict[str, str | list[str]]:
        by_stem: dict[str, str | list[str]] = {}
        for path in find_videos(self.data_root):
            stem = stem_of(path)
            other = by_stem.setdefault(stem, path)
            if other is not path:
                by_stem[stem] = [*([other] if isinstance(other, str) else other), path]
        return by_stem


def stem_of(name: str) -> str:
    """Give a clip's name without its folders and the suffix of a video."""
    base = name.rpartition("/")[2]
    stem, suffix = split_suffix(base)
    return stem if suffix in VIDEO_SUFFIXES else base


def locate(table: Table, tree: ClipTree, dataset: str) -> tuple[Entries, list[str]]:
    """Give the clips of an official list that are there, and a note on those that are not.

    Args:
        table: the list, its paths as that has them.
        tree: where the clips are.
        dataset: the data set's name, for sentences.

    Raises:
        ListingError: most of the clips are missing.
    """
    names = zip(table.paths, table.labels, strict=True)
    found = [tree.find(name, label) for name, label in names]
    kept = [index for index, path in enumerate(found) if path is not None]
    missing = [index for index, path in enumerate(found) if path is None]
    paths = [found[i] for i in kept]
    # A folder of lists has no lines: its clips are named themselves.
    one_file = not os.path.isdir(table.source)
    entries = Entries(
        table.source if one_file else str(tree.data_root),
        paths,
        clip_keys(paths, tree.data_root),
        [table.labels[i] for i in kept] if any(table.labels) else None,
        array("L", [table.lines[i] for i in kept]) if one_file else None,
        checked=True,
    )
    return entries, _say_missing(table, missing, tree, dataset)


def _say_missing(table: Table, missing: list[int], tree: ClipTree, dataset: str) -> list[str]:
    if not missing:
        return []
    named = ", ".join(table.paths[index] for index in missing[:_NAMED_AT_MOST])
    more = ", ..." if len(missing) > _NAMED_AT_MOST else "."
    if len(missing) > MISSING_AT_MOST * len(table.paths):
        first = missing[0]
        place = table.source if os.path.isdir(table.source) else table.place(first)
        raise ListingError(
            f"{place}: {table.paths[first]} is nowhere under data_root "
            f"({tree.data_root}), and {len(missing)} of the {len(table.paths)} {dataset} clips of "
            "this list are missing; data_root is probably wrong, or the clips are not unpacked."
        )
    return [
        f"Of {counted(len(table.paths), dataset + ' clip')} in {table.source}, {len(missing)} "
        f"not under {tree.data_root}, so left out: {named}{more}"
    ]
