"""Which listed clips are not there, and what to say about them."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH100, PTH112, PTH113, PTH114, PTH115, PTH118, PTH122

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.video.files.remote import RemoteFault, filesystem, is_remote
from autox_video.video.files.video_file import is_frame_folder

# From as many listed clips of a folder on, reading the folder beats asking for each clip.
_WORTH_READING_FOLDER = 16


def say_missing(splits: Mapping[str, ClipTable], root: str | Path) -> list[str]:
    """Name the clips that are not there, one sentence each.

    What is at an address is not looked for: that would take a request for each clip. It is found
    out when the clip is opened.

    Raises:
        InstallError: a package for the addresses is missing.
    """
    if unknown := _unknown_addresses(splits.values()):
        return unknown
    lists = {} if is_remote(root) else {n: s for n, s in splits.items() if not s.all_exist}
    missing = {name: find_missing(split.paths, root) for name, split in lists.items()}
    tree = ClipTree(root)
    count = sum(map(len, missing.values()))
    if count and count == sum(map(len, splits.values())):
        name = next(iter(lists))
        looked_for = os.path.abspath(os.path.join(root, lists[name].paths[0]))
        there = _what_there_is(lists[name].paths[0], tree)
        if not there and (example := _example(tree)):
            there = f"; what is there has other names, as {example}"
        wrong = f" data_root ({root}) is probably wrong; relative paths start from {Path.cwd()}."
        return [
            f"{lists[name].place(0)}: clip {looked_for} is not there, and nor is any other of the "
            f"{count} listed{there}.{'' if there else wrong}"
        ]
    found = ((lists[name], index) for name, indices in missing.items() for index in indices)
    return at_most(found, lambda it: f"{it[0].place(it[1])}: {_why_missing(*it, tree)}")


def _example(tree: ClipTree) -> str | None:
    try:
        return tree.example()
    except ListingError:  # a folder that cannot be read
        return None


def _unknown_addresses(lists: Iterable[ClipTable]) -> list[str]:
    """Try one address of each kind, which needs no network."""
    found: dict[str, tuple[str, str]] = {}
    for entries in lists:
        for index, path in enumerate(entries.paths):
            if "://" in path and is_remote(path):
                found.setdefault(path.partition("://")[0], (entries.place(index), path))
    problems = []
    for place, path in found.values():
        try:
            filesystem(path)
        except RemoteFault as fault:
            problems.append(f"{place}: {path}: {fault}.")
    return problems


def find_missing(paths: Sequence[str], root: str | Path) -> list[int]:
    """Give the indices of the paths on this machine at which there is no clip."""
    folders: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        if "://" not in path or not is_remote(path):
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
            and not _is_clip(os.path.join(root, paths[index]))
        ]
    return sorted(missing)


def _is_clip(path: str) -> bool:
    return os.path.isfile(path) or is_frame_folder(path)


def _file_names(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (OSError, ValueError):  # a name may hold a byte 0
        return set()


def _why_missing(entries: ClipTable, index: int, tree: ClipTree) -> str:
    path = entries.paths[index]
    full = os.path.abspath(os.path.join(tree.data_root, path))
    if os.path.isdir(full):
        return f"{full} is a folder, not a clip."
    if os.path.islink(full):
        return f"clip {full} is a link that leads nowhere ({os.readlink(full)})."
    return f"clip {full} is not there{_what_there_is(path, tree)}."


def _what_there_is(path: str, tree: ClipTree) -> str:
    """Say what a path may mean that is not there, "" where nothing is like it."""
    try:
        # A list may name the features or the pictures of a clip: x.npy is not there, x.mp4 is.
        candidates = tree.candidates(path) or tree.candidates(os.path.splitext(path)[0])
        near = candidates[:3] or ([nearest] if (nearest := tree.nearest(path)) else [])
    except ListingError:  # a folder that cannot be read
        return ""
    if len(candidates) > 1:
        return f"; it may be any of {len(candidates)} clips: {', '.join(near)}"
    return f"; there is {near[0]}" if near else ""
