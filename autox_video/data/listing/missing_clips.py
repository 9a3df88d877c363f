"""Find listed clips that do not exist, and explain why."""

# A list may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH100, PTH112, PTH113, PTH114, PTH115, PTH118, PTH122

import os
from collections.abc import Sequence
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most, counted
from autox_video.data.clip_table import ClipTable, Splits
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.video.files.remote import RemoteFault, filesystem, is_remote
from autox_video.video.files.video_file import is_frame_folder

# If a folder has at least this many listed clips, reading it is faster than checking each clip.
_WORTH_READING_FOLDER = 16


def say_missing(splits: Splits, root: str | Path, *, only_if_all: bool = False) -> list[str]:
    """Report missing clips, with one message per clip; optionally only if all clips are missing.

    Remote clips are not checked, since the check would take one request per clip; a missing remote
    clip is noticed only when it is opened.

    Raises:
        InstallError: the package for the clips' URLs is missing.
    """
    if unknown := _unknown_addresses(splits):
        return unknown
    looked_at = [clips for clips in splits.values() if not is_remote(root) and not clips.all_exist]
    missing = [(clips, row) for clips in looked_at for row in find_missing(clips.paths, root)]
    tree, are_all = ClipTree(root), len(missing) == sum(map(len, splits.values()))
    if only_if_all and not are_all:
        return []
    if not missing or not are_all:
        return at_most(
            f"{clips.location(row)}: {_why_missing(clips.paths[row], tree)}"
            for clips, row in missing
        )
    first = looked_at[0]
    there = _what_there_is(first.paths[0], tree)
    if not there and (example := _example(tree)):
        there = f"; the clips there have other names, such as {example}"
    wrong = f" data_root ({root}) is probably wrong; relative paths start from {Path.cwd()}."
    missing_path = os.path.abspath(os.path.join(root, first.paths[0]))
    return [
        f"{first.location(0)}: none of the {counted(len(missing), 'listed clip')} exists, for "
        f"example {missing_path}{there}.{'' if there else wrong}"
    ]


def _example(tree: ClipTree) -> str | None:
    try:
        return tree.example()
    except ListingError:  # a folder that cannot be read
        return None


def _unknown_addresses(splits: Splits) -> list[str]:
    """Report URLs with an unknown scheme; one URL per scheme is checked, without network access."""
    first: dict[str, tuple[ClipTable, int]] = {}
    for clips in splits.values():
        for row, path in enumerate(clips.paths):
            if "://" in path and is_remote(path):
                first.setdefault(path.partition("://")[0], (clips, row))
    problems = []
    for clips, row in first.values():
        try:
            filesystem(clips.paths[row])
        except RemoteFault as fault:
            problems.append(f"{clips.location(row)}: {clips.paths[row]}: {fault}.")
    return problems


def find_missing(paths: Sequence[str], root: str | Path) -> list[int]:
    """Return the indices of the local paths at which no clip exists."""
    folders: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        if "://" not in path or not is_remote(path):
            folders.setdefault(path.rpartition("/")[0], []).append(index)
    missing = []
    for folder, indices in folders.items():
        listed_folder = os.path.join(
            root, folder or ("/" if paths[indices[0]].startswith("/") else "")
        )
        names = _file_names(listed_folder) if len(indices) >= _WORTH_READING_FOLDER else ()
        for index in indices:
            # On a case-insensitive disk, a file that the folder does not list may still exist.
            if paths[index].rpartition("/")[2] not in names:
                full = os.path.join(root, paths[index])
                if not os.path.isfile(full) and not is_frame_folder(full):
                    missing.append(index)
    return sorted(missing)


def _file_names(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (OSError, ValueError):  # a name may contain a null byte
        return set()


def _why_missing(path: str, tree: ClipTree) -> str:
    full = os.path.abspath(os.path.join(tree.data_root, path))
    if os.path.isdir(full):
        return f"{full} is a folder, not a clip."
    if os.path.islink(full):
        return f"clip {full} is a broken link to {os.readlink(full)}."
    return f"clip {full} does not exist{_what_there_is(path, tree)}."


def _what_there_is(path: str, tree: ClipTree) -> str:
    """Return a clause that names the clips most similar to a missing path; "" if there are none."""
    try:
        # A list may name a clip's features or images, such as x.npy where only x.mp4 exists.
        candidates = tree.candidates(path) or tree.candidates(os.path.splitext(path)[0])
        near = candidates[:3] or ([nearest] if (nearest := tree.nearest(path)) else [])
    except ListingError:  # a folder that cannot be read
        return ""
    if len(candidates) > 1:
        return f"; it matches {len(candidates)} clips: {', '.join(near)}"
    return f"; the closest match is {near[0]}" if near else ""
