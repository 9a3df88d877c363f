"""Read the user's clips, classes and splits from list files or folders, and check them all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import Detail, complain
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable, Names, Splits, video_keys
from autox_video.data.listing import configured_lists, duplicates
from autox_video.data.listing.classes import class_labels, class_names
from autox_video.data.listing.classes.class_labels import Labels
from autox_video.data.listing.classes.similar_names import near_names
from autox_video.data.listing.configured_lists import ConfiguredLists, check_root
from autox_video.data.listing.missing_clips import say_missing
from autox_video.data.splitting import splits as stored_splits
from autox_video.data.splitting.recordings import kept_together
from autox_video.data.splitting.splits import SplitRequest
from autox_video.run.work_dir import EARLIER, SPLIT, is_for_plan


@dataclass(frozen=True, slots=True)
class Listing:
    """All clips of a run, already checked: each clip exists, and each class has training clips."""

    data_root: Path | str
    """Folder or URL of the clips; `remote.join` gives the path or URL of a clip."""
    classes: tuple[str, ...]
    """Class names by index; "0", "1", ... if the classes have no names."""
    named: bool
    """Whether the class names come from a list, from folders or from a class name file."""
    train: ClipTable
    val: ClipTable | None
    """Validation clips; None if `train` has yet to be split."""
    test: ClipTable | None
    """Test clips; None if there are no test clips."""
    notes: tuple[str, ...] = ()
    """Messages for the user about what was skipped or split, and about what looks unusual."""
    split_request: SplitRequest | None = None
    """How to split `train`; None if no split is needed."""

    @property
    def multi_label(self) -> bool:
        """Whether the data is multi-label: clips may have any number of classes."""
        return self.train.has_label_sets

    @property
    def splits(self) -> dict[str, ClipTable]:
        """The existing tables by split name, in the order train, val, test."""
        tables = {"train": self.train, "val": self.val, "test": self.test}
        return {name: clips for name, clips in tables.items() if clips is not None}

    def count_by_class(self, clips: ClipTable) -> dict[str, int]:
        """Return the number of clips per class name."""
        counts = clips.class_counts()
        return {name: counts[index] for index, name in enumerate(self.classes)}


def read_listing(settings: Settings) -> Listing:
    """Read and check the lists that the settings name, or the class folders if no list is set.

    If there is no validation list, `split_listing` splits the training clips later. This function
    writes no files.

    Raises:
        ListingError: the lists have problems; there is one message per problem.
        InstallError: the package for URLs of clips or lists is missing.
    """
    root, train_list = check_root(settings.data_root), settings.ann_file_train
    files = {"train": train_list, "val": settings.ann_file_val, "test": settings.ann_file_test}
    lists = configured_lists.read_lists(files, configured_lists.reading_of(settings))
    names = class_names.read_class_names(settings.class_names, settings.data_root, train_list)
    names, notes = class_names.without_numbers(names, lists.splits)
    multi_label = _is_multi_label(lists, names, settings.multi_label, root)
    names = names or configured_lists.used_names(lists)
    splits, more = _each_clip_once(lists.splits, names, root, multi_label=multi_label)
    notes = [*lists.notes, *notes, *more]
    if multi_label and settings.multi_label == AUTO:
        notes += duplicates.say_several_labels(splits)
    how = None
    if "val" not in splits:
        splits["train"], parts = _clips_to_split(splits, root, from_folders=train_list == AUTO)
        seed, work_dir = 0 if settings.seed == AUTO else settings.seed, Path(settings.work_dir)
        stored = stored_splits.read_stored(work_dir / SPLIT, parts)
        how = SplitRequest(parts, seed, work_dir / SPLIT, stored, _earlier_runs(work_dir))
    num_class = None if settings.num_class == AUTO else settings.num_class
    labels = class_labels.number_labels(
        splits, names, num_class, are_names=lists.are_names, multi_label=multi_label
    )
    twice = duplicates.same_clip_twice(splits, root) if "val" in splits else []
    if problems := [*labels.problems, *twice, *say_missing(splits, root)]:
        raise ListingError(*problems)
    tables = {"val": None, "test": None}
    tables |= {name: _numbered(clips, labels) for name, clips in splits.items()}
    listing = Listing(root, labels.classes, labels.named, **tables, split_request=how)
    notes += labels.notes
    notes += near_names(listing.count_by_class(listing.train)) if labels.named else []
    notes += duplicates.say_overlaps(splits, root)
    return replace(listing, notes=tuple(notes))


def restore_split(listing: Listing) -> Listing:
    """Apply the split in WORK_DIR/split if it contains exactly the listed clips."""
    how = listing.split_request
    if how is None or how.stored is None:
        return listing
    tables = stored_splits.split_as_stored(listing.train, how.stored, listing.data_root)
    return listing if tables is None else replace(listing, **tables, split_request=None)


def split_listing(listing: Listing) -> Listing:
    """Return the listing with a stratified validation split, unless it already has a validation
    list.

    A stored split is used if it contains exactly the listed clips. In a new split, clips from an
    earlier run keep their old split. If the clips were inspected, unreadable clips stay in training
    and clips cut from the same recording stay together. A new split is stored in WORK_DIR/split.

    Raises:
        ListingError: no clip is left for validation.
        ResourceError: WORK_DIR/split is not writable.
    """
    listing = restore_split(listing)
    how, train = listing.split_request, listing.train
    if how is None:
        return listing
    groups = None
    if train.recordings is not None:
        groups = kept_together(train.recordings, train.paths, train.rarest_classes())
    splits, notes = stored_splits.split_clips(
        train, how, listing.classes, data_root=listing.data_root, groups=groups
    )
    stored_splits.store(splits, how.folder)
    notes = (*listing.notes, *notes, *_on_recordings(train))
    return replace(listing, **splits, notes=notes, split_request=None)


def _on_recordings(train: ClipTable) -> list[str]:
    """Return notes on clips kept together by recording, and on scenes too large to stay whole."""
    recordings, notes = train.recordings, []
    if recordings is not None and recordings.count < len(train):
        notes.append(
            Detail(
                f"The {len(train)} clips seem to be cut from "
                f"{counted(recordings.count, 'recording')}; all clips of a recording are on the "
                "same side of the split."
            )
        )
    if recordings is not None and recordings.standing.any():
        notes.append(
            f"{counted(int(recordings.standing.sum()), 'clip')} from scenes with too many clips to "
            "keep on one side of the split: validation metrics will be too optimistic for new "
            "scenes."
        )
    return notes


def _is_multi_label(
    lists: ConfiguredLists, names: Names | None, wanted: bool | str, root: str | Path
) -> bool:
    """Return whether the data is multi-label, according to the config or, by default, the lists."""
    if wanted != AUTO:
        return wanted
    splits = lists.splits.values()
    # In some formats, a clip is listed once per class, so repeats with different labels are valid.
    if lists.repeats_are_labels and any(
        duplicates.drop_repeats(clips, root)[1] for clips in splits
    ):
        return True
    return class_labels.has_joined_labels(lists.splits, names or lists.names)


def _each_clip_once(
    splits: Splits, names: Names | None, root: str | Path, *, multi_label: bool
) -> tuple[dict[str, ClipTable], list[str]]:
    """Drop repeated clips, and placeholder labels from the test list."""
    once, problems, notes = {}, [], []
    for name, clips in splits.items():
        once[name], more_problems, more = duplicates.drop_repeats(
            clips, root, multi_label=multi_label
        )
        problems += more_problems
        notes += more
    if problems:
        raise ListingError(*problems)
    if not multi_label:
        notes += duplicates.say_overlapping_parts(once["train"], root)
    if "test" in once:
        classes = names[0] if names else set(once["train"].labels or ())
        once["test"], more = class_labels.drop_placeholders(once["test"], classes)
        notes += more
    return once, notes


def _clips_to_split(
    splits: Splits, root: str | Path, *, from_folders: bool
) -> tuple[ClipTable, tuple[str, ...]]:
    """Return the training clips to split, and the names of the splits to make."""
    clips = splits["train"]
    if not from_folders:
        return clips, ("train", "val")
    if "test" not in splits:
        return clips, ("train", "val", "test")
    # The test clips may be in the same folders; do not train on them.
    tested = set(video_keys(splits["test"].paths, root))
    keys = enumerate(video_keys(clips.paths, root))
    return clips.select([row for row, key in keys if key not in tested]), ("train", "val")


def _earlier_runs(work_dir: Path) -> tuple[Path, ...]:
    """Return the folders of earlier runs whose splits should be kept, latest first.

    The work dir itself comes first, since it may contain the split of a run that saved no
    checkpoint.
    """
    folder = work_dir.parent if is_for_plan(work_dir) else work_dir
    return folder, *sorted((folder / EARLIER).glob("*"), reverse=True)


def _numbered(clips: ClipTable, labels: Labels) -> ClipTable:
    if clips.labels is None:
        return clips
    return replace(clips, labels=map(labels.index.__getitem__, clips.labels))


def read_test(
    settings: Settings,
    classes: Sequence[str],
    *,
    multi_label: bool = False,
    keep_missing: bool = False,
    on_note: Callable[[str], None] = complain,
) -> ClipTable | None:
    """Read the test clips from the test list or from the training data, and check them.

    The table has no labels if the test list has none. Duplicate lines are dropped.

    Args:
        settings: the user's settings, including data_root and the lists.
        classes: the model's class names; labels are names or indices of these classes.
        multi_label: whether the model is multi-label.
        keep_missing: whether to keep clips that do not exist, unless none of them does.
        on_note: called with each message about how the list was read.

    Returns:
        The clips; None if there are no test clips.

    Raises:
        ListingError: the lists have problems; there is one message per problem.
    """
    root, reading = check_root(settings.data_root), configured_lists.reading_of(settings)
    if settings.ann_file_test != AUTO:
        reading = replace(reading, several_numbers=multi_label, may_lack_labels=multi_label)
        clips, notes = configured_lists.read_test_list(settings.ann_file_test, reading)
    elif configured_lists.may_name_test_clips(settings.ann_file_train, root):
        files = {"train": settings.ann_file_train, "val": settings.ann_file_val, "test": AUTO}
        clips, notes = configured_lists.read_lists(files, reading).splits.get("test"), []
    else:
        return None
    if clips is None:
        return None
    clips, twice, repeats = duplicates.drop_repeats(clips, root, multi_label=multi_label)
    clips, placeholders = class_labels.drop_placeholders(clips, classes)
    splits = {"test": clips}
    labels = class_labels.number_labels(
        splits, (tuple(classes), "the model"), multi_label=multi_label
    )
    absent = say_missing(splits, root, only_if_all=keep_missing)
    if problems := [*twice, *labels.problems, *absent]:
        raise ListingError(*problems)
    indices = class_labels.say_indices(clips, classes)
    for note in (*notes, *repeats, *placeholders, *indices, *labels.notes):
        on_note(note)
    return _numbered(clips, labels)
