"""Every clip under a folder, and what lies beside the clips that is none."""

# A folder may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH116, PTH118

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
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
"""So many pictures of a folder are opened, to see whether they move."""
_SUFFIXES_NAMED_AT_MOST = 10

# What is passed over: how it is counted, and why.
_LOST, _CLOSED, _ODD, _HIDDEN, _REPEATED = _PASSED_OVER = (
    ("link", "links", "leading nowhere, so not used"),
    ("folder", "folders", "that may not be read, so not used"),
    ("pipe or device", "pipes and devices", "not used"),
    ("hidden video", "hidden videos", "not used"),
    ("link", "links", "to folders that are read already, not used"),
)


@dataclass(slots=True)
class Contents:
    """What a folder holds; all paths are relative to it."""

    videos: list[str] = field(default_factory=list)
    """Video files, and folders of frames."""
    frame_folders: set[str] = field(default_factory=set)
    """Those of `videos` that are folders of frames."""
    folders: list[str] = field(default_factory=list)
    """Folders that hold neither a clip nor another folder."""
    lists: list[str] = field(default_factory=list)
    """Files right in the folder that may be lists of clips."""
    passed_over: dict[tuple[str, str, str], list[str]] = field(
        default_factory=lambda: {what: [] for what in _PASSED_OVER}
    )
    others: Counter[str] = field(default_factory=Counter)
    """Files of other kinds by suffix, without text about clips and thumbnails."""

    def notes(self, folder: str | Path) -> list[str]:
        """Say what was passed over in `folder`, one sentence for each kind."""
        notes = [
            f"{counted(len(paths), *what)} in {folder} {why}: {some(paths)}"
            for (*what, why), paths in self.passed_over.items()
            if paths
        ]
        if self.others:
            most = self.others.most_common(_SUFFIXES_NAMED_AT_MOST)
            shown = ", ".join(f"{suffix or 'no suffix'} ({count})" for suffix, count in most)
            rest = self.others.total() - sum(count for _, count in most)
            more = f" and {rest} more" if rest else ""
            notes.append(f"Files in {folder} that are not read as clips: {shown}{more}.")
        return notes


def some(names: Iterable[str]) -> str:
    """Name the first few, as the end of a sentence."""
    names = list(names)
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more." if more > 0 else ".")


def find_videos(folder: str | Path) -> tuple[str, ...]:
    """Every clip under `folder`, sorted, relative to it; raises ListingError as `read_contents`."""
    return tuple(read_contents(folder).videos)


def read_contents(folder: str | Path) -> Contents:
    """Every clip under `folder`, sorted, and what was passed over.

    A clip is a video file, by its suffix, or on this machine a folder of two or more numbered
    pictures and nothing else of use. Links are followed; hidden files and folders are left out.

    Args:
        folder: on this machine, or an address; a web server must list its folders.

    Raises:
        ListingError: the folder is missing or cannot be read.
    """
    contents = _read_remote(folder) if is_remote(folder) else _read_local(folder)
    for paths in (contents.videos, contents.folders, *contents.passed_over.values()):
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
    # Links wait until all else is read: what a folder holds belongs to its own name first.
    folders, links = [""], []
    while folders or links:
        is_link = not folders
        inside = folders.pop() if folders else links.pop()
        path = os.path.join(root, inside) if inside else root
        try:
            # A link may lead back up: each folder is read once, by whatever way it is reached.
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                if is_link:
                    contents.passed_over[_REPEATED].append(inside)
                continue
            seen.add((status.st_dev, status.st_ino))
            folder = _Folder(inside)
            with os.scandir(path) as entries:
                for entry in entries:
                    folder.take(entry, contents)
        except OSError as error:
            if not inside:
                raise ListingError(f"{path}: cannot be read ({error.strerror}).") from error
            contents.passed_over[_CLOSED].append(inside)
            continue
        folder.add_to(contents)
        folders += sorted(folder.folders, reverse=True)
        links += sorted(folder.links, reverse=True)
    return contents


class _Folder:
    """What lies right in one folder, `inside` the root."""

    def __init__(self, inside: str) -> None:
        self.inside = inside
        self.folders: list[str] = []
        self.links: list[str] = []  # to folders
        self._videos: list[str] = []
        self._others: list[str] = []
        self._to_look_into = _LOOKED_INTO

    def take(self, entry: os.DirEntry, contents: Contents) -> None:
        """Put an entry where it belongs."""
        name, path = entry.name, os.path.join(self.inside, entry.name)
        if is_hidden(name):
            # AppleDouble files, `._NAME`, go with a video and are none.
            if name[:2] != "._" and is_video(name) and entry.is_file():
                contents.passed_over[_HIDDEN].append(path)
        elif entry.is_symlink() and not _leads_somewhere(entry):
            contents.passed_over[_LOST].append(path)
        elif entry.is_dir():
            (self.links if entry.is_symlink() else self.folders).append(path)
        elif not entry.is_file():
            contents.passed_over[_ODD].append(path)
        elif is_video(name) or self._is_animation(entry):
            self._videos.append(name)
        else:
            self._others.append(name)

    def _is_animation(self, entry: os.DirEntry) -> bool:
        if not self._to_look_into or split_suffix(entry.name)[1] not in ANIMATION_SUFFIXES:
            return False
        if moves(entry.path):
            return True
        self._to_look_into -= 1
        return False

    def add_to(self, contents: Contents) -> None:
        """Add the clips, once everything in the folder was taken."""
        is_bare = not (self.folders or self.links or self._videos)
        if is_bare and self.inside:
            frames = islice(filter(PICTURE_NAME.fullmatch, self._others), _FEWEST_FRAMES)
            if len(list(frames)) == _FEWEST_FRAMES:
                contents.videos.append(self.inside)
                contents.frame_folders.add(self.inside)
                return
            contents.folders.append(self.inside)
        contents.videos += (os.path.join(self.inside, name) for name in self._videos)
        if not self.inside:
            contents.lists += sorted(filter(is_list, self._others))
        # A picture, sound or features by the name of a clip are that clip's.
        stems = {split_suffix(name)[0] for name in self._videos}
        for name in self._others:
            stem, suffix = split_suffix(name)
            if stem not in stems and not is_sidecar(name):
                contents.others[suffix] += 1


def _leads_somewhere(link: os.DirEntry) -> bool:
    try:
        link.stat()
    except OSError:  # nowhere, in a circle, or where nobody may look
        return False
    return True


def moves(path: str) -> bool:
    """Whether a WebP or AVIF picture is an animation, by its header."""
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError:
        return False
    if head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2) if len(head) > 20 else False
    return head[4:12] == b"ftypavis"
