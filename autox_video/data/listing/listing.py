"""The user's clips, classes and splits, from list files or folders, with every check on them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say
from autox_video.core.errors import ListingError
from autox_video.data.clip_table import ClipTable, video_keys
from autox_video.data.listing.classes.class_labels import (
    Labels,
    drop_placeholders,
    is_multi_label,
    number_labels,
    say_indices,
)
from autox_video.data.listing.classes.class_names import read_class_names, without_numbers
from autox_video.data.listing.classes.similar_names import near_names
from autox_video.data.listing.duplicates import (
    drop_repeats,
    has_several_labels,
    same_clip_twice,
    say_overlapping_parts,
    say_overlaps,
    say_several_labels,
)
from autox_video.data.listing.folders.folder_walk import find_videos
from autox_video.data.listing.formats.list_files import read_list, write_list
from autox_video.data.listing.given_lists import (
    GivenLists,
    check_root,
    may_name_test_clips,
    read_given_lists,
    read_test_entries,
    used_names,
)
from autox_video.data.listing.missing_clips import say_missing
from autox_video.data.splitting.splits import ToDivide, check_kept, divide, keep, read_kept
from autox_video.run.work_dir import EARLIER, SPLIT

__all__ = [
    "ClipTable",
    "Listing",
    "divide_listing",
    "find_videos",
    "read_list",
    "read_listing",
    "read_test",
    "read_test_list",
    "write_list",
]


@dataclass(frozen=True, slots=True)
class Listing:
    """All clips of a run, checked: every one is there, and every class has training clips."""

    data_root: Path | str
    """The folder, or the address; `remote.join` gives a clip's own."""
    classes: tuple[str, ...]
    """Name of each class index; "0", "1", ... where there are no names."""
    named: bool
    """Whether the names were given: by a list, by folders or by a file of class names."""
    train: ClipTable
    val: ClipTable | None
    """None where `train` is still to be divided."""
    test: ClipTable | None
    """None where there is no test list."""
    notes: tuple[str, ...]
    """Sentences that the user should see: what was left out, divided or looks odd."""
    multi_label: bool = False
    """Whether a clip is of any number of classes."""
    to_divide: ToDivide | None = None
    """How `train` is to be divided; None where nothing is."""


def read_listing(settings: Settings) -> Listing:
    """Read and check the lists that the settings name, or the class folders where they name none.

    Where no validation list is given, training clips are set aside as WORK_DIR/split says; where
    that says nothing yet, `divide_listing` divides them. Nothing is written.

    Raises:
        ListingError: with every problem that was found, one sentence each.
        InstallError: a package for the addresses of clips or lists is missing.
    """
    root = check_root(settings.data_root)
    lists = read_given_lists(settings, root)
    given_names, notes_on_names = without_numbers(read_class_names(settings), lists.splits)
    multi_label = _is_multi_label(lists, given_names, settings, root)
    splits, notes = _once(lists, root, multi_label=multi_label)
    names = given_names or used_names(lists)
    notes = [*lists.notes, *notes_on_names, *notes]
    if multi_label and settings.multi_label == AUTO:
        notes += say_several_labels(splits)
    elif not multi_label:
        notes += say_overlapping_parts(splits["train"], root)
    if "test" in splits:
        classes = names[0] if names else set(splits["train"].labels or ())
        splits["test"], placeholders = drop_placeholders(splits["test"], classes)
        notes += placeholders
    splits["train"], how = _to_divide(splits, settings, root)
    kept = None if how is None else read_kept(splits["train"], root, how)
    if kept is not None:
        splits = {**splits, **kept.splits}
        notes += kept.notes
    labels = number_labels(
        splits,
        names=names,
        num_class=None if settings.num_class == AUTO else settings.num_class,
        are_names=lists.are_names,
        multi_label=multi_label,
    )
    twice = same_clip_twice(splits, root) if "val" in splits else []
    problems = [*labels.problems, *twice, *say_missing(splits, root)]
    if problems:
        raise ListingError(*problems)
    clips = {name: _clip_list(split, labels) for name, split in splits.items()}
    if kept is not None:
        check_kept(kept, clips, how, len(labels.classes))
    notes += labels.notes
    notes += near_names(count_clips(clips["train"], labels.classes)) if labels.named else []
    notes += say_overlaps(splits, root)
    return Listing(
        root,
        labels.classes,
        labels.named,
        clips["train"],
        clips.get("val"),
        clips.get("test"),
        tuple(notes),
        multi_label,
        to_divide=how if kept is None else None,
    )


def divide_listing(
    listing: Listing, groups: np.ndarray | None = None, unreadable: Sequence[int] = ()
) -> Listing:
    """Set training clips aside by class where no validation list is given, else give `listing`.

    WORK_DIR/split keeps which; `read_listing` uses the same ones the next time.

    Args:
        listing: what `read_listing` gives.
        groups: (N,) labels of the training clips that stay together, as in `groups`; None: none.
        unreadable: the numbers of the training clips that cannot be read.

    Raises:
        ListingError: no clip is left for validation.
        ResourceError: WORK_DIR/split cannot be written.
    """
    how = listing.to_divide
    if how is None:
        return listing
    splits, notes = divide(
        listing.train,
        how,
        listing.classes,
        data_root=listing.data_root,
        groups=groups,
        unreadable=unreadable,
    )
    keep(splits, how.folder)
    return replace(
        listing,
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test", listing.test),
        notes=(*listing.notes, *notes),
        to_divide=None,
    )


