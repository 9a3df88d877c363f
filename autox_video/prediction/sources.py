"""Find the videos that a user asks for: files, folders, glob patterns, lists and URLs."""

import glob
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol

from autox_video.config.load import settings_from_mapping
from autox_video.core.console import complain, say
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.folders.folder_walk import read_contents
from autox_video.data.listing.listing import read_test
from autox_video.evaluation.tested_clips import label_of_folder
from autox_video.tasks.task import Task
from autox_video.video.files.remote import is_remote, join
from autox_video.video.files.suffixes import is_list, is_video
from autox_video.video.files.video_file import is_frame_folder


class Predictor(Protocol):
    """The properties of a model that determine how labels are read."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def task(self) -> Task: ...


def find_videos(
    sources: Sequence[str], model: Predictor, *, data_root: str | None = None
) -> ClipTable:
    """Return the videos that the sources name, in order, each path as seen from here.

    The table has labels if all videos do: from a list with labels, or from sub-folders that are all
    named as classes of the model. A file that is named or listed but missing is kept, so that the
    prediction reports it.

    Args:
        sources: paths of video files, folders and lists, glob patterns, and URLs.
        model: the model whose classes labels refer to.
        data_root: folder that the paths in lists are relative to; None for each list's folder.

    Raises:
        ListingError: a folder or pattern contains no videos, a list has errors, or `data_root` is
            given without a list.
    """
    _check(sources, data_root)
    return _joined([_table_of(source, model, data_root) for source in sources])


def _check(sources: Sequence[str], data_root: str | None) -> None:
    if "" in sources:
        raise ListingError("A source is empty; give a file, a folder, a pattern, a list or a URL.")
    if data_root is not None and not any(is_list(source.partition("?")[0]) for source in sources):
        raise ListingError("data_root: this is only for lists, and no source is a list.")


def _joined(tables: Sequence[ClipTable]) -> ClipTable:
    if len(tables) == 1:
        return tables[0]
    labels, segments = [table.labels for table in tables], None
    if any(table.segments is not None for table in tables):
        segments = [table.segment(row) for table in tables for row in range(len(table))]
    return ClipTable(
        tuple(chain.from_iterable(table.paths for table in tables)),
        None if None in labels else tuple(chain.from_iterable(labels)),
        segments,
    )


def _table_of(source: str, model: Predictor, data_root: str | None) -> ClipTable:
    if is_remote(source):
        name = source.partition("?")[0]
        if is_list(name):
            return _of_list(source, model, data_root)
        return ClipTable((source,)) if is_video(name) else _of_folder(source, model)
    path = Path(source)
    if path.is_dir() and not is_frame_folder(path):
        return _of_folder(source, model)
    if path.is_file() and is_list(source):
        return _of_list(source, model, data_root)
    if not os.path.lexists(path) and glob.has_magic(source):
        return _of_pattern(source, model, data_root)
    return ClipTable((source,))


def _of_pattern(pattern: str, model: Predictor, data_root: str | None) -> ClipTable:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (keeps the user's spelling)
    if not matches:
        raise ListingError(f"{pattern}: no file matches this pattern.")
    videos = [
        path for path in matches if is_video(path) or (len(matches) == 1 and Path(path).is_file())
    ]
    folders = [path for path in matches if Path(path).is_dir()]
    if not videos and not folders:
        raise ListingError(f"{pattern}: matches {counted(len(matches), 'file')}, but no videos.")
    if "**" in pattern or videos:  # a folder's videos would be listed twice
        folders = [path for path in folders if is_frame_folder(path)]
    return _joined([_table_of(path, model, data_root) for path in sorted([*videos, *folders])])


def _of_folder(folder: str, model: Predictor) -> ClipTable:
    contents = read_contents(folder)
    notes = contents.notes(folder)
    if not contents.videos:
        raise ListingError(" ".join([f"{folder}: no video files found in it.", *notes]))
    for note in notes:
        complain(note)
    labels = tuple(label_of_folder(path, model.classes, model.task) for path in contents.videos)
    if None in labels and any(label is not None for label in labels):
        say(f"{folder}: only some folders are named as classes, so the clips have no labels.")
    return ClipTable(
        tuple(join(folder, path) for path in contents.videos), None if None in labels else labels
    )


def _of_list(source: str, model: Predictor, data_root: str | None) -> ClipTable:
    folder = source.rpartition("/")[0] if data_root is None else data_root
    # The user's own list may name videos anywhere; the folder is only where paths start.
    settings = {"data_root": folder or os.curdir, "ann_file_test": source, "allow_outside": True}
    clips = read_test(
        settings_from_mapping(settings, "command line"),
        model.classes,
        multi_label=model.task.has_label_sets,
        keep_missing=True,
    )
    paths = tuple(join(folder, path) for path in clips.paths)
    return ClipTable(paths, clips.labels, clips.segments)
