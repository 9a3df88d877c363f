"""The lists or folders that the settings name, read in whatever format they are in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.config.settings import AUTO, Settings
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import LABELS_JOINED_BY, ClipTable, Names
from autox_video.data.listing.boundary import refuse_outside
from autox_video.data.listing.folders.class_folders import read_class_folders
from autox_video.data.listing.folders.split_folders import has_test_folder
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.detect import ListedClips, read_listed, recognise
from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.formats.metadata import find_metadata, has_labels
from autox_video.video.files.remote import RemoteFault, filesystem, is_remote

_SPLITS = {"train": "training", "val": "validation", "test": "testing"}


@dataclass(slots=True)
class GivenLists:
    """All that was given, by split, before anything is checked across lists."""

    splits: dict[str, ClipTable] = field(default_factory=dict)
    names: Names | None = None
    """The data set's own classes."""
    notes: list[str] = field(default_factory=list)
    are_names: bool = False
    """Whether labels are names, even if they look like numbers."""
    repeats_are_labels: bool = False
    """Whether a clip is listed once for each of its classes."""


def read_given_lists(settings: Settings, root: str | Path) -> GivenLists:
    """Read every list or folder that the settings name.

    Raises:
        ListingError: with every problem that was found, one sentence each.
    """
    files = {
        "train": settings.ann_file_train,
        "val": settings.ann_file_val,
        "test": settings.ann_file_test,
    }
    lists = GivenLists()
    problems: list[str] = []
    before = settings.data_format
    if settings.ann_file_train == AUTO:
        before = _read_data_root(settings, root, lists)
    for split, file in files.items():
        if file == AUTO:
            continue
        try:
            several = _several_numbers(settings, lists)
            reading = _reading(settings, root, AUTO, several_numbers=several)
            wanted = _format_of(file, reading, before=before if split != "train" else AUTO)
            given = read_listed(file, replace(reading, data_format=wanted, split=split))
            _add(lists, given, split, file, files)
        except ListingError as error:
            problems += error.problems
            continue
        if split == "train":
            before = wanted
            lists.are_names = bool(LIST_FORMATS[wanted].data_set)
        lists.repeats_are_labels |= LIST_FORMATS[wanted].repeats_are_labels
    if problems:
        raise ListingError(*problems)
    refuse_outside(tuple(lists.splits.values()), root, allowed=settings.allow_outside)
    return lists


def read_test_entries(file: str, settings: Settings, root: str | Path) -> ListedClips:
    """Read a list of clips to test, in whatever format it is in.

    Raises:
        ListingError: with every problem that was found, one sentence each.
    """
    several = None if settings.multi_label == AUTO else settings.multi_label
    reading = _reading(settings, root, AUTO, several_numbers=several)
    wanted = _format_of(file, reading, before=settings.data_format)
    given = read_listed(file, replace(reading, data_format=wanted, split="test"))
    lists = GivenLists()
    _add(lists, given, "test", file, {})
    refuse_outside(tuple(lists.splits.values()), root, allowed=settings.allow_outside)
    return ListedClips(lists.splits, given.classes, lists.notes)


def _several_numbers(settings: Settings, lists: GivenLists) -> bool | None:
    """Whether two numbers behind a path are labels: as the config says, or the training list."""
    if settings.multi_label != AUTO:
        return settings.multi_label
    labels = lists.splits["train"].labels if "train" in lists.splits else None
    return True if any(LABELS_JOINED_BY in label for label in set(labels or ())) else None


def _reading(
    settings: Settings, root: str | Path, data_format: str, *, several_numbers: bool | None = None
) -> Reading:
    return Reading(
        str(root),
        settings.data_format if data_format == AUTO else data_format,
        list_number=1 if settings.official_split == AUTO else settings.official_split,
        may_lack_labels=settings.multi_label is True,
        several_numbers=several_numbers,
        remote_cache=settings.remote_cache,
        allow_outside=settings.allow_outside,
    )


def _format_of(file: str, reading: Reading, *, before: str) -> str:
    if reading.data_format not in (AUTO, "folders"):
        return reading.data_format
    data_format = recognise(file, reading)
    if data_format == "list" and before != AUTO and LIST_FORMATS[before].has_plain_tests:
        return before
    return data_format


