"""Where the clips of an official list are under data_root, whatever folders they were put in."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH112, PTH119, PTH120

import difflib
import os
import re
from array import array
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable, whole_or
from autox_video.data.listing.folders.folder_walk import find_videos
from autox_video.data.listing.reading.table import Table
from autox_video.data.listing.spelling import file_key
from autox_video.video.files.suffixes import VIDEO_SUFFIXES, split_suffix

MISSING_AT_MOST = 0.5
"""What share of an official list's clips may be missing; with more of them it is a mistake."""

COMPARED_AT_MOST = 20_000
"""Of more clips none is looked for that has a similar name: each would be compared."""

_NAMED_AT_MOST = 3
# What Label Studio puts in front of the names of files that are uploaded: 0a1b2c3d-NAME.
_UPLOADED = re.compile(r"(?<![^/])[0-9a-f]{8}-(?=[^/]*$)")


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
        stem = stem_of(name)
        found = self._of_stem(stem)
        # A name in another case is taken where there is none in this one.
        found = [path for path in found if stem_of(path) == stem] or found
        if len(found) < 2:
            return found[0] if found else None
        if name in found:
            return name
        wanted = (os.path.dirname(name) or label).replace("_", " ").casefold()
        for path in found:
            folder = os.path.basename(os.path.dirname(path))
            if folder.replace("_", " ").casefold() == wanted:
                return path
        return found[0]

    def resolve(self, path: str) -> str | None:
        """Give the one clip that a path means which is not there as it is spelt, or None."""
        candidates = self.candidates(path)
        return candidates[0] if len(candidates) == 1 else None

    def candidates(self, path: str) -> list[str]:
        """Give the clips that a path may mean: those which fit it best, relative to the root.

        They fit but for slashes, case, composed letters, %20 and the suffix; and either way, one
        of the two paths may have more folders in front.
        """
        path = re.sub("^file://", "", path, flags=re.IGNORECASE)
        return self._candidates(path) or self._candidates(_UPLOADED.sub("", path))

    def _candidates(self, path: str) -> list[str]:
        wanted = [part for part in file_key(path).split("/") if part not in ("", ".")]
        if not wanted or ".." in wanted:
            return []
        best: dict[tuple[bool, bool, bool], list[str]] = {}
        for clip in self._of_stem(path.replace("\\", "/")):
            parts = file_key(clip).split("/")
            if _ends_alike(wanted, parts):
                is_same_folder = len(wanted) == len(parts)
                quality = (not is_same_folder, wanted[-1] != parts[-1], clip != path)
                best.setdefault(quality, []).append(clip)
        return best[min(best)] if best else []

    def nearest(self, path: str) -> str | None:
        """Give a clip whose name is like that of a path; None where there is none, or too many."""
        stems = self._stems()
        if len(stems) > COMPARED_AT_MOST:
            return None
        wanted = _stem_key(path.replace("\\", "/"))
        near = difflib.get_close_matches(wanted, stems, n=5, cutoff=0.8)
        # Another number is another clip.
        numbers = re.findall("[0-9]+", wanted)
        near = [stem for stem in near if re.findall("[0-9]+", stem) == numbers]
        return self._of_stem(near[0])[0] if near else None

    def example(self) -> str | None:
        """Give the path of some clip; None where there is none."""
        found = next(iter(self._stems().values()), None)
        return found[0] if isinstance(found, list) else found

    def _of_stem(self, name: str) -> list[str]:
        found = self._stems().get(_stem_key(name), [])
        return [found] if isinstance(found, str) else found

    def _stems(self) -> dict[str, str | list[str]]:
        if self._by_stem is None:
            self._by_stem = self._index()
        return self._by_stem

    def _index(self) -> dict[str, str | list[str]]:
        by_stem: dict[str, str | list[str]] = {}
        for path in find_videos(self.data_root):
            stem = _stem_key(path)
            other = by_stem.setdefault(stem, path)
            if other is not path:
                by_stem[stem] = [*([other] if isinstance(other, str) else other), path]
        return by_stem


def _ends_alike(one: list[str], other: list[str]) -> bool:
    """Whether the shorter of two paths is the end of the other, but for the suffixes."""
    count = min(len(one), len(other))
    return one[-count:-1] == other[-count:-1] and _stem_key(one[-1]) == _stem_key(other[-1])


def _stem_key(path: str) -> str:
    stem = stem_of(file_key(path))
    # Where suffixes are hidden, they come to be written twice: clip.mp4.mp4.
    while (shorter := stem_of(stem)) != stem:
        stem = shorter
    return stem


def stem_of(name: str) -> str:
    """Give a clip's name without its folders and the suffix of a video."""
    base = name.rpartition("/")[2]
    stem, suffix = split_suffix(base)
    return stem if suffix in VIDEO_SUFFIXES else base


def locate(table: Table, tree: ClipTree, dataset: str) -> tuple[ClipTable, list[str]]:
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
    segments = table.segments and whole_or([table.segments[i] for i in kept])
    entries = ClipTable(
        paths,
        [table.labels[i] for i in kept] if any(table.labels) else None,
        segments,
        lines=array("L", [table.lines[i] for i in kept]) if one_file else None,
        source=table.source if one_file else str(tree.data_root),
        all_exist=True,
    )
    return entries, _say_missing(table, missing, tree, dataset)


def _say_missing(table: Table, missing: list[int], tree: ClipTree, dataset: str) -> list[str]:
    if not missing:
        return []
    named = ", ".join(table.paths[index] for index in missing[:_NAMED_AT_MOST])
    more = ", ..." if len(missing) > _NAMED_AT_MOST else "."
    if len(missing) > MISSING_AT_MOST * len(table.paths):
        first = missing[0]
        place = table.source if os.path.isdir(table.source) else table.location(first)
        why = "data_root is probably wrong, or the clips are not unpacked."
        if (example := tree.example()) is not None:
            why = f"those that are there have other names, as {example}."
        raise ListingError(
            f"{place}: {table.paths[first]} is nowhere under data_root "
            f"({tree.data_root}), and {len(missing)} of the {len(table.paths)} {dataset} clips of "
            f"this list are missing; {why}"
        )
    return [
        f"Of {counted(len(table.paths), dataset + ' clip')} in {table.source}, {len(missing)} "
        f"not under {tree.data_root}, so left out: {named}{more}"
    ]
