"""Every clip under a folder, and what lies beside the clips that is none."""

# A folder may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH116, PTH118

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Contents:
    """What a folder holds; all paths are relative to it."""

    videos: list[str] = field(default_factory=list)
    """Video files, and folders of frames."""
    frame_folders: set[str] = field(default_factory=set)
    """Those of `videos` that are folders of frames."""
    folders: list[str] = field(default_factory=list)
    """Folders that hold neither a clip nor another folder."""
    lost_links: list[str] = field(default_factory=list)
    repeated_links: list[str] = field(default_factory=list)
    """Links to folders that are read by another way."""
    closed: list[str] = field(default_factory=list)
    """Folders that may not be read."""
    odd_files: list[str] = field(default_factory=list)
    """Pipes, sockets and devices."""
    hidden_videos: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    """Files right in the folder that may be lists of clips."""
    others: Counter[str] = field(default_factory=Counter)
    """Files of other kinds by suffix, without text about clips and thumbnails."""

    def notes(self, folder: str | Path) -> list[str]:
        """Say what was passed over in `folder`, one sentence for each kind."""
        kinds = (
            (self.lost_links, ("link", "links"), "leading nowhere, so not used"),
            (self.closed, ("folder", "folders"), "that may not be read, so not used"),
            (self.odd_files, ("pipe or device", "pipes and devices"), "not used"),
            (self.hidden_videos, ("hidden video", "hidden videos"), "not used"),
            (self.repeated_links, ("link", "links"), "to folders that are read already, not used"),
        )
        notes = [
            f"{counted(len(paths), *what)} in {folder} {why}: {some(paths)}"
            for paths, what, why in kinds
            if paths
        ]
        if self.others:
            notes.append(f"Files in {folder} that are not read as clips: {self.say_others()}.")
        return notes

    def say_others(self) -> str:
        """Count the files of other kinds: ".zip (3), .h5 (1)"."""
        most = self.others.most_common(10)
        shown = ", ".join(f"{suffix or 'no suffix'} ({count})" for suffix, count in most)
        rest = self.others.total() - sum(count for _, count in most)
        return f"{shown} and {rest} more" if rest else shown


def some(names: Iterable[str]) -> str:
    """Name the first few, as the end of a sentence."""
    names = list(names)
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more." if more > 0 else ".")


def find_videos(folder: str | Path) -> tuple[str, ...]:
    """Give every clip under `folder`, sorted, relative to `folder`.

    Raises:
        ListingError: the folder is missing or cannot be read.
    """
    return tuple(read_contents(folder).videos)


def read_contents(folder: str | Path) -> Contents:
    """Give every clip under `folder`, sorted, and what was passed over.

    A clip is a video file, by its suffix, or on this machine a folder of two or more numbered
    pictures and nothing else of use. Links are followed; hidden files and folders are left out.

    Args:
        folder: on this machine, or an address; a web server must list its folders.

    Raises:
        ListingError: the folder is missing or cannot be read.
    """
    found = _read_remote(folder) if is_remote(folder) else _read_local(folder)
    found.videos.sort()
    found.folders.sort()
    return found


def _read_remote(address: str) -> Contents:
    found = Contents()
    try:
        paths = find_files(address)
    except RemoteFault as fault:
        raise ListingError(f"{address}: {fault}.") from fault
    for path in paths:
        if any(map(is_hidden, path.split("/"))):
            continue
        if is_video(path):
            found.videos.append(path)
        elif not is_sidecar(path.rpartition("/")[2]):
            found.others[split_suffix(path)[1]] += 1
    return found


def _read_local(folder: str | Path) -> Contents:
    found = Contents()
    seen: set[tuple[int, int]] = set()
    # Links wait until all else is read: what a folder holds belongs to its own name first.
    waiting, links = [""], []
    while waiting or links:
        is_link = not waiting
        inside = waiting.pop() if waiting else links.pop()
        place = os.path.join(folder, inside) if inside else folder
        try:
            # A link may lead back up: each folder is read once, by whatever way it is reached.
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                if is_link:
                    found.repeated_links.append(inside)
                continue
            seen.add((status.st_dev, status.st_ino))
            reading = _Folder(folder, inside)
        except OSError as error:
            if not inside:
                raise ListingError(f"{place}: cannot be read ({error.strerror}).") from error
            found.closed.append(inside)
            continue
        reading.add_to(found)
        waiting += sorted(reading.folders, reverse=True)
        links += sorted(reading.links, reverse=True)
    return found


class _Folder:
    """What lies right in one folder.

    Attributes:
        folders, links: paths of the folders in it, and of the links to folders.
    """

    def __init__(self, root: str | Path, inside: str) -> None:
        self._root, self._inside = root, inside
        self.folders: list[str] = []
        self.links: list[str] = []
        self._videos: list[str] = []
        self._frames = 0  # two at most
        self._to_look_into = _LOOKED_INTO
        self._others: list[str] = []
        self._lost: list[str] = []
        self._odd: list[str] = []
        self._hidden: list[str] = []
        with os.scandir(os.path.join(root, inside)) as entries:
            for entry in entries:
                self._take(entry)

    def _take(self, entry: os.DirEntry) -> None:
        name = entry.name
        if is_hidden(name):
            # AppleDouble files, `._NAME`, go with a video and are none.
            if name[:2] != "._" and is_video(name) and entry.is_file():
                self._hidden.append(name)
        elif entry.is_symlink() and not _leads_somewhere(entry):
            self._lost.append(name)
        elif entry.is_dir():
            path = os.path.join(self._inside, name)
            (self.links if entry.is_symlink() else self.folders).append(path)
        elif entry.is_file():
            if is_video(name) or self._is_animation(entry):
                self._videos.append(name)
                return
            self._others.append(name)
            if self._frames < _FEWEST_FRAMES and PICTURE_NAME.fullmatch(name):
                self._frames += 1
        else:
            self._odd.append(name)

    def _is_animation(self, entry: os.DirEntry) -> bool:
        if self._to_look_into and split_suffix(entry.name)[1] in ANIMATION_SUFFIXES:
            if moves(entry.path):
                return True
            self._to_look_into -= 1
        return False

    def add_to(self, found: Contents) -> None:
        """Put what lies in the folder where it belongs."""
        has_folders = bool(self.folders or self.links)
        is_clip = self._frames == _FEWEST_FRAMES and not (has_folders or self._videos)
        if is_clip and self._inside:
            found.videos.append(self._inside)
            found.frame_folders.add(self._inside)
            return
        if not (has_folders or self._videos or not self._inside):
            found.folders.append(self._inside)
        found.videos += self._spell(self._videos)
        found.lost_links += self._spell(self._lost)
        found.odd_files += self._spell(self._odd)
        found.hidden_videos += self._spell(self._hidden)
        # A picture, sound or features by the name of a clip are that clip's.
        stems = {split_suffix(name)[0] for name in self._videos}
        if not self._inside:
            found.lists += sorted(filter(is_list, self._others))
        for name in self._others:
            stem, suffix = split_suffix(name)
            if stem not in stems and not is_sidecar(name):
                found.others[suffix] += 1

    def _spell(self, names: list[str]) -> Iterator[str]:
        return (os.path.join(self._inside, name) for name in sorted(names))


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
