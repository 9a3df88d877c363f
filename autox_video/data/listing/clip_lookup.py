"""Find the files of listed clips, even if the lists spell paths differently."""

# A list may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH112, PTH118

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.boundary import find_outside
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.missing_clips import find_missing
from autox_video.data.listing.reading.table import Table
from autox_video.data.listing.spelling import folder_key
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import VIDEO_SUFFIXES

_MISSING_AT_MOST = 0.5
"""Tolerated share of missing clips in an official list."""

_NAMED_AT_MOST = 3


def find_listed(table: Table, tree: ClipTree) -> Table:
    """Correct the paths in a table so that they match existing files, and remove comment lines.

    A path that does not exist as written is replaced by the path of a file that differs only in
    slashes, case, Unicode normalisation, suffix or leading folders, if there is exactly one. The
    notes report how many paths were replaced, and which lines beginning with # were treated as
    comments although they look like clips.
    """
    if is_remote(tree.data_root):
        return _without_comments(table, table.hashed)
    missing = _missing(table.paths, tree.data_root)
    respelt: dict[int, str] = {}
    try:
        labels = set(map(folder_key, set(table.labels)))
        for index in missing:
            if path := tree.meant(table.paths[index], table.labels[index], labels):
                respelt[index] = path
    except ListingError:  # a folder cannot be read, so only exact paths count
        respelt = {}
    # If two listed paths match the same file, they mean different clips, so neither is replaced.
    times = Counter(path for path, _ in {(path, table.paths[i]) for i, path in respelt.items()})
    taken = set(table.paths)
    respelt = {i: path for i, path in respelt.items() if times[path] == 1 and path not in taken}
    if respelt:
        index, path = next(iter(respelt.items()))
        table.notes.append(
            f"{table.source}: {counted(len(respelt), 'clip')} found under a different spelling, "
            f"for example `{path}` for `{table.paths[index]}` (line {table.lines[index]})."
        )
    table.paths = [respelt.get(index, path) for index, path in enumerate(table.paths)]
    gone = set(missing) - respelt.keys()
    comments = table.hashed & gone
    table = _without_comments(table, comments)
    table.all_there = gone == comments and not any("://" in path for path in table.paths)
    return table


def _without_comments(table: Table, comments: set[int]) -> Table:
    """Return the table without lines that begin with # and are not clips."""
    if not comments:
        return table
    suffixes = tuple(VIDEO_SUFFIXES)
    likely = sorted(i for i in comments if table.paths[i].lower().endswith(suffixes))
    if likely:
        first = likely[0]
        table.notes.append(
            f"{table.source}: {counted(len(likely), 'line')} beginning with # skipped as comments, "
            f"as no such video exists: line {table.lines[first]}, `{table.paths[first]}`."
        )
    return table.select([i for i in range(len(table.paths)) if i not in comments])


def _missing(paths: Sequence[str], data_root: str | Path) -> list[int]:
    """Return the indices of missing clips; nothing outside data_root is opened."""
    outside = set(find_outside(paths, data_root))
    inside = [index for index in range(len(paths)) if index not in outside]
    missing = [inside[i] for i in find_missing([paths[i] for i in inside], data_root)]
    for index in outside:
        path = re.sub("^file://", "", paths[index], flags=re.IGNORECASE)
        if not is_remote(path) and not os.path.lexists(os.path.join(data_root, path)):
            missing.append(index)
    return sorted(missing)


def locate(table: Table, tree: ClipTree, data_set: str) -> tuple[ClipTable, list[str]]:
    """Return the existing clips of an official list, and a note on the missing ones.

    Args:
        table: the list, with its paths as written.
        tree: the clips under data_root.
        data_set: name of the data set, for messages.

    Raises:
        ListingError: most of the clips are missing.
    """
    paths = list(map(tree.find, table.paths, table.labels))
    missing = [index for index, path in enumerate(paths) if path is None]
    notes = _say_missing(table, missing, tree, data_set) if missing else []
    located = table.select([index for index, path in enumerate(paths) if path is not None])
    located.paths, located.all_there = [path for path in paths if path is not None], True
    clips = located.clips()
    if os.path.isdir(table.source):
        # A line number is ambiguous in a folder of lists, so messages name the clips instead.
        clips = replace(clips, source=str(tree.data_root), lines=None)
    return clips, notes


def _say_missing(table: Table, missing: list[int], tree: ClipTree, data_set: str) -> list[str]:
    if len(missing) > _MISSING_AT_MOST * len(table.paths):
        first = missing[0]
        location = table.source if os.path.isdir(table.source) else table.location(first)
        why = "data_root is probably wrong, or the clips have not been extracted."
        if (example := tree.example()) is not None:
            why = f"the clips there have other names, such as {example}."
        raise ListingError(
            f"{location}: {table.paths[first]} was not found under data_root ({tree.data_root}); "
            f"{len(missing)} of the {len(table.paths)} {data_set} clips in this list are missing: "
            f"{why}"
        )
    named = ", ".join(table.paths[index] for index in missing[:_NAMED_AT_MOST])
    more = ", ..." if len(missing) > _NAMED_AT_MOST else "."
    return [
        f"{table.source}: {len(missing)} of {counted(len(table.paths), data_set + ' clip')} "
        f"skipped, not found under {tree.data_root}: {named}{more}"
    ]
