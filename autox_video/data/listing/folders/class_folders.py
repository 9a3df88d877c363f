"""Read the clips in class folders."""

from collections.abc import Collection, Iterator
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.folders.folder_walk import Contents, read_contents, some
from autox_video.data.listing.folders.split_folders import Arrangement, arrange
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.reading.columns import find_columns
from autox_video.data.listing.reading.list_text import data_lines, read_text
from autox_video.video.files.remote import is_remote, sibling
from autox_video.video.files.suffixes import split_suffix


def read_class_folders(
    data_root: str | Path, *, named: Collection[str] = ()
) -> tuple[dict[str, ClipTable], list[str]]:
    """Return the clips in DATA_ROOT/CLASS/... by split, and notes on what was skipped.

    Split folders may be above or inside the class folders; if there are no split folders, all clips
    are in `train`. Clips in a flat test folder have no labels. List files in data_root are reported
    as unused, except those in `named`, which the config names.

    Raises:
        ListingError: there are no videos, no videos are in class folders, or the folders are
            ambiguous.
    """
    contents = read_contents(data_root)
    arranged = arrange(contents.videos, contents.folders, str(data_root))
    if "train" not in arranged.splits:
        raise ListingError(_say_no_class(data_root, contents))
    splits = {
        name: ClipTable(paths, arranged.labels(name), source=str(data_root), all_exist=True)
        for name, paths in arranged.splits.items()
    }
    notes = [
        *arranged.notes,
        *_say_unused(data_root, contents, arranged),
        *_say_lacking_classes(data_root, splits),
        *_say_unused_lists(data_root, contents, named),
        *contents.notes(data_root),
    ]
    return splits, notes


def _say_no_class(data_root: str | Path, contents: Contents) -> str:
    root = data_root if is_remote(data_root) else Path(data_root).absolute()
    if not contents.videos:
        skipped = " ".join(contents.notes(data_root))
        return (
            f"data_root: there is no video in {root}; put the clips of each class in a folder of "
            f"their own there, or set ann_file_train. {skipped}".rstrip()
        )
    if contents.frame_folders.issuperset(contents.videos):
        return (
            f"data_root: each folder of numbered images in {root} is one clip "
            f"({some(contents.videos)[:-1]}), but they are not in class folders. Arrange them as "
            "CLASS/CLIP/0001.jpg; single images are not videos."
        )
    return (
        f"data_root: the videos in {root} are not in class folders; put the clips of each class in "
        "a folder of their own, or set ann_file_train."
    )


def _say_unused(data_root: str | Path, contents: Contents, arranged: Arrangement) -> Iterator[str]:
    """Report clips outside class folders, and class folders without clips."""
    level = arranged.classes_at
    if arranged.unused:
        has_splits = level or len(arranged.splits) > 1
        yield (
            f"{counted(len(arranged.unused), 'video')} in {data_root} skipped, not in a class "
            f"folder{' of a split' if has_splits else ''}: {some(arranged.unused)}"
        )
    used, empty = (
        {"/".join(path.split("/")[: level + 1]) for path in paths}
        for paths in (contents.videos, contents.folders)
    )
    if without := sorted(path for path in empty - used if path.count("/") == level):
        yield f"Folders in {data_root} without videos do not count as classes: {some(without)}"


def _say_lacking_classes(data_root: str | Path, splits: dict[str, ClipTable]) -> Iterator[str]:
    """Report training classes that have no clips in the other splits."""
    trained = set(splits["train"].labels)
    for split, clips in splits.items():
        if lacking := sorted(trained.difference(clips.labels or trained)):
            what = "validation" if split == "val" else split
            classes = counted(len(lacking), "class", "classes")
            yield f"{classes} in {data_root} without {what} clips: {some(lacking)}"


def _say_unused_lists(
    data_root: str | Path, contents: Contents, named: Collection[str]
) -> Iterator[str]:
    names = {Path(file).name for file in named}
    lists = [n for n in contents.lists if n not in names and _may_be_of_clips(data_root, n)]
    if lists:
        yield (
            f"Lists in {data_root} not used (set ann_file_train, ann_file_val or ann_file_test to "
            f"use them): {some(lists)}"
        )


def _may_be_of_clips(data_root: str | Path, name: str) -> bool:
    """Whether a file looks like a list of clips, judging by its name or columns."""
    stem, suffix = split_suffix(name)
    if split_of(stem) or stem == "metadata":
        return True
    if suffix not in (".csv", ".tsv", ".txt"):
        return False
    try:
        _, first = next(data_lines(read_text(sibling(f"{data_root}/x", name))), (0, ""))
    except ListingError:
        return False
    return find_columns(first) is not None
