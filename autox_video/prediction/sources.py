"""Find the videos that a user asks for: files, folders, glob patterns, lists and URLs."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from autox_video.config.load import settings_from_mapping
from autox_video.core.console import complain, say
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable, Label, Segment
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


Row = tuple[str, Label | None, Segment]


def find_videos(
    sources: Sequence[str], model: Predictor, *, data_root: str | None = None
) -> ClipTable:
    """Return the videos that the sources name, in order, each path as seen from here.

    The table has labels if all videos do: from a list with labels, or from sub-folders that are all
    named as classes of the model. A file that is named but missing is kept, so that the prediction
    reports it.

    Args:
        sources: paths of video files, folders and lists, glob patterns, and URLs.
        model: the model whose classes labels refer to.
        data_root: folder that the paths in lists are relative to; None for each list's folder.

    Raises:
        ListingError: a folder or pattern contains no videos, or a list has errors.
    """
    rows = [row for source in sources for row in _rows_of(source, model, data_root)]
    paths, labels, segments = zip(*rows, strict=True) if rows else ((), (), ())
    has_labels = bool(rows) and None not in labels
    whole = all(segment == WHOLE_VIDEO for segment in segments)
    return ClipTable(paths, labels if has_labels else None, None if whole else segments)


def _rows_of(source: str, model: Predictor, data_root: str | None) -> Iterable[Row]:
    if is_remote(source):
        if is_list(source):
            return _of_list(source, model, data_root)
        return [_unlabelled(source)] if is_video(source) else _of_folder(source, model)
    path = Path(source)
    if path.is_dir() and not is_frame_folder(path):
        return _of_folder(source, model)
    if path.exists() and is_list(source) and not path.is_dir():
        return _of_list(source, model, data_root)
    if not path.exists() and glob.has_magic(source):
        return _of_pattern(source, model, data_root)
    return [_unlabelled(source)]


def _unlabelled(path: str) -> Row:
    return path, None, WHOLE_VIDEO


def _of_pattern(pattern: str, model: Predictor, data_root: str | None) -> Iterable[Row]:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (keeps the user's spelling)
    if not found:
        raise ListingError(f"{pattern}: no file matches this pattern.")
    videos = [
        path for path in found if is_video(path) or (len(found) == 1 and Path(path).is_file())
    ]
    folders = [path for path in found if Path(path).is_dir()]
    if not videos and not folders:
        raise ListingError(f"{pattern}: matches {counted(len(found), 'file')}, but no videos.")
    if "**" in pattern or videos:  # a folder's videos would be found twice
        folders = [path for path in folders if is_frame_folder(path)]
    return [row for path in sorted([*videos, *folders]) for row in _rows_of(path, model, data_root)]


def _of_folder(folder: str, model: Predictor) -> Iterable[Row]:
    contents = read_contents(folder)
    notes = contents.notes(folder)
    if not contents.videos:
        raise ListingError(" ".join([f"{folder}: no video files found in it.", *notes]))
    for note in notes:
        complain(note)
    labels = [label_of_folder(path, model.classes, model.task) for path in contents.videos]
    if None in labels and any(label is not None for label in labels):
        say(f"{folder}: only some folders are named as classes, so the clips have no labels.")
        labels = [None] * len(labels)
    return [
        (join(folder, path), label, WHOLE_VIDEO)
        for path, label in zip(contents.videos, labels, strict=True)
    ]


def _of_list(source: str, model: Predictor, data_root: str | None) -> Iterable[Row]:
    root = data_root if data_root is not None else (source.rpartition("/")[0] or os.curdir)
    settings = settings_from_mapping({"data_root": root, "ann_file_test": source}, "command line")
    clips = read_test(settings, model.classes, multi_label=model.task.has_label_sets)
    return [
        (
            join(root, path),
            None if clips.labels is None else clips.labels[row],
            clips.segment(row),
        )
        for row, path in enumerate(clips.paths)
    ]
