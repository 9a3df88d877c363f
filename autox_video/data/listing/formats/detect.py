"""Which format a list is in, and every format read into the same columns.

`list` and `folders` are ours; the others are read as those who publish them write them.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autox_video.config.settings import AUTO
from autox_video.core.console import say
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable, Names
from autox_video.data.listing.boundary import say_outside
from autox_video.data.listing.clip_lookup import find_listed
from autox_video.data.listing.clip_tree import ClipTree, locate
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats import cloud, official
from autox_video.data.listing.formats.columns import columns_of, find_columns
from autox_video.data.listing.formats.csv_lists import Table
from autox_video.data.listing.formats.frame_counts import (
    has_frame_counts,
    read_frame_counts,
    refuse_columns_of_numbers,
)
from autox_video.data.listing.formats.frame_segments import to_seconds
from autox_video.data.listing.formats.json_lists import read_json_list
from autox_video.data.listing.formats.json_rows import looks_like_json
from autox_video.data.listing.formats.list_files import to_entries
from autox_video.data.listing.formats.list_text import data_lines, read_json, read_text
from autox_video.data.listing.formats.text_lists import read_table
from autox_video.video.files.remote import beside, is_file, is_remote
from autox_video.video.files.suffixes import VIDEO_SUFFIXES

OFFICIAL = {
    "ucf101": "UCF101",
    "hmdb51": "HMDB51",
    "kinetics": "Kinetics",
    "ssv2": "Something-Something V2",
    "jester": "Jester",
}
"""Formats whose lists go on naming clips that nobody has any more."""

VERTEX = ("vertex_csv", "vertex_jsonl")
# In these a column of splits may be about anything.
_OF_ANY_SPLITS = ("list", "json")

_UCF101_CLIP = re.compile(r"([^/\s]+)/v_\1_g\d\d_c\d\d\.avi(\s+\d+)?", re.IGNORECASE)
_JESTER_CLIP = re.compile(r"[0-9]+;.*\S")
_TIME = re.compile(r"(\d+\.?\d*|\.\d+|inf)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """What one list, or the folder of one, says."""

    splits: dict[str, ClipTable]
    """By split; the clips of no split are under ""."""
    names: Names | None = None
    """The data set's own classes, in its order."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a list is to be read."""

    data_root: str
    data_format: str
    """The config's key, or what `recognise` said."""
    list_number: int = 1
    """Which of the three divisions of UCF101 and HMDB51."""
    may_lack_labels: bool = False
    """Whether a clip may be of no class though others are of some."""
    several_numbers: bool | None = None
    """Whether numbers behind a path are all labels; None: by what they are."""
    remote_cache: str = AUTO
    allow_outside: bool = False


def recognise(place: str, data_root: str, *, several_numbers: bool | None = None) -> str:
    """Tell a list's format by what is in it.

    Args:
        place: the list.
        data_root: where its clips are.
        several_numbers: whether numbers behind a path are all labels; None: by what they are.

    Raises:
        ListingError: it cannot be read, or is a folder of no known lists.
    """
    if official.is_folder(place):
        return _recognise_folder(place)
    text = read_text(place)
    lines = list(official.head_of(text))
    if not lines:
        return "list"
    if looks_like_json(text):
        return _recognise_json(text, lines[0])
    found = _recognise_header(lines[0]) or _recognise_lines(lines, place, text)
    if found is None and has_frame_counts(text, data_root, several_numbers):
        return "rawframes"
    return found or "list"


def _recognise_folder(place: str) -> str:
    names = os.listdir(place)  # noqa: PTH208
    if any(official.HMDB51_FILE.fullmatch(name) for name in names):
        return "hmdb51"
    if any(re.fullmatch(r"trainlist0[123]\.txt", name) for name in names):
        return "ucf101"
    raise ListingError(f"{place} is a folder; give the list file itself.")


def _recognise_json(text: str, line: str) -> str:
    try:
        first = read_json(line if line[0] == "{" else text)
    except ValueError:
        return "json"
    if isinstance(first, list):
        is_ssv2 = all(isinstance(each, dict) and _is_ssv2(each) for each in first)
        return "ssv2" if first and is_ssv2 else "json"
    if not isinstance(first, dict):
        return "json"
    keys = {str(key).lower(): value for key, value in first.items()}
    if "videogcsuri" in keys:
        return "vertex_jsonl"
    columns = columns_of(list(keys), only_paths_will_do=True)
    values = list(keys.values())
    return "metadata" if columns and isinstance(values[columns.paths[0]], str) else "json"


