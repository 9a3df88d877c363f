"""Class folders read as lists of clips."""

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
from autox_video.video.files.remote import beside, is_remote
from autox_video.video.files.suffixes import split_suffix


def read_class_folders(
    data_root: str | Path, *, named: Collection[str] = ()
) -> tuple[dict[str, ClipTable], list[str]]:
    """Read DATA_ROOT/CLASS/..., with splits above the classes or in them, as lists.

    Lists beside the classes are said to be unused, but for those `named` in the config.

    Gives the splits that the folders make (`train` alone holds all clips where they make none),
    and sentences about what was left out. A flat test folder gives clips without labels.

    Raises:
        ListingError: there is no video, none in a class folder, or the folders are ambiguous.
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
        passed_over = " ".join(contents.notes(data_root))
        return (
            f"data_root: there is no video in {root}; put each class's clips in a folder of their "
            f"own there, or give ann_file_train. {passed_over}".rstrip()
        )
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


def _say_unused(data_root: str | Path, contents: Contents, arranged: Arrangement) -> Iterator[str]:
    """Say which clips are in no class, and which folders where classes are expected hold none."""
    level = arranged.classes_at
    if arranged.unused:
        has_splits = level or len(arranged.splits) > 1
        yield (
            f"{counted(len(arranged.unused), 'video')} of {data_root} not in a class folder"
            f"{' of a split' if has_splits else ''}, so not used: {some(arranged.unused)}"
        )
    used, empty = (
        {"/".join(path.split("/")[: level + 1]) for path in paths}
        for paths in (contents.videos, contents.folders)
    )
    if without := sorted(path for path in empty - used if path.count("/") == level):
        yield f"Folders of {data_root} without a video are not classes: {some(without)}"


def _say_lacking_classes(data_root: str | Path, splits: dict[str, ClipTable]) -> Iterator[str]:
    """Say which classes of training have no clip in another split."""
    trained = set(splits["train"].labels)
    for split, clips in splits.items():
        if lacking := sorted(trained.difference(clips.labels or trained)):
            what = "validation" if split == "val" else split
            classes = counted(len(lacking), "class", "classes")
            yield f"{classes} of {data_root} without a {what} clip: {some(lacking)}"


def _say_unused_lists(
    data_root: str | Path, contents: Contents, named: Collection[str]
) -> Iterator[str]:
    names = {Path(file).name for file in named}
    lists = [n for n in contents.lists if n not in names and _may_be_of_clips(data_root, n)]
    if lists:
        yield (
            f"Lists in {data_root} that are not used, as ann_file_train, ann_file_val and "
            f"ann_file_test do not name them: {some(lists)}"
        )


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
