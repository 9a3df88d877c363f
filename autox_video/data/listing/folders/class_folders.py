"""Class folders read as lists of clips."""

# A folder may hold a million paths: as `Path` objects they cost ten times as much.

from collections.abc import Collection
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.folders.folder_walk import Contents, find_videos, read_contents, some
from autox_video.data.listing.folders.split_folders import Arrangement, arrange
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.reading.columns import find_columns
from autox_video.data.listing.reading.list_text import data_lines, read_text
from autox_video.video.files.remote import beside, is_remote
from autox_video.video.files.suffixes import split_suffix

__all__ = ["find_videos", "read_class_folders"]


def read_class_folders(
    data_root: str | Path, *, named: Collection[str] = ()
) -> tuple[dict[str, ClipTable], list[str]]:
    """Read DATA_ROOT/CLASS/..., with splits above the classes or in them, as lists.

    Gives the splits that the folders make (`train` alone holds all clips where they make none),
    and sentences about what was left out. A flat test folder gives clips without labels.

    Args:
        data_root: a folder, or an address.
        named: the lists that the config names all the same.

    Raises:
        ListingError: there is no video, none in a class folder, or the folders are ambiguous.
    """
    contents = read_contents(data_root)
    if not contents.videos:
        raise ListingError(_say_no_video(data_root, contents))
    found = arrange(contents.videos, contents.folders, str(data_root))
    if "train" not in found.splits:
        raise ListingError(_say_no_class(data_root, contents))
    splits = {
        name: _entries(data_root, paths, labels) for name, (paths, labels) in found.splits.items()
    }
    notes = [
        *found.notes,
        *_notes(data_root, contents, found),
        *_unused_lists(data_root, contents, named),
        *contents.notes(data_root),
    ]
    return splits, notes


def _say_no_video(data_root: str | Path, contents: Contents) -> str:
    passed_over = " ".join(contents.notes(data_root))
    return (
        f"data_root: there is no video in {_absolute(data_root)}; put each class's clips in a "
        f"folder of their own there, or give ann_file_train. {passed_over}".rstrip()
    )


def _say_no_class(data_root: str | Path, contents: Contents) -> str:
    root = _absolute(data_root)
    if contents.frame_folders.issuperset(contents.videos):
        return (
            f"data_root: the numbered pictures in each folder of {root} are the frames of one "
            f"clip ({some(contents.videos)[:-1]}), and these are not in class folders. Put each "
            "class's clips in a folder of their own, as CLASS/CLIP/0001.jpg; single pictures are "
            "not videos."
        )
    return (
        f"data_root: the videos in {root} are not in class folders; put each class's clips in a "
        "folder of their own, or give ann_file_train."
    )


def _absolute(data_root: str | Path) -> str | Path:
    return data_root if is_remote(data_root) else Path(data_root).absolute()


def _entries(data_root: str | Path, paths: list[str], labels: list[str] | None) -> ClipTable:
    return ClipTable(paths, labels, source=str(data_root), all_exist=True)


def _notes(data_root: str | Path, contents: Contents, found: Arrangement) -> list[str]:
    notes = []
    if found.unused:
        notes.append(
            f"{counted(len(found.unused), 'video')} of {data_root} not in a class folder"
            f"{' of a split' if found.classes_at or len(found.splits) > 1 else ''}, so not used: "
            f"{some(found.unused)}"
        )
    if empty := _without_video(contents, found.classes_at):
        notes.append(f"Folders of {data_root} without a video are not classes: {some(empty)}")
    notes += _lacking_classes(data_root, found)
    return notes


def _unused_lists(data_root: str | Path, contents: Contents, named: Collection[str]) -> list[str]:
    names = {Path(file).name for file in named}
    lists = [n for n in contents.lists if n not in names and _may_be_of_clips(data_root, n)]
    if not lists:
        return []
    return [
        f"Lists in {data_root} that are not used, as ann_file_train, ann_file_val and "
        f"ann_file_test do not name them: {some(lists)}"
    ]


def _may_be_of_clips(data_root: str | Path, name: str) -> bool:
    """Whether a file is called as a list of clips is, or has the columns of one."""
    stem, suffix = split_suffix(name)
    if split_of(stem) or stem == "metadata":
        return True
    if suffix not in (".csv", ".tsv", ".txt"):
        return False
    try:
        _, first = next(data_lines(read_text(beside(f"{data_root}/x", name))), (0, ""))
    except ListingError:
        return False
    return find_columns(first) is not None


def _without_video(contents: Contents, classes_at: int) -> list[str]:
    """Give the folders where classes are expected that hold no clip at all."""
    used = {"/".join(v.split("/")[: classes_at + 1]) for v in contents.videos}
    empty = {"/".join(path.split("/")[: classes_at + 1]) for path in contents.folders}
    return sorted(path for path in empty - used if path.count("/") == classes_at)


def _lacking_classes(data_root: str | Path, found: Arrangement) -> list[str]:
    """Say which classes of training have no clip in another split."""
    trained, notes = set(found.splits["train"][1] or ()), []
    for split, (_, labels) in found.splits.items():
        if lacking := sorted(trained.difference(labels or trained)):
            clips = "validation" if split == "val" else split
            classes = counted(len(lacking), "class", "classes")
            notes.append(f"{classes} of {data_root} without a {clips} clip: {some(lacking)}")
    return notes