def _is_multi_label(lists: GivenLists, names: object, settings: Settings, root: str | Path) -> bool:
    splits = lists.splits
    if settings.multi_label == AUTO and lists.repeats_are_labels:
        repeated = any(has_several_labels(split, root) for split in splits.values())
        if repeated:
            return True
    return is_multi_label(splits, names or lists.names, settings.multi_label)


def _once(
    lists: GivenLists, root: str | Path, *, multi_label: bool
) -> tuple[dict[str, ClipTable], list[str]]:
    """Give the lists with each clip once, and notes."""
    splits, problems, notes = {}, [], []
    for name, clips in lists.splits.items():
        splits[name], wrong, said = drop_repeats(clips, root, multi_label=multi_label)
        problems += wrong
        notes += said
    if problems:
        raise ListingError(*problems)
    return splits, notes


def read_test_list(
    path: str | Path,
    data_root: str | Path,
    classes: Sequence[str],
    *,
    settings: Settings | None = None,
    multi_label: bool = False,
    on_note: Callable[[str], None] = say,
) -> ClipTable:
    """Read and check a list of clips to test; its labels are None where the list has none.

    A clip that is listed twice is kept once.

    Args:
        path: the list file, or a folder of lists.
        data_root: folder that the listed paths are relative to.
        classes: the model's classes; a label is the name of one, or its index.
        settings: in what format the list is; None: whatever is recognised.
        multi_label: whether the model gives a clip any number of classes.
        on_note: is told in sentences how the list was read, where that is not plain.

    Raises:
        ListingError: with every problem that was found, one sentence each.
    """
    root = check_root(str(data_root))
    how = settings or Settings(data_root=str(data_root))
    how = how.model_copy(update={"multi_label": multi_label})
    given = read_test_entries(str(path), how, root)
    for note in given.notes:
        on_note(note)
    return _for_model(given.splits["test"], root, classes, multi_label=multi_label, on_note=on_note)


def read_test(
    settings: Settings,
    classes: Sequence[str],
    *,
    multi_label: bool = False,
    on_note: Callable[[str], None] = say,
) -> ClipTable | None:
    """Give the clips to test that the training list or data_root itself names; None for none.

    Raises:
        ListingError: with every problem that was found, one sentence each.
    """
    root = check_root(settings.data_root)
    if not may_name_test_clips(settings, root):
        return None
    given = read_given_lists(settings, root).splits.get("test")
    if given is None:
        return None
    return _for_model(given, root, classes, multi_label=multi_label, on_note=on_note)


def _for_model(
    given: ClipTable,
    root: str | Path,
    classes: Sequence[str],
    *,
    multi_label: bool,
    on_note: Callable[[str], None],
) -> ClipTable:
    entries, twice, repeated = drop_repeats(given, root, multi_label=multi_label)
    entries, notes = drop_placeholders(entries, classes)
    splits = {"test": entries}
    labels = number_labels(
        splits,
        names=(tuple(classes), "the model"),
        num_class=None,
        are_names=False,
        multi_label=multi_label,
    )
    problems = [*twice, *labels.problems, *say_missing(splits, root)]
    if problems:
        raise ListingError(*problems)
    notes += say_indices(entries, classes)
    for note in (*repeated, *notes, *labels.notes):
        on_note(note)
    return _clip_list(entries, labels)


def _to_divide(
    splits: Mapping[str, ClipTable], settings: Settings, root: str | Path
) -> tuple[ClipTable, ToDivide | None]:
    """Give the training clips and, where there is no validation list, how they are divided."""
    entries = splits["train"]
    if "val" in splits:
        return entries, None
    names: tuple[str, ...] = ("train", "val")
    if "test" in splits and settings.ann_file_train == AUTO:
        # Of the same folders: what is tested is not for training.
        tested = set(video_keys(splits["test"].paths, root))
        keys = video_keys(entries.paths, root)
        entries = entries.select([i for i, key in enumerate(keys) if key not in tested])
    elif settings.ann_file_train == AUTO:
        names = ("train", "val", "test")
    seed = 0 if settings.seed == AUTO else settings.seed
    work_dir = Path(settings.work_dir)
    return entries, ToDivide(
        entries.source, names, seed, work_dir / SPLIT, _earlier_divisions(work_dir, settings)
    )


def _earlier_divisions(work_dir: Path, settings: Settings) -> tuple[Path, ...]:
    """Give the folders of divisions in which clips should keep their sides, the likeliest first.

    The weights that training starts from know their training clips; so does the run before.
    """
    before = sorted((work_dir / EARLIER).glob(f"*/{SPLIT}"), reverse=True)
    if settings.load_from not in (AUTO, "none"):
        before.insert(0, Path(settings.load_from).parent / SPLIT)
    return tuple(before)


def count_clips(clips: ClipTable, classes: Sequence[str]) -> dict[str, int]:
    """Count the clips of each class, by its name."""
    labels = clips.labels or ()
    several = (label if isinstance(label, tuple) else (label,) for label in labels)
    count = Counter(index for indices in several for index in indices)
    return {name: count[index] for index, name in enumerate(classes)}


def _clip_list(entries: ClipTable, labels: Labels) -> ClipTable:
    numbers = None
    if entries.labels is not None:
        numbers = tuple(map(labels.index.__getitem__, entries.labels))
    return replace(entries, labels=numbers)
