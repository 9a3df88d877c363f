"""Folders of clips: every clip in them, and class folders read as a list."""

# A folder may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH116, PTH118, PTH122

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from autox_video.dataset.list_files import VIDEO_SUFFIXES, Entries, clip_keys, counted
from autox_video.dataset.remote import RemoteFault, find_files, is_remote
from autox_video.dataset.video_file import PICTURE_NAME
from autox_video.errors import ListingError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What people call the three splits and their folders."""

_FEWEST_FRAMES = 2


def find_videos(folder: str | Path) -> tuple[str, ...]:
    """Give every clip under `folder`, sorted, relative to `folder`.

    A clip is a video file, by its suffix, or on this machine a folder of two or more numbered
    pictures and nothing else of use. Links are followed; hidden files and folders are left out.

    Args:
        folder: on this machine, or an address; a web server must list its folders.

    Raises:
        ListingError: the folder is missing or cannot be read.
    """
    if is_remote(folder):
        return _find_remote_videos(folder)
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            # A link may lead back up: each folder is read once, by whatever way it is reached.
            status = os.stat(os.path.join(folder, inside))
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            files, folders, frames = _read_folder(folder, inside)
        except OSError as error:
            place = Path(folder, inside)
            raise ListingError(f"{place}: cannot be read ({error.strerror}).") from error
        is_clip = frames == _FEWEST_FRAMES and inside and not files and not folders
        found += [inside] if is_clip else files
        waiting += sorted(folders, reverse=True)
    return tuple(sorted(found))


def _find_remote_videos(address: str) -> tuple[str, ...]:
    try:
        found = [path for path in find_files(address) if _is_video(path)]
    except RemoteFault as fault:
        raise ListingError(f"{address}: {fault}.") from fault
    return tuple(sorted(path for path in found if not f"/{path}".count("/.")))


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _read_folder(folder: str | Path, inside: str) -> tuple[list[str], list[str], int]:
    """Give the videos and the folders in a folder, and how many numbered pictures, two at most."""
    files, folders, frames = [], [], 0
    with os.scandir(os.path.join(folder, inside)) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # The cheapest first: a folder of frames holds many, and no two need to be kept.
            if frames < _FEWEST_FRAMES and PICTURE_NAME.fullmatch(entry.name):
                frames += 1
            elif entry.is_dir():
                folders.append(os.path.join(inside, entry.name))
            elif _is_video(entry.name) and entry.is_file():
                files.append(os.path.join(inside, entry.name))
    return files, folders, frames


def read_class_folders(data_root: str | Path) -> tuple[dict[str, Entries], list[str]]:
    """Read DATA_ROOT/CLASS/... or DATA_ROOT/{train,val,test}/CLASS/... as lists.

    Gives the splits that the folders make (`train` alone holds all clips where they make none),
    and sentences about what was left out. A flat test folder gives clips without labels.

    Raises:
        ListingError: there is no video, or none in a class folder.
    """
    videos = find_videos(data_root)
    if not videos:
        raise ListingError(
            f"data_root: there is no video in {_absolute(data_root)}; put each class's clips in a "
            "folder of their own there, or give ann_file_train."
        )
    groups = _group_by_split(videos)
    splits, strays = {}, []
    for name, clips in groups.items():
        depth = 1 if len(groups) == 1 and name == "" else 2
        labelled = [clip for clip in clips if clip.count("/") >= depth]
        if name == "test" and not labelled:
            splits[name] = _entries(data_root, clips, None)
            continue
        strays += [clip for clip in clips if clip.count("/") < depth]
        labels = [clip.split("/")[depth - 1] for clip in labelled]
        if labelled:
            splits[name or "train"] = _entries(data_root, labelled, labels)
    if "train" not in splits:
        raise ListingError(
            f"data_root: the videos in {_absolute(data_root)} are not in class folders; put each "
            "class's clips in a folder of their own, or give ann_file_train."
        )
    return splits, _notes(data_root, videos, strays)


def _group_by_split(videos: Sequence[str]) -> dict[str, list[str]]:
    """Give the videos of each split; all of them under the name "" where folders make no split."""
    groups: dict[str, list[str]] = {}
    for video in videos:
        top, *rest = video.split("/")
        split = SPLIT_NAMES.get(top.lower())
        # A video right in `train` makes that an ordinary class that happens to be called so.
        if split is None or (split == "train" and len(rest) < 2):
            return {"": list(videos)}
        groups.setdefault(split, []).append(video)
    return groups if "train" in groups else {"": list(videos)}


def _absolute(data_root: str | Path) -> str | Path:
    return data_root if is_remote(data_root) else Path(data_root).absolute()


def _entries(data_root: str | Path, paths: list[str], labels: list[str] | None) -> Entries:
    keys = clip_keys(paths, data_root)
    return Entries(str(data_root), paths, keys, labels, None, checked=True)


def _notes(data_root: str | Path, videos: Sequence[str], strays: Sequence[str]) -> list[str]:
    notes = []
    if strays:
        notes.append(
            f"{counted(len(strays), 'video')} of {data_root} not in a class folder, so not used: "
            f"{strays[0]}{', ...' if len(strays) > 1 else ''}"
        )
    used = {video.split("/")[0] for video in videos}
    if empty := sorted(set(_folders_in(data_root)) - used):
        names = ", ".join(empty[:10])
        notes.append(f"Folders of {data_root} without a video are not classes: {names}.")
    return notes


def _folders_in(data_root: str | Path) -> Iterable[str]:
    # At an address a folder without a file is none.
    return () if is_remote(data_root) else _read_folder(data_root, "")[1]
