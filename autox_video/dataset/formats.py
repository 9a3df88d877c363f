"""Which format a list is in, and every format read into the same columns.

`list` and `folders` are ours; the others are read as those who publish them write them.
"""

# ruff: noqa: PTH112, PTH118

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autox_video.dataset import formats_cloud, formats_official
from autox_video.dataset.clip_tree import ClipTree, locate
from autox_video.dataset.csv_lists import Table, find_columns
from autox_video.dataset.entries import (
    LABELS_JOINED_BY,
    VIDEO_SUFFIXES,
    Entries,
    Names,
    counted,
)
from autox_video.dataset.folders import SPLIT_NAMES
from autox_video.dataset.list_files import data_lines, read_json, read_table, read_text, to_entries
from autox_video.dataset.remote import beside, is_file, is_remote
from autox_video.errors import ListingError

OFFICIAL = {
    "ucf101": "UCF101",
    "hmdb51": "HMDB51",
    "kinetics": "Kinetics",
    "ssv2": "Something-Something V2",
    "jester": "Jester",
}
"""Formats whose lists go on naming clips that nobody has any more."""

VERTEX = ("vertex_csv", "vertex_jsonl")

_UCF101_CLIP = re.compile(r"([^/\s]+)/v_\1_g\d\d_c\d\d\.avi(\s+\d+)?", re.IGNORECASE)
_JESTER_CLIP = re.compile(r"[0-9]+;.*\S")
_RAW_FRAMES = re.compile(r"(.*?\S)\s+([0-9]+)((?:\s+[0-9]+)+)")
_TIME = re.compile(r"(\d+\.?\d*|\.\d+|inf)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """What one list, or the folder of one, says."""

    splits: dict[str, Entries]
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


def recognise(place: str, data_root: str) -> str:
    """Tell a list's format by what is in it.

    Raises:
        ListingError: it cannot be read, or is a folder of no known lists.
    """
    if formats_official.is_folder(place):
        return _recognise_folder(place)
    text = read_text(place)
    lines = list(formats_official.head_of(text))
    if not lines:
        return "list"
    if lines[0][0] in "[{":
        found = _recognise_json(text, lines[0])
    else:
        found = _recognise_header(lines[0]) or _recognise_lines(lines, place, data_root)
    return found or "list"


def _recognise_folder(place: str) -> str:
    names = os.listdir(place)  # noqa: PTH208
    if any(formats_official.HMDB51_FILE.fullmatch(name) for name in names):
        return "hmdb51"
    if any(re.fullmatch(r"trainlist0[123]\.txt", name) for name in names):
        return "ucf101"
    raise ListingError(f"{place} is a folder; give the list file itself.")


def _recognise_json(text: str, line: str) -> str | None:
    if line[0] == "[":
        return "ssv2" if '"id"' in text[:2000] else None
    try:
        keys = {str(key).lower() for key in read_json(line)}
    except ValueError:
        return None
    return "vertex_jsonl" if "videogcsuri" in keys else "metadata"


def _recognise_header(line: str) -> str | None:
    names = {name.strip().strip('"').lower() for name in line.split(",")}
    if set(formats_official.KINETICS_COLUMNS) <= names:
        return "kinetics"
    if names & {"file_name", "video_file_name"}:
        return "metadata"
    return "list" if find_columns(line, only_paths_will_do=False) else None


def _recognise_lines(lines: Sequence[str], place: str, data_root: str) -> str | None:
    if all(_is_vertex_row(line.split(",")) for line in lines):
        return "vertex_csv"
    if all(_UCF101_CLIP.fullmatch(line) for line in lines):
        return "ucf101"
    if all(formats_official.UCF101_LINE.fullmatch(line) for line in lines) and is_file(
        beside(place, "classInd.txt")
    ):
        return "ucf101"
    if all(_JESTER_CLIP.fullmatch(line) for line in lines):
        return "jester"
    frames = [_RAW_FRAMES.fullmatch(line) for line in lines]
    if all(frames) and not is_remote(data_root):
        folders = (os.path.join(data_root, match[1]) for match in frames)
        if any(os.path.isdir(folder) for folder in folders):
            return "rawframes"
    return None


def _is_vertex_row(cells: list[str]) -> bool:
    cells = [cell.strip() for cell in cells]
    has_use = cells[0].lower() in formats_cloud.ML_USES
    uri, *rest = (cells[1:] if has_use else cells) or [""]
    is_video = Path(uri).suffix.lower() in VIDEO_SUFFIXES if uri else False
    if not rest or len(rest) > 3 or not (is_video or is_remote(uri)):
        return False
    return (has_use or is_remote(uri) or len(rest) == 3) and all(
        _TIME.fullmatch(cell) for cell in rest[1:]
    )


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
    if reading.data_format == "ucf101" and formats_official.is_folder(place):
        return _read_ucf101_folder(place, reading, tree)
    table, names = _read_table(place, split, reading)
    notes = []
    if reading.data_format in VERTEX:
        table, notes = _drop_unlabelled(table, split)
    splits: dict[str, Entries] = {}
    for name, part in _by_split(table, strict=reading.data_format != "list"):
        if (name or split) != "test" and not any(part.labels):
            raise ListingError(f"{place}: the clips have no labels; a line is `path,label`.")
        if reading.data_format in OFFICIAL:
            splits[name], missing = locate(part, tree, OFFICIAL[reading.data_format])
            notes += missing
        else:
            splits[name] = to_entries(part, reading.data_root, need_labels=False)
    return Given(splits, names, notes)


def _read_ucf101_folder(folder: str, reading: Reading, tree: ClipTree) -> Given:
    lists = formats_official.ucf101_lists(folder, reading.list_number)
    found = {split: read_given(place, split, reading, tree) for split, place in lists.items()}
    splits = {split: given.splits[""] for split, given in found.items()}
    notes = [note for given in found.values() for note in given.notes]
    return Given(splits, found["train"].names, notes)


def _read_table(place: str, split: str, reading: Reading) -> tuple[Table, Names | None]:
    root, lacking = reading.data_root, reading.may_lack_labels
    match reading.data_format:
        case "ucf101":
            return formats_official.read_ucf101(place)
        case "hmdb51":
            return formats_official.read_hmdb51(place, list_number=reading.list_number)
        case "kinetics":
            return formats_official.read_kinetics(place), None
        case "ssv2":
            return formats_official.read_ssv2(place)
        case "jester":
            return formats_official.read_jester(place)
        case "metadata":
            return formats_cloud.read_metadata(place, root, may_lack_labels=lacking), None
        case "vertex_csv":
            return formats_cloud.read_vertex_csv(place, root), None
        case "vertex_jsonl":
            return formats_cloud.read_vertex_jsonl(place, root), None
        case "rawframes":
            return _read_raw_frames(place), None
    need = split != "test"
    text = read_text(place)
    return read_table(text, place, root, need_labels=need, may_lack_labels=lacking), None


def _read_raw_frames(place: str) -> Table:
    """Read mmaction2's `FOLDER NUM_FRAMES LABEL` lines, with one label or several."""
    table = Table(place)
    for line, content in data_lines(read_text(place)):
        found = _RAW_FRAMES.fullmatch(content)
        if found is None:
            table.bad.append(f"{place}:{line}: `{content}` is not `FOLDER NUM_FRAMES LABEL`.")
            continue
        table.add(line, found[1], LABELS_JOINED_BY.join(found[3].split()))
    table.check(may_lack_labels=False)
    return table


def _drop_unlabelled(table: Table, split: str) -> tuple[Table, list[str]]:
    """Leave out what Vertex AI lists without a label, but for a test list of no labels at all."""
    labelled = [index for index, label in enumerate(table.labels) if label]
    left_out = len(table.paths) - len(labelled)
    if not left_out or (split == "test" and not labelled):
        return table, []
    if not labelled:
        raise ListingError(f"{table.source}: the clips have no labels; give those that have some.")
    kept = table.select(labelled)
    kept.splits = [table.splits[index] for index in labelled]
    first = next(index for index, label in enumerate(table.labels) if not label)
    clips = counted(left_out, "clip")
    return kept, [f"{table.source} lists {clips} without a label, left out: {table.place(first)}."]


def _by_split(table: Table, *, strict: bool) -> Iterator[tuple[str, Table]]:
    """Give the clips of each split that the list itself names, "" for those of none."""
    if table.splits is None:
        yield "", table
        return
    known = {"": "", **SPLIT_NAMES}
    names = [known.get(split.lower()) for split in table.splits]
    if None in names:
        first = names.index(None)
        if strict:
            allowed = "train, val or test"
            raise ListingError(
                f"{table.place(first)}: the split `{table.splits[first]}` is not {allowed}."
            )
        names = [""] * len(names)
    if len(set(names)) > 1:
        # What is of no split beside others that are of one is for training.
        names = [name or "train" for name in names]
    for name in dict.fromkeys(names):
        yield name, table.select([index for index, other in enumerate(names) if other == name])


def read_metadata_folder(reading: Reading) -> dict[str, str]:
    """Give the metadata files in data_root by split; raises ListingError if there is none."""
    found = formats_cloud.find_metadata(reading.data_root)
    if not found:
        raise ListingError(
            f"data_root: there is no metadata.csv and no metadata.jsonl in {reading.data_root}; "
            "put it beside the clips, or give ann_file_train."
        )
    return found
