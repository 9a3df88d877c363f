"""Read the lists or folders that the settings name, in any format."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.config.settings import AUTO, Settings
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import LABELS_JOINED_BY, ClipTable, Names
from autox_video.data.listing.folders.class_folders import read_class_folders
from autox_video.data.listing.folders.split_folders import has_test_folder
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.detect import ListedClips, read_listed, recognise
from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.formats.metadata import find_metadata, has_labels
from autox_video.video.files.remote import RemoteFault, filesystem, is_remote

_PURPOSES = {"train": "training", "val": "validation", "test": "testing"}

Files = Mapping[str, str]
"""The list file of each split; AUTO for a split without a list file."""


@dataclass(slots=True)
class ConfiguredLists:
    """The contents of the lists, before any checks across them."""

    splits: dict[str, ClipTable] = field(default_factory=dict)
    names: Names | None = None
    """The classes that the data set itself defines; None if it defines none."""
    notes: list[str] = field(default_factory=list)
    are_names: bool = False
    """Whether labels are names, even if they look like numbers."""
    repeats_are_labels: bool = False
    """Whether a clip is listed once for each of its classes."""
    data_format: str = AUTO
    """Format of the training list; other lists that look plain may be read in the same format."""


def reading_of(settings: Settings) -> Reading:
    """Return the options for reading lists, as given by the settings."""
    return Reading(
        str(check_root(settings.data_root)),
        settings.data_format,
        label_field=settings.label_field,
        list_number=1 if settings.official_split == AUTO else settings.official_split,
        may_lack_labels=settings.multi_label is True,
        several_numbers=None if settings.multi_label == AUTO else settings.multi_label,
        remote_cache=settings.remote_cache,
        allow_outside=settings.allow_outside,
    )


def read_lists(files: Files, reading: Reading) -> ConfiguredLists:
    """Read all given lists; if there is no training list, read data_root itself."""
    lists, problems = ConfiguredLists(), []
    if files["train"] == AUTO:
        _read_data_root(lists, files, reading)
    for split in [split for split, file in files.items() if file != AUTO]:
        try:
            _read_list(lists, split, files, reading)
        except ListingError as error:
            problems += error.problems
    if problems:
        raise ListingError(*problems)
    return lists


def read_test_list(file: str, reading: Reading) -> tuple[ClipTable, list[str]]:
    """Return the clips of a test list in any format, and notes on how it was read."""
    lists = ConfiguredLists()
    _read_list(lists, "test", {"test": file}, reading)
    return lists.splits["test"], lists.notes


def _read_list(lists: ConfiguredLists, split: str, files: Files, reading: Reading) -> None:
    file, train = files[split], lists.splits.get("train")
    if reading.several_numbers is None and train is not None:
        # Two numbers after a path are labels if the training list has several labels per clip.
        is_joined = any(LABELS_JOINED_BY in label for label in set(train.labels or ()))
        reading = replace(reading, several_numbers=is_joined or None)
    data_format = reading.data_format
    if data_format in (AUTO, "folders"):
        data_format, before = recognise(file, reading), lists.data_format
        if data_format == "list" and before != AUTO and LIST_FORMATS[before].has_plain_tests:
            data_format = before
    listed = read_listed(file, replace(reading, data_format=data_format, split=split))
    _add(lists, listed, split, files)
    if split == "train":
        lists.data_format = data_format
        lists.are_names = bool(LIST_FORMATS[data_format].data_set)
    lists.repeats_are_labels |= LIST_FORMATS[data_format].repeats_are_labels


def _read_data_root(lists: ConfiguredLists, files: Files, reading: Reading) -> None:
    """Read the metadata file or the class folders in data_root."""
    root, wanted = reading.data_root, reading.data_format
    if wanted not in (AUTO, "folders", "metadata"):
        raise ListingError(f"data_format: {wanted} needs a training list; set ann_file_train.")
    if wanted != "folders":
        try:
            metadata = find_metadata(root)
        except RemoteFault as fault:
            raise ListingError(f"{root}: {fault}.") from fault
        first = metadata.get("train") or metadata.get("")
        if wanted == "metadata" or (first and has_labels(first)):
            reading = replace(reading, data_format="metadata", several_numbers=None)
            _read_metadata(lists, metadata, reading)
            return
    lists.splits, notes = read_class_folders(root, named=(files["test"],))
    lists.notes += notes
    lists.are_names = True


def _read_metadata(lists: ConfiguredLists, metadata: Files, reading: Reading) -> None:
    if not metadata:
        raise ListingError(
            f"data_root: there is no metadata.csv or metadata.jsonl in {reading.data_root}; put it "
            "next to the clips, or set ann_file_train."
        )
    if "train" not in metadata and "" not in metadata:
        names = ", ".join(sorted(metadata.values()))
        raise ListingError(f"data_root: there is no metadata file for training, only {names}.")
    for split, file in metadata.items():
        purpose = split or "train"
        listed = read_listed(file, replace(reading, split=purpose))
        if not split:
            listed = _split_by_folder(listed, file)
        _add(lists, listed, purpose, {**dict.fromkeys(_PURPOSES, AUTO), purpose: file})


def _split_by_folder(listed: ListedClips, file: str) -> ListedClips:
    """Split the clips of a metadata file by their folders, if these are named after splits."""
    if len(listed.splits) != 1:
        return listed
    (clips,) = listed.splits.values()
    folders = [path.replace("\\", "/").partition("/")[0] for path in clips.paths]
    known = {folder: split_of(folder) for folder in set(folders)}
    if None in known.values() or "train" not in known.values() or len(set(known.values())) < 2:
        return listed
    rows: dict[str, list[int]] = {}
    for row, folder in enumerate(folders):
        rows.setdefault(known[folder], []).append(row)
    splits = {name: clips.select(of_split) for name, of_split in rows.items()}
    note = f"{file}: the clips are split by their folders: {', '.join(sorted(known))}."
    return ListedClips(splits, listed.classes, [*listed.notes, note])


def _add(lists: ConfiguredLists, listed: ListedClips, split: str, files: Files) -> None:
    """Add the clips listed for `split`; a training list may contain other splits as well."""
    file = files[split]
    lists.notes += listed.notes
    lists.names = lists.names or listed.classes
    if len(listed.splits) == 1:
        (lists.splits[split],) = listed.splits.values()
        return
    if split not in listed.splits:
        known = ", ".join(listed.splits)
        raise ListingError(f"{file}: there are no clips for {_PURPOSES[split]}, only for {known}.")
    lists.splits[split] = listed.splits[split]
    for name in ("val", "test") if split == "train" else ():
        if name in listed.splits and files[name] == AUTO:
            lists.splits[name] = listed.splits[name]
        elif name in listed.splits:
            clips = counted(len(listed.splits[name]), "clip")
            lists.notes.append(
                f"{file}: {clips} for {_PURPOSES[name]} not used, as ann_file_{name} is set."
            )


def may_name_test_clips(train_list: str, root: str | Path) -> bool:
    """Whether test clips may exist although no test list is set; no list is read to find out."""
    if train_list != AUTO or is_remote(root):
        return True
    return has_test_folder(root) or bool(find_metadata(str(root)))


def used_names(lists: ConfiguredLists) -> Names | None:
    """Return the data set's classes that have training clips, and note the other classes."""
    if lists.names is None:
        return None
    classes, source = lists.names
    labels = set(lists.splits["train"].labels or ())
    used = tuple(name for name in classes if name in labels)
    if skipped := len(classes) - len(used):
        lists.notes.append(
            f"{skipped} of the {len(classes)} classes in {source} ignored, as they have no "
            "training clips."
        )
    return used, source


def check_root(path: str) -> str | Path:
    """Return data_root as the path of a folder or as a URL.

    Raises:
        ListingError: there is no such folder, or the URL's scheme is unknown.
        InstallError: the package for this kind of URL is missing.
    """
    path = path.removeprefix("file://")
    if is_remote(path):
        try:
            filesystem(path)
        except RemoteFault as fault:
            raise ListingError(f"data_root: {path}: {fault}.") from fault
        return path.rstrip("/")
    root = Path(path)
    if root.is_dir():
        return root
    what = "is not a folder" if root.exists() else "does not exist"
    hint = "" if root.is_absolute() else f"; relative paths start from {Path.cwd()}"
    raise ListingError(f"data_root: {root} {what}{hint}.")
