"""Lists as UCF101, HMDB51, Kinetics, Something-Something and Jester publish them.

Clips are found under data_root by their names, whatever folders they were unpacked into.
"""

# ruff: noqa: PTH118

import os
import re
from collections.abc import Iterator
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import Names
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.csv_lists import Table, csv_rows
from autox_video.data.listing.formats.list_text import data_lines, kept_lines, read_json, read_text
from autox_video.video.files.remote import beside, is_file, is_remote

UCF101_LINE = re.compile(r"([^/\s]+)/(\S+)(?:\s+([0-9]+))?")
HMDB51_FILE = re.compile(r"(.+)_test_split([123])\.txt")
KINETICS_COLUMNS = ("youtube_id", "time_start", "time_end")
_UCF101_CLASS = re.compile(r"([0-9]+)\s+(\S+)")
_HMDB51_LINE = re.compile(r"(.*\S)\s+([012])")
_CLASS_NUMBERS = "classInd.txt"


def ucf101_lists(folder: str, list_number: int) -> dict[str, str]:
    """Give the lists of one of the three divisions in a folder, by split."""
    places = {
        split: os.path.join(folder, f"{split}list{list_number:02d}.txt")
        for split in ("train", "test")
    }
    # A folder without the training list is a mistake, to be named when that is read.
    return {split: place for split, place in places.items() if split == "train" or is_file(place)}


def read_ucf101(place: str) -> tuple[Table, Names | None]:
    """Read trainlist0N.txt or testlist0N.txt.

    A clip's class is its folder. The number behind it, where there is one, is checked against
    classInd.txt beside the list, where there is that.
    """
    text = read_text(place)
    numbers = _class_numbers(beside(place, _CLASS_NUMBERS))
    table = Table(place)
    for line, content in kept_lines(text):
        found = UCF101_LINE.fullmatch(content.replace("\\", "/"))
        if found is None and content[0] == "#":
            continue
        if found is None:
            table.bad.append(f"{place}:{line}: `{content}` is not `CLASS/CLIP.avi NUMBER`.")
            continue
        label, name, number = found.groups()
        if numbers and numbers.get(label) is None:
            table.bad.append(f"{place}:{line}: class `{label}` is not in {_CLASS_NUMBERS}.")
        elif numbers and number and int(number) != numbers[label]:
            known = f"{label} is {numbers[label]} in {_CLASS_NUMBERS}"
            table.bad.append(f"{place}:{line}: the class number is {number}, but {known}.")
        table.add(line, f"{label}/{name}", label)
    table.check(may_lack_labels=False)
    names = tuple(sorted(numbers, key=numbers.__getitem__))
    return table, (names, beside(place, _CLASS_NUMBERS)) if names else None


def _class_numbers(place: str) -> dict[str, int]:
    if not is_file(place):
        return {}
    numbers = {}
    for line, content in data_lines(read_text(place)):
        found = _UCF101_CLASS.fullmatch(content)
        if found is None:
            raise ListingError(f"{place}:{line}: `{content}` is not `NUMBER CLASS`.")
        numbers[found[2]] = int(found[1])
    return numbers


def read_hmdb51(place: str, *, list_number: int) -> tuple[Table, Names]:
    """Read a folder of CLASS_test_splitN.txt: a clip is for training (1), testing (2) or unused."""
    if not is_folder(place):
        raise ListingError(f"{place}: HMDB51's lists are a folder of CLASS_test_splitN.txt files.")
    found = (HMDB51_FILE.fullmatch(name) for name in sorted(os.listdir(place)))  # noqa: PTH208
    files = [match for match in found if match and int(match[2]) == list_number]
    if not files:
        raise ListingError(f"{place}: there is no CLASS_test_split{list_number}.txt in it.")
    table = Table(place)
    for file in files:
        source = os.path.join(place, file[0])
        # Some of its clips have names that begin with #: what ends in a number is no comment.
        for line, content in kept_lines(read_text(source)):
            clip = _HMDB51_LINE.fullmatch(content)
            if clip is None and content[0] == "#":
                continue
            if clip is None:
                table.bad.append(f"{source}:{line}: `{content}` is not `CLIP.avi 0`, 1 or 2.")
            elif clip[2] != "0":
                table.add(line, f"{file[1]}/{clip[1]}", file[1])
                table.add_split({"1": "train", "2": "test"}[clip[2]])
    table.check(may_lack_labels=False)
    return table, (tuple(file[1] for file in files), place)


