"""The clips that a list means: files found though they are spelt otherwise; comments told apart."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH118

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.listing.boundary import find_outside
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.missing_clips import find_missing
from autox_video.data.listing.reading.table import Table
from autox_video.data.listing.spelling import as_seen
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import VIDEO_SUFFIXES


def find_listed(table: Table, tree: ClipTree) -> Table:
    """Give the table with the paths of the files that are meant, and without its comments.

    A path that is not there as written is that of the one file which it fits but for slashes,
    letter case, composed letters, its suffix, or the folders in front. Notes say how many were
    found so, and which lines that begin with # were taken for comments though they look like
    clips.
    """
    if is_remote(tree.data_root):
        return _without_comments(table, table.hashed)
    missing = _missing(table.paths, tree.data_root)
    try:
        labels = {_folder_key(label) for label in set(table.labels)}
        found = {index: path for index in missing if (path := _meant(table, index, tree, labels))}
    except ListingError:  # a folder that cannot be read: then clips are there by their names only
        found = {}
    # Two clips of a list cannot be one file: then the folders in front told them apart.
    clips = {(path, table.paths[index]) for index, path in found.items()}
    times = Counter(path for path, _ in clips)
    taken = set(table.paths)
    found = {i: path for i, path in found.items() if times[path] == 1 and path not in taken}
    if found:
        index = next(iter(found))
        clips_found = counted(len(found), "clip")
        table.notes.append(
            f"{table.source}: {clips_found} found by another spelling than listed, for example "
            f"`{found[index]}` for `{table.paths[index]}` (line {table.lines[index]})."
        )
    table.paths = [found.get(index, path) for index, path in enumerate(table.paths)]
    gone = set(missing) - found.keys()
    comments = table.hashed & gone
    kept = _without_comments(table, comments)
    kept.all_there = gone == comments and not any("://" in path for path in kept.paths)
    return kept


def _meant(table: Table, index: int, tree: ClipTree, labels: set[str]) -> str | None:
    """Give the one file that a clip means: of several, that in the folder of its class.

    What lies in the folder of another class is another clip.
    """
    label = _folder_key(table.labels[index])
    candidates = tree.candidates(table.paths[index])
    folders = [_folder_key(path.rpartition("/")[0].rpartition("/")[2]) for path in candidates]
    pairs = list(zip(candidates, folders, strict=True))
    own = [path for path, folder in pairs if label and folder == label]
    rest = [path for path, folder in pairs if not folder or folder not in labels]
    meant = own or rest
    return meant[0] if len(meant) == 1 else None


def _folder_key(name: str) -> str:
    return as_seen(name).replace("_", " ").casefold()


def _without_comments(table: Table, comments: set[int]) -> Table:
    """Leave out lines that begin with # where there is no such file."""
    if not comments:
        return table
    likely = sorted(index for index in comments if _names_video(table.paths[index]))
    if likely:
        first = likely[0]
        table.notes.append(
            f"{table.source}: {counted(len(likely), 'line')} beginning with # taken for comments, "
            f"as there is no such video: line {table.lines[first]}, `{table.paths[first]}`."
        )
    return table.select([i for i in range(len(table.paths)) if i not in comments])


def _missing(paths: Sequence[str], data_root: str | Path) -> list[int]:
    """Give the indices of the clips that are not there; of what is outside nothing is read."""
    outside = find_outside(paths, data_root)
    if not outside:
        return find_missing(paths, data_root)
    inside = sorted(set(range(len(paths))).difference(outside))
    missing = [inside[i] for i in find_missing([paths[i] for i in inside], data_root)]
    for index in outside:
        path = re.sub("^file://", "", paths[index], flags=re.IGNORECASE)
        if not is_remote(path) and not os.path.lexists(os.path.join(data_root, path)):
            missing.append(index)
    return sorted(missing)


def _names_video(path: str) -> bool:
    return path.lower().endswith(tuple(VIDEO_SUFFIXES))
