"""Find all clips under a folder, and report the other files in it."""

# A folder may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH116, PTH118

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.run.work_dir import WORK_DIRS
from autox_video.video.files.remote import RemoteFault, find_files, is_remote
from autox_video.video.files.suffixes import (
    ANIMATION_SUFFIXES,
    is_hidden,
    is_list,
    is_sidecar,
    is_video,
    split_suffix,
)
from autox_video.video.files.video_file import PICTURE_NAME

NAMED_AT_MOST = 3

_FEWEST_FRAMES = 2
_LOOKED_INTO = 4
"""Number of images per folder that are opened to see whether they are animations."""
_SUFFIXES_NAMED_AT_MOST = 10

# Kinds of skipped entries, each with the singular, plural and reason that messages use.
_LOST, _CLOSED, _ODD, _HIDDEN, _REPEATED = _SKIPPED = (
    ("broken link", "broken links", "skipped"),
    ("folder", "folders", "skipped, no permission to read"),
    ("pipe or device", "pipes and devices", "skipped"),
    ("hidden video", "hidden videos", "skipped"),
    ("link", "links", "skipped, as the linked folders were already read"),
)


_FOLDER, _LINK, _VIDEO, _OTHER = "folder", "link to a folder", "video", "other"


@dataclass(slots=True)
class Contents:
    """The contents of a folder; all paths are relative to it."""

    videos: list[str] = field(default_factory=list)
    """Video files and frame folders."""
    frame_folders: set[str] = field(default_factory=set)
    """The entries of `videos` that are frame folders."""
    folders: list[str] = field(default_factory=list)
    """Folders that contain neither clips nor subfolders."""
    lists: list[str] = field(default_factory=list)
    """Files at the top level that may be lists of clips."""
    skipped: dict[tuple[str, str, str], list[str]] = field(
        default_factory=lambda: {what: [] for what in _SKIPPED}
    )
    others: Counter[str] = field(default_factory=Counter)
    """Number of other files by suffix; sidecar files and thumbnails are not counted."""

    def notes(self, folder: str | Path) -> list[str]:
        """Report what was skipped in `folder`, one message per kind."""
        notes = [
            f"{counted(len(paths), *what)} in {folder} {why}: {some(paths)}"
            for (*what, why), paths in self.skipped.items()
            if paths
        ]
        if self.others:
            most = self.others.most_common(_SUFFIXES_NAMED_AT_MOST)
            shown = ", ".join(f"{suffix or 'no suffix'} ({count})" for suffix, count in most)
            rest = self.others.total() - sum(count for _, count in most)
            more = f" and {rest} more" if rest else ""
            notes.append(f"Files in {folder} that are not videos: {shown}{more}.")
        return notes


def some(names: Iterable[str]) -> str:
    """Return the first few names as text that ends a sentence."""
    names = list(names)
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more." if more > 0 else ".")


def find_videos(folder: str | Path) -> tuple[str, ...]:
    """Return the sorted paths of all clips, relative to `folder`; see `read_contents`."""
    return tuple(read_contents(folder).videos)


def read_contents(folder: str | Path) -> Contents:
    """Return all clips under `folder`, in sorted order, and what was skipped.

    A clip is a file with a video suffix or, on a local disk, a folder with two or more numbered
    images and no videos or subfolders. Links are followed; hidden files and folders are skipped.

    `folder` may be a URL; a web server must provide folder listings. Raises ListingError if the
    folder is missing or cannot be read.
    """
    contents = _read_remote(folder) if is_remote(folder) else _read_local(folder)
    for paths in (contents.videos, contents.folders, *contents.skipped.values()):
        paths.sort()
    return contents


def _read_remote(address: str) -> Contents:
    contents = Contents()
    try:
        paths = find_files(address)
    except RemoteFault as fault:
        raise ListingError(f"{address}: {fault}.") from fault
    for path in paths:
        if any(map(is_hidden, path.split("/"))):
            continue
        if is_video(path):
            contents.videos.append(path)
        elif not is_sidecar(path.rpartition("/")[2]):
            contents.others[split_suffix(path)[1]] += 1
    return contents