def _is_ssv2(clip: dict) -> bool:
    """Whether a record is of Something-Something V2: an id, with a template or alone."""
    return "id" in clip and ("template" in clip or len(clip) == 1)


def _recognise_header(line: str) -> str | None:
    names = {name.strip().strip('"').lower() for name in line.split(",")}
    if set(official.KINETICS_COLUMNS) <= names:
        return "kinetics"
    if names & {"file_name", "video_file_name"}:
        return "metadata"
    return "list" if find_columns(line, only_paths_will_do=False) else None


def _recognise_lines(lines: Sequence[str], place: str, text: str) -> str | None:
    if all(_is_vertex_row(line.split(",")) for line in lines):
        return "vertex_csv"
    lines = [line.replace("\\", "/") for line in lines]
    if all(_UCF101_CLIP.fullmatch(line) for line in lines):
        has_classes = is_file(beside(place, "classInd.txt"))
        return "ucf101" if has_classes or _numbers_are_of_folders(text) else "list"
    if all(official.UCF101_LINE.fullmatch(line) for line in lines) and is_file(
        beside(place, "classInd.txt")
    ):
        return "ucf101"
    if all(_JESTER_CLIP.fullmatch(line) for line in lines):
        labels = (Path(line.partition(";")[2].strip()) for line in lines)
        are_videos = all(label.suffix.lower() in VIDEO_SUFFIXES for label in labels)
        return None if are_videos else "jester"
    return None


def _numbers_are_of_folders(text: str) -> bool:
    """Whether the numbers behind UCF101's clips, if any, say the same as their folders."""
    pairs = set()
    for _, line in data_lines(text):
        if found := _UCF101_CLIP.fullmatch(line.replace("\\", "/")):
            pairs.add((found[1].lower(), (found[2] or "").strip()))
    folders, numbers = (Counter(side) for side in zip(*pairs, strict=True))
    if set(numbers) == {""}:
        return True
    return all(count == 1 for count in (*folders.values(), *numbers.values()))


def _is_vertex_row(cells: list[str]) -> bool:
    cells = [cell.strip() for cell in cells]
    has_use = cells[0].lower() in cloud.ML_USES
    uri, *rest = (cells[1:] if has_use else cells) or [""]
    is_video = Path(uri).suffix.lower() in VIDEO_SUFFIXES if uri else False
    if not rest or len(rest) > 3 or not (is_video or is_remote(uri)):
        return False
    is_sure = has_use or is_remote(uri)
    if not all(_TIME.fullmatch(cell) for cell in rest[1:]):
        return False
    return is_sure or (len(rest) == 3 and float(rest[1] or 0) < float(rest[2] or "inf"))


def read_given(place: str, split: str, reading: Reading, tree: ClipTree) -> Given:
    """Read one list in a known format.

    Args:
        place: the list, or the folder of lists.
        split: what it was given for: train, val or test; only a test list may lack labels.
        reading: how to read it; its format is not auto.
        tree: where the clips of official lists are.

    Raises:
        ListingError: with what is wrong, and where.
    """
    if reading.data_format == "ucf101" and official.is_folder(place):
        return _read_ucf101_folder(place, reading, tree)
    table, names = _read_table(place, split, reading, tree)
    if reading.data_format in VERTEX:
        table = _drop_unlabelled(table, split)
    if reading.data_format not in OFFICIAL:
        table = find_listed(table, tree)
    if not table.paths:
        raise ListingError(f"{place}: the list is empty but for comments.")
    if table.in_frames:
        outside = say_outside(
            table.paths, reading.data_root, table.place, allowed=reading.allow_outside
        )
        if outside:
            raise ListingError(*outside)  # before anything is opened
        say(f"Opening {counted(len(set(table.paths)), 'video')} of {place} for the frame rates.")
        to_seconds(table, reading.data_root, remote_cache=reading.remote_cache)
    splits: dict[str, ClipTable] = {}
    notes = table.notes
    for name, part in _by_split(table, strict=reading.data_format not in _OF_ANY_SPLITS):
        if (name or split) != "test" and not any(part.labels):
            raise ListingError(f"{place}: the clips have no labels; {table.about_labels}.")
        if reading.data_format in OFFICIAL:
            splits[name], missing = locate(part, tree, OFFICIAL[reading.data_format])
            notes += missing
        else:
            splits[name] = to_entries(part, need_labels=False)
    return Given(splits, names, notes)