def _read_data_root(settings: Settings, root: str | Path, lists: GivenLists) -> str:
    """Read what data_root itself says; gives the format."""
    if settings.data_format not in (AUTO, "folders", "metadata"):
        raise ListingError(
            f"data_format: {settings.data_format} needs ann_file_train; give the training list."
        )
    if settings.data_format != "folders":
        try:
            found = find_metadata(str(root))
        except RemoteFault as fault:
            raise ListingError(f"{root}: {fault}.") from fault
        by_name = settings.data_format == "metadata"
        first = found.get("train") or found.get("")
        if by_name or (first and has_labels(first)):
            _read_metadata(settings, root, lists)
            return "metadata"
    lists.splits, notes = read_class_folders(root, named=(settings.ann_file_test,))
    lists.notes += notes
    lists.are_names = True
    return "folders"


def _read_metadata(settings: Settings, root: str | Path, lists: GivenLists) -> None:
    reading = _reading(settings, root, "metadata")
    found = find_metadata(str(root))
    if not found:
        raise ListingError(
            f"data_root: there is no metadata.csv and no metadata.jsonl in {root}; put it beside "
            "the clips, or give ann_file_train."
        )
    if "train" not in found and "" not in found:
        names = ", ".join(sorted(found.values()))
        raise ListingError(f"data_root: there is no metadata for training, only {names}.")
    for split, file in found.items():
        given = read_listed(file, replace(reading, split=split or "train"))
        if not split:
            given = _split_by_folder(given, file)
        _add(lists, given, split or "train", file, dict.fromkeys(_SPLITS, AUTO))


def _split_by_folder(given: ListedClips, file: str) -> ListedClips:
    """Divide what one metadata file says as the folders of its clips are called, where they are."""
    if len(given.splits) != 1:
        return given
    (entries,) = given.splits.values()
    folders = [path.replace("\\", "/").partition("/")[0] for path in entries.paths]
    known = {folder: split_of(folder) for folder in set(folders)}
    if None in known.values() or "train" not in known.values() or len(set(known.values())) < 2:
        return given
    homes = [known[folder] for folder in folders]
    splits = {
        name: entries.select([number for number, home in enumerate(homes) if home == name])
        for name in dict.fromkeys(homes)
    }
    note = f"{file}: its clips are split as their folders are called: {', '.join(sorted(known))}."
    return ListedClips(splits, given.classes, [*given.notes, note])


def _add(
    lists: GivenLists, given: ListedClips, split: str, file: str, files: Mapping[str, str]
) -> None:
    """Take over what a list that was given for `split` says, and of which splits it says it."""
    lists.notes += given.notes
    lists.names = lists.names or given.classes
    if len(given.splits) == 1:
        lists.splits[split] = next(iter(given.splits.values()))
        return
    if split not in given.splits:
        others = ", ".join(given.splits)
        raise ListingError(f"{file}: has no clips for {_SPLITS[split]}, only for {others}.")
    lists.splits[split] = given.splits[split]
    if split != "train":
        return
    for other in ("val", "test"):
        if other not in given.splits:
            continue
        if files[other] == AUTO:
            lists.splits[other] = given.splits[other]
        else:
            clips = counted(len(given.splits[other]), "clip")
            lists.notes.append(f"{clips} of {file} for {_SPLITS[other]} not used: there is a list.")


def may_name_test_clips(settings: Settings, root: str | Path) -> bool:
    """Whether there may be clips to test without a test list, before anything is read."""
    if settings.ann_file_train != AUTO or is_remote(root):
        return True
    return has_test_folder(root) or bool(find_metadata(str(root)))


def used_names(lists: GivenLists) -> Names | None:
    """Give the data set's own classes, but those without a training clip; a note says so."""
    if lists.names is None:
        return None
    classes, source = lists.names
    used = set(lists.splits["train"].labels or ())
    kept = tuple(name for name in classes if name in used)
    if left_out := len(classes) - len(kept):
        lists.notes.append(
            f"{left_out} of the {len(classes)} classes of {source} without a training clip, so "
            "left out."
        )
    return kept, source


def check_root(path: str) -> str | Path:
    """Give data_root as a folder, or as the address that it is.

    Raises:
        ListingError: there is no such folder, or there are no such addresses.
        InstallError: a package for such addresses is missing.
    """
    path = path.removeprefix("file://")
    if is_remote(path):
        return _check_address(path)
    root = Path(path)
    if root.is_dir():
        return root
    what = "is not a folder" if root.exists() else "does not exist"
    hint = "" if root.is_absolute() else f"; relative paths start from {Path.cwd()}"
    raise ListingError(f"data_root: {root} {what}{hint}.")


def _check_address(address: str) -> str:
    try:
        filesystem(address)
    except RemoteFault as fault:
        raise ListingError(f"data_root: {address}: {fault}.") from fault
    return address.rstrip("/")