def _read_local(root: str | Path) -> Contents:
    contents = Contents()
    seen: set[tuple[int, int]] = set()
    # Links are followed last, so that clips are listed under the real names of their folders.
    folders, links = [""], []
    while folders or links:
        is_link = not folders
        inside = folders.pop() if folders else links.pop()
        path = os.path.join(root, inside) if inside else root
        try:
            # Links may form a loop, so each folder is read only once.
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                if is_link:
                    contents.skipped[_REPEATED].append(inside)
                continue
            seen.add((status.st_dev, status.st_ino))
            names = _names_by_kind(path)
        except OSError as error:
            if not inside:
                raise ListingError(f"{path}: cannot be read ({error.strerror}).") from error
            contents.skipped[_CLOSED].append(inside)
            continue
        if not inside and WORK_DIRS in names[_FOLDER]:
            names[_FOLDER].remove(WORK_DIRS)  # left by runs started in the clips' folder
        _add_files(contents, inside, names)
        folders += (os.path.join(inside, name) for name in sorted(names[_FOLDER], reverse=True))
        links += (os.path.join(inside, name) for name in sorted(names[_LINK], reverse=True))
    return contents


def _names_by_kind(folder: str | Path) -> defaultdict[Any, list[str]]:
    names: defaultdict[Any, list[str]] = defaultdict(list)
    stills = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            may_move = split_suffix(entry.name)[1] in ANIMATION_SUFFIXES
            kind = _kind_of(entry, may_move=may_move and stills < _LOOKED_INTO)
            stills += may_move and kind == _OTHER
            names[kind].append(entry.name)
    return names


def _kind_of(entry: os.DirEntry, *, may_move: bool) -> Any:
    name = entry.name
    if is_hidden(name):
        # AppleDouble files (`._NAME`) accompany videos but are not videos themselves.
        return _HIDDEN if name[:2] != "._" and is_video(name) and entry.is_file() else None
    if entry.is_symlink() and not _leads_somewhere(entry):
        return _LOST
    if entry.is_dir():
        return _LINK if entry.is_symlink() else _FOLDER
    if not entry.is_file():
        return _ODD
    return _VIDEO if is_video(name) or (may_move and moves(entry.path)) else _OTHER


def _add_files(contents: Contents, inside: str, names: Mapping[Any, list[str]]) -> None:
    """Add the files of one folder, or the folder itself if it is a frame folder."""
    for what, paths in contents.skipped.items():
        paths += (os.path.join(inside, name) for name in names[what])
    if inside and not (names[_FOLDER] or names[_LINK] or names[_VIDEO]):
        frames = islice(filter(PICTURE_NAME.fullmatch, names[_OTHER]), _FEWEST_FRAMES)
        if len(list(frames)) == _FEWEST_FRAMES:
            contents.videos.append(inside)
            contents.frame_folders.add(inside)
            return
        contents.folders.append(inside)
    contents.videos += (os.path.join(inside, name) for name in names[_VIDEO])
    if not inside:
        contents.lists += sorted(filter(is_list, names[_OTHER]))
    # Image, audio or feature files with the same name as a clip belong to that clip.
    stems = {split_suffix(name)[0] for name in names[_VIDEO]}
    for name in names[_OTHER]:
        stem, suffix = split_suffix(name)
        if stem not in stems and not is_sidecar(name):
            contents.others[suffix] += 1


def _leads_somewhere(link: os.DirEntry) -> bool:
    try:
        link.stat()
    except OSError:  # a broken link, a loop or a lack of permission
        return False
    return True


def moves(path: str) -> bool:
    """Whether a WebP or AVIF image is an animation, judging by its header."""
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError:
        return False
    if head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2) if len(head) > 20 else False
    return head[4:12] == b"ftypavis"