def _read_ucf101_folder(folder: str, reading: Reading, tree: ClipTree) -> Given:
    lists = official.ucf101_lists(folder, reading.list_number)
    found = {split: read_given(place, split, reading, tree) for split, place in lists.items()}
    splits = {split: given.splits[""] for split, given in found.items()}
    notes = [note for given in found.values() for note in given.notes]
    return Given(splits, found["train"].names, notes)


def _read_table(
    place: str, split: str, reading: Reading, tree: ClipTree
) -> tuple[Table, Names | None]:
    root, lacking = reading.data_root, reading.may_lack_labels
    match reading.data_format:
        case "ucf101":
            return official.read_ucf101(place)
        case "hmdb51":
            return official.read_hmdb51(place, list_number=reading.list_number)
        case "kinetics":
            return official.read_kinetics(place, tree), None
        case "ssv2":
            return official.read_ssv2(place)
        case "jester":
            return official.read_jester(place)
        case "metadata":
            return cloud.read_metadata(place, root, may_lack_labels=lacking), None
        case "vertex_csv":
            return cloud.read_vertex_csv(place, root), None
        case "vertex_jsonl":
            return cloud.read_vertex_jsonl(place, root), None
        case "rawframes":
            return read_frame_counts(place), None
    need = split != "test"
    text = read_text(place)
    if looks_like_json(text):
        return read_json_list(text, place, tree, may_lack_labels=lacking)
    table = read_table(text, place, root, need_labels=need, may_lack_labels=lacking)
    if reading.several_numbers is not True:
        refuse_columns_of_numbers(table)
    return table, None


def _drop_unlabelled(table: Table, split: str) -> Table:
    """Leave out what Vertex AI lists without a label, but for a test list of no labels at all."""
    labelled = [index for index, label in enumerate(table.labels) if label]
    left_out = len(table.paths) - len(labelled)
    if not left_out or (split == "test" and not labelled):
        return table
    if not labelled:
        raise ListingError(f"{table.source}: the clips have no labels; give those that have some.")
    clips = counted(left_out, "clip")
    first = next(index for index, label in enumerate(table.labels) if not label)
    table.notes.append(
        f"{table.source} lists {clips} without a label, left out: {table.place(first)}."
    )
    return table.select(labelled)


def _by_split(table: Table, *, strict: bool) -> Iterator[tuple[str, Table]]:
    """Give the clips of each split that the list itself names, "" for those of none."""
    if table.splits is None:
        yield "", table
        return
    known = {split: split_of(split) if split else "" for split in set(table.splits)}
    names = [known[split] for split in table.splits]
    if None in names:
        first = names.index(None)
        # Of a column that is about something else, no value is a split.
        if strict or any(names):
            allowed = "train, val or test"
            raise ListingError(
                f"{table.place(first)}: the split `{table.splits[first]}` is not {allowed}."
            )
        table.notes.append(
            f"{table.source}: its column of splits is not read: `{table.splits[first]}` (line "
            f"{table.lines[first]}) is none of train, val and test."
        )
        names = [""] * len(names)
    if len(set(names)) > 1:
        # What is of no split beside others that are of one is for training.
        names = [name or "train" for name in names]
    for name in dict.fromkeys(names):
        part = table.select([index for index, other in enumerate(names) if other == name])
        part.splits = None
        yield name, part


def read_metadata_folder(reading: Reading) -> dict[str, str]:
    """Give the metadata files in data_root by split; raises ListingError if there is none."""
    found = cloud.find_metadata(reading.data_root)
    if not found:
        raise ListingError(
            f"data_root: there is no metadata.csv and no metadata.jsonl in {reading.data_root}; "
            "put it beside the clips, or give ann_file_train."
        )
    return found
