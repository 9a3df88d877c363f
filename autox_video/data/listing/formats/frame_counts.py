"""Lists of `PATH NUM_FRAMES LABEL`, told from those of `PATH LABEL LABEL` for several classes."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from autox_video.core.errors import ListingError
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.csv_lists import Table
from autox_video.data.listing.formats.list_text import data_lines, kept_lines, read_text
from autox_video.data.listing.formats.text_lists import exists
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import VIDEO_SUFFIXES

_TRIED = 20
_LINES_AT_LEAST = 3
_NUMBERS_AT_MOST = 1000


class _Line(NamedTuple):
    """A path and the numbers behind it."""

    path: str
    frames: str
    labels: list[str]


def has_frame_counts(text: str, data_root: str, several_numbers: bool | None = None) -> bool:
    """Whether a list is one of mmaction2, TSN and others: PATH NUM_FRAMES LABEL in each line.

    Behind a folder of frames the first number is that of its frames. Behind a video it is, where
    each line has two numbers, as several classes are rarely two for every clip, and none of the
    first numbers is 0.

    Args:
        text: the list.
        data_root: where its clips are.
        several_numbers: whether numbers behind a path are all labels; None: by what they are.
    """
    lines = (line for _, line in data_lines(text))
    found = list(takewhile(lambda each: each is not None, map(_split, lines)))
    if not found or len(found) < sum(1 for _ in data_lines(text)):
        return False
    if not any(_is_video(each.path) for each in found):
        kind = None if is_remote(data_root) else _kind_of_bare(found[:_TRIED], data_root)
        if kind != "video":
            return kind == "folder"
    if several_numbers:
        return False
    return all(int(each.frames) > 0 and len(each.labels) == 1 for each in found)


def _kind_of_bare(lines: Sequence[_Line], data_root: str) -> str | None:
    """Say what paths without a suffix are: folder, video, or None where no number is of frames."""
    tree = ClipTree(data_root)
    longer = [f"{line.path} {line.frames}" for line in lines]
    if any(exists(data_root, path) or tree.resolve(path) for path in longer):
        return None  # the first number is a part of the name
    if any(exists(data_root, line.path) for line in lines):
        return "folder"
    return "video" if any(tree.resolve(line.path) for line in lines) else None


def _is_video(path: str) -> bool:
    return path.lower().endswith(tuple(VIDEO_SUFFIXES))


def _split(line: str) -> _Line | None:
    """Split a line into its path and two or more numbers; None where it has not as many."""
    numbers: list[str] = []
    rest = line
    while len(numbers) < _NUMBERS_AT_MOST:
        head, *last = rest.rsplit(None, 1)
        if not last or not (last[0].isascii() and last[0].isdigit()):
            break
        numbers.insert(0, last[0])
        rest = head
    if len(numbers) < 2:
        return None
    return _Line(rest.rstrip(), numbers[0], numbers[1:])


def read_frame_counts(place: str) -> Table:
    """Read `PATH NUM_FRAMES LABEL` lines, with one label or several.

    Raises:
        ListingError: a line is none.
    """
    table = Table(place)
    for line, content in kept_lines(read_text(place)):
        found = _split(content)
        if found is None:
            if content[0] != "#":
                table.bad.append(f"{place}:{line}: `{content}` is not `PATH NUM_FRAMES LABEL`.")
            continue
        if content[0] == "#":
            table.hashed.add(len(table.paths))
        table.add(line, found.path, LABELS_JOINED_BY.join(found.labels))
    table.check(may_lack_labels=False)
    if any(map(_is_video, table.paths)):
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
