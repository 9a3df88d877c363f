"""Lists of `PATH NUM_FRAMES LABEL`, told from those of `PATH LABEL LABEL` for several classes."""

import re

from autox_video.dataset.clip_tree import ClipTree
from autox_video.dataset.csv_lists import Table
from autox_video.dataset.entries import LABELS_JOINED_BY, VIDEO_SUFFIXES
from autox_video.dataset.list_text import data_lines, kept_lines, read_text
from autox_video.dataset.remote import is_remote
from autox_video.dataset.text_lists import exists
from autox_video.errors import ListingError

_SUFFIXES = "|".join(map(re.escape, sorted(VIDEO_SUFFIXES)))
_VIDEO = re.compile(rf"(.*(?:{_SUFFIXES}))\s+([0-9]+)((?:\s+[0-9]+)+)", re.IGNORECASE)
_FOLDER = re.compile(r"(.*?\S)\s+([0-9]+)((?:\s+[0-9]+)+)")
_TRIED = 20
_LINES_AT_LEAST = 3


def has_frame_counts(
    text: str, place: str, data_root: str, several_numbers: bool | None = None
) -> bool:
    """Whether a list is one of mmaction2, TSN and others: PATH NUM_FRAMES LABEL in each line.

    Behind a folder of frames the first number is that of its frames. Behind a video it is, where
    each line has two numbers, as several classes are rarely two for every clip, and none of the
    first numbers is 0.

    Args:
        text: the list.
        place: its name.
        data_root: where its clips are.
        several_numbers: whether numbers behind a path are all labels; None: by what they are.
    """
    lines = [line for _, line in data_lines(text)]
    if not lines or _match(lines[0]) is None:
        return False
    found = [_match(line) for line in lines]
    if not all(found):
        return False
    if not any(map(_VIDEO.fullmatch, lines)):
        if is_remote(data_root):
            return False
        tried = found[:_TRIED]
        if any(exists(data_root, f"{match[1]} {match[2]}") for match in tried):
            return False
        tree = ClipTree(data_root)
        if not any(exists(data_root, match[1]) or tree.resolve(match[1]) for match in tried):
            return False
        if any(exists(data_root, match[1]) for match in tried):
            return True
    if several_numbers:
        return False
    return all(int(match[2]) > 0 and len(match[3].split()) == 1 for match in found)


def _match(line: str) -> re.Match | None:
    return _VIDEO.fullmatch(line) or _FOLDER.fullmatch(line)


def read_frame_counts(place: str) -> Table:
    """Read `PATH NUM_FRAMES LABEL` lines, with one label or several.

    Raises:
        ListingError: a line is none.
    """
    table = Table(place)
    for line, content in kept_lines(read_text(place)):
        found = _match(content)
        if found is None:
            if content[0] != "#":
                table.bad.append(f"{place}:{line}: `{content}` is not `PATH NUM_FRAMES LABEL`.")
            continue
        if content[0] == "#":
            table.hashed.add(len(table.paths))
        table.add(line, found[1], LABELS_JOINED_BY.join(found[3].split()))
    table.check(may_lack_labels=False)
    if any(_VIDEO.match(f"{path} 1 1") for path in table.paths):
        table.notes.append(
            f"{place}: its lines are read as `path num_frames label`; if both numbers are "
            "classes of the clip, set multi_label: true."
        )
    return table


def refuse_columns_of_numbers(table: Table) -> None:
    """Raise ListingError if three numbers or more are behind every path: they are no labels."""
    counts = {label.count(LABELS_JOINED_BY) + 1 for label in set(table.labels)}
    count = min(counts, default=0)
    numbers = all(part.isdigit() for label in set(table.labels) for part in label.split(";"))
    if len(counts) == 1 and count > 2 and numbers and len(table.paths) >= _LINES_AT_LEAST:
        raise ListingError(
            f"{table.place(0)}: each line has {count} numbers behind the path, of which only one "
            "can be the label; write CSV with the header path,label,start_frame,end_frame, or set "
            "multi_label: true if all of them are classes of the clip."
        )