def read_kinetics(place: str, tree: ClipTree) -> Table:
    """Read a CSV of label, youtube_id, time_start, time_end, split; a test list has no labels.

    The clips are files ID_000010_000020 or ID_10_20 with any suffix, which hold the seconds named,
    cut out; or ID, which is taken for the whole video, of which the clip is those seconds.
    """
    text = read_text(place)
    rows = csv_rows(text, place, 0, ",")
    header = [name.strip().lower() for name in next(rows, (0, []))[1]]
    if not set(KINETICS_COLUMNS) <= set(header):
        raise ListingError(
            f"{place}:1: a Kinetics list has the columns {', '.join(KINETICS_COLUMNS)}."
        )
    video, start, end = (header.index(name) for name in KINETICS_COLUMNS)
    label = header.index("label") if "label" in header else None
    split = header.index("split") if "split" in header else None
    table, whole = Table(place, segments=[]), []
    for line, row in rows:
        if row[0].startswith("#") and len(row) != len(header):
            continue
        if len(row) != len(header):
            table.bad.append(f"{place}:{line}: there are {len(row)} columns, not {len(header)}.")
            continue
        times = row[start].strip(), row[end].strip()
        try:
            name, is_whole = kinetics_clip(tree, row[video].strip(), *times)
        except (ValueError, OverflowError):
            table.bad.append(f"{place}:{line}: `{row[start]}`, `{row[end]}` are no seconds.")
            continue
        table.add(line, name, "" if label is None else row[label].strip())
        table.add_segment(line, *(times if is_whole else ("", "")))
        whole += [name] if is_whole else []
        if split is not None:
            table.add_split(row[split].strip())
    if whole:
        table.notes.append(
            f"{place}: {counted(len(whole), 'clip')} read from time_start to time_end of a whole "
            f"video, as {whole[0]}: no file {whole[0]}_START_END is there, cut out."
        )
    table.check(may_lack_labels=False)
    return table


def kinetics_clip(tree: ClipTree, video: str, start: str, end: str) -> tuple[str, bool]:
    """Give the name of a clip of Kinetics, and whether it is the whole video that is there.

    Raises:
        ValueError: start or end is no number of seconds.
    """
    first, last = (int(float(seconds)) for seconds in (start, end))
    official = f"{video}_{first:06d}_{last:06d}"
    for name in (official, f"{video}_{first}_{last}", f"{video}_{start}_{end}"):
        if tree.find(name):
            return name, False
    is_whole = tree.find(video) is not None
    return (video if is_whole else official), is_whole


def read_ssv2(place: str) -> tuple[Table, Names | None]:
    """Read Something-Something V2's JSON: id, and template with its [something] in brackets.

    The classes are those of the labels.json beside it, in its order.
    """
    text = read_text(place)
    try:
        clips = read_json(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ListingError(f"{place}:{line}: this is not valid JSON ({error}).") from error
    if not isinstance(clips, list):
        raise ListingError(f"{place}:1: Something-Something's list is a JSON array of clips.")
    table = Table(place)
    for number, (clip, line) in enumerate(zip(clips, _lines_of_ids(text, len(clips)), strict=True)):
        if not isinstance(clip, dict) or not str(clip.get("id") or "").strip():
            table.bad.append(f"{place}: clip {number + 1} of the array has no `id`.")
            continue
        label = str(clip.get("template") or "").translate(_NO_BRACKETS).strip()
        table.add(line, str(clip["id"]).strip(), label)
    table.check(may_lack_labels=False)
    return table, _ssv2_classes(place)


_NO_BRACKETS = str.maketrans("", "", "[]")
_ID = re.compile(r'"id"\s*:')


def _lines_of_ids(text: str, count: int) -> list[int]:
    """Give the line of each clip of the array; all 1 where it is not to be seen."""
    lines, line, position = [], 1, 0
    for found in _ID.finditer(text):
        line += text.count("\n", position, found.start())
        position = found.start()
        lines.append(line)
    return lines if len(lines) == count else [1] * count


def _ssv2_classes(place: str) -> Names | None:
    file = _labels_file(place, ".json")
    if file is None:
        return None
    try:
        numbers = read_json(read_text(file))
        by_number = {int(number): name.translate(_NO_BRACKETS) for name, number in numbers.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ListingError(f"{file}: is not a JSON object of class names and numbers.") from error
    if sorted(by_number) != list(range(len(numbers))):
        raise ListingError(f"{file}: the {len(numbers)} class numbers are not 0, 1, 2, ...")
    return tuple(by_number[number] for number in range(len(by_number))), file


def read_jester(place: str) -> tuple[Table, Names | None]:
    """Read `id;label` lines, or an id alone in each; the classes are of the *labels.csv beside."""
    table = Table(place)
    for line, content in kept_lines(read_text(place)):
        if content[0] == "#" and ";" not in content:
            continue
        name, _, label = (part.strip() for part in content.partition(";"))
        if not name:
            table.bad.append(f"{place}:{line}: there is no id before the semicolon.")
        table.add(line, name, label)
    table.check(may_lack_labels=False)
    file = _labels_file(place, ".csv")
    if file is None:
        return table, None
    return table, (tuple(dict.fromkeys(name for _, name in kept_lines(read_text(file)))), file)


def _labels_file(place: str, suffix: str) -> str | None:
    """Find `labels.json` or `something-labels.csv` beside a list."""
    if is_remote(place):
        prefix = re.sub(r"(train|validation|val|test)\.[a-z]+$", "", place.rpartition("/")[2])
        near = (beside(place, f"{prefix}labels{suffix}"), beside(place, f"labels{suffix}"))
        return next((file for file in near if is_file(file)), None)
    folder = Path(place).parent
    found = (p for p in sorted(folder.glob(f"*labels{suffix}")) if p.is_file())
    return next((str(file) for file in found if file != Path(place)), None)


def is_folder(place: str) -> bool:
    """Whether a list's place is a folder on this machine."""
    return not is_remote(place) and Path(place).is_dir()


def head_of(text: str, lines: int = 20) -> Iterator[str]:
    """Give the first lines that say something, by which a format is recognised."""
    for (_, line), _ in zip(data_lines(text), range(lines), strict=False):
        yield line
