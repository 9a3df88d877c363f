"""Find the clips to test in a list, in the test split of the training run, or in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say, warn_of
from autox_video.core.errors import ConfigError, ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.boundary import refuse_outside
from autox_video.data.listing.configured_lists import check_root
from autox_video.data.listing.folders.folder_walk import read_contents, some
from autox_video.data.listing.listing import read_test
from autox_video.data.listing.missing_clips import find_missing
from autox_video.data.listing.written_list import read_list
from autox_video.run.work_dir import SPLIT, TEST_LIST, TRAIN_LIST, VAL_LIST
from autox_video.tasks.task import Label, Task
from autox_video.training.checkpoints.model_record import root_digest
from autox_video.video.files.remote import is_remote


@dataclass(frozen=True, slots=True)
class Model:
    """The properties of the tested model that determine which clips are tested."""

    classes: tuple[str, ...]
    root_digest: str
    """Digest of the `data_root` of the clips that the model was trained on."""
    task: Task


def clips_to_test(settings: Settings, model: Model, *, whole_folder: bool) -> ClipTable:
    """Return the clips to test, with their labels if the labels are known.

    The test split of the training run is used only for the data_root of that run. In any other
    folder, all clips are tested, with their class folders as labels.

    Args:
        settings: the settings, with the list, the folder and the work dir.
        model: the model to test.
        whole_folder: whether to predict every video in data_root, without labels.

    Raises:
        ListingError: the clips cannot be listed; the error lists all problems.
        ConfigError: the settings do not specify any clips to test.
    """
    root = settings.data_root
    if whole_folder:
        return _every_video(check_root(root))
    if settings.ann_file_test != AUTO:
        return read_test(settings, model.classes, multi_label=model.task.has_label_sets)
    split = Path(settings.work_dir, SPLIT)
    if (split / TEST_LIST).is_file() and _is_of_run(root, model, split):
        return _set_aside(split / TEST_LIST, root, allowed=settings.allow_outside)
    named = read_test(settings, model.classes, multi_label=model.task.has_label_sets)
    if named is not None:
        return named
    if settings.ann_file_train == AUTO and root_digest(root) != model.root_digest:
        return _labelled_by_folders(_every_video(check_root(root)), model, root)
    raise ConfigError(
        "ann_file_test: there is no list of clips to test. Pass one with ann_file_test=LIST; its "
        "lines are `path` or `path label`."
    )


def _is_of_run(root: str, model: Model, split: Path) -> bool:
    """Return whether data_root contains the split's clips, even if the folder has been moved."""
    if root_digest(root) == model.root_digest:
        return True
    if is_remote(root):
        return False
    lists = (split / name for name in (TEST_LIST, VAL_LIST, TRAIN_LIST))
    paths = [path for file in lists if file.is_file() for path in read_list(file).paths]
    return not find_missing(paths, check_root(root))


def _set_aside(split: Path, root: str, *, allowed: bool) -> ClipTable:
    clips = read_list(split)

    def place(index: int) -> str:
        # Line numbers start at 1, line 1 is the header, and a path may contain line breaks.
        return f"{split}:{index + 2 + sum(name.count(chr(10)) for name in clips.paths[:index])}"

    refuse_outside(clips.paths, root, place, allowed=allowed)
    if not len(clips):
        raise ListingError(
            f"{split}: the test split is empty, because the classes have too few clips. Set "
            "ann_file_test."
        )
    return clips


def _every_video(folder: str | Path) -> ClipTable:
    contents = read_contents(folder)
    notes = contents.notes(folder)
    if not contents.videos:
        none = f"data_root: no video files found in {folder}."
        raise ListingError(" ".join([none, *notes]))
    warn_of(notes)
    return ClipTable(tuple(contents.videos), None)


def _labelled_by_folders(clips: ClipTable, model: Model, root: str) -> ClipTable:
    """Label clips by their class folders; raise ListingError if only some are in class folders."""
    labels = [label_of_folder(path, model.classes, model.task) for path in clips.paths]
    without = [path for path, label in zip(clips.paths, labels, strict=True) if label is None]
    if not without:
        say(f"Testing {counted(len(clips), 'clip')} of {root}, labelled by their folders.")
        return ClipTable(clips.paths, tuple(labels))
    if len(without) == len(clips):
        say(
            f"Predicting {counted(len(clips), 'clip')} of {root} without labels: no folder has the "
            "name of a class."
        )
        return clips
    raise ListingError(
        f"data_root: {counted(len(without), 'clip')} of {root} not in a class folder: "
        f"{some(without)} Move them, or set ann_file_test."
    )


def label_of_folder(path: str, classes: Sequence[str], task: Task) -> Label | None:
    """Return the label of a clip in a folder named as a class; None if there is no such folder."""
    folder = next((name for name in path.split("/")[:-1] if name in classes), None)
    if folder is None:
        return None
    return (classes.index(folder),) if task.has_label_sets else classes.index(folder)
