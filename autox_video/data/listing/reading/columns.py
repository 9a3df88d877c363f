"""Recognise the columns of a table of clips by name: paths, labels, times and splits."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DELIMITERS = ",;\t|"

# Names are compared without regard to case, spaces or punctuation; the first name found is used.
# fmt: off
PATH_COLUMNS = (
    "path", "video_path", "clip_path", "file_path", "relative_path", "rel_path", "full_path",
    "video", "filename", "file", "clip", "video_file_path", "video_file_name", "video_filename",
    "video_file", "clip_filename", "clip_file", "video_name", "clip_name", "vid_name",
    "source_path", "video_id", "clip_id", "vid", "media", "vid_id", "youtube_id", "frames_path",
    "frame_folder", "video_url", "video_uri", "url", "uri",
)
VAGUE_PATH_COLUMNS = ("id", "name", "sample", "item", "source", "image", "data", "location", "key")
"""Names that count as path columns only if there is a label column and no other path column."""

LABEL_COLUMNS = (
    "label", "class", "class_name", "category", "labels", "classes", "label_name", "class_label",
    "choice", "choices", "action", "actions", "action_label", "action_name",
    "activity", "activities", "activity_label", "activity_name", "category_name", "target",
    "annotation", "gesture", "emotion", "sign", "gloss", "behavior", "behaviour", "event",
    "ground_truth", "gt", "true_label", "verb", "noun", "y", "sentiment", "exercise", "sport",
    "label_id", "class_id", "category_id", "action_id", "label_idx", "class_idx", "label_index",
    "class_index", "target_id", "class_number", "action_class", "verb_class", "tag", "tags",
)
SPLIT_COLUMNS = ("split", "ml_use", "subset", "set", "partition", "fold_name")
# fmt: on

_WORDS = {
    "start": "start|init|started|starts|begin|beginning|begins|onset|from|first|t0",
    "end": "end|ends|ending|stop|stops|offset|to|last|finish|t1",
    "length": "duration|length|len|dur",
    "frame": "frame|frames|frm|f|idx|index|number|num|no",
    "ms": "ms|msec|msecs|millis|millisecond|milliseconds",
    "clock": "h|hh|mm|ss|s",
    "second": "timestamp|timestamps|time|times|timecode|second|seconds|sec|secs|t",
    "filler": "clip|segment|seg|action|temporal|trim|trimmed|in",
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words.split("|")}
_LONGEST = 32
"""Maximum length of column names that are split into words; longer names would take too long."""

_PART_WORD = re.compile(
    r"(?<![a-z])(start|begin|onset|offset|stop|end|segments?|intervals?|spans?|trim|apex|peak"
    r"|timestamps?|frame|frame_?(?:no|number|idx|index|id)|t0|t1|times?|ranges?|windows?|bounds"
    r"|period|tmin|tmax)(?![a-z])|^(t|tc|time|mark|clip)?_?(in|out)(_?point)?$"
)
_COUNT = re.compile(r"(num|n|nb|no_of|number_of|total|count|of)_?frames?|frames?_?(count|rate|s)?")
_RECORDED = re.compile(r"(creat|updat|modif|upload|lead|annotat|record|narrat|publish)")


@dataclass(frozen=True, slots=True)
class Columns:
    """The index of each kind of column in a table; None for missing columns."""

    delimiter: str
    """The delimiter of CSV; "" for the keys of JSON."""
    names: tuple[str, ...]
    """Column names as written."""
    paths: tuple[int, ...]
    """All columns that may contain the paths, most likely first."""
    label: int | None = None
    split: int | None = None
    start: int | None = None
    end: int | None = None
    length: int | None = None
    unit: str = "s"
    """Unit of start, end and length: s, ms or frame."""
    other_labels: tuple[str, ...] = ()
    """Names of unused columns that may also contain labels."""
    other_times: tuple[str, ...] = ()
    """Names of unused columns that seem to define segments."""

    @property
    def unread(self) -> tuple[int, ...]:
        """Indices of the unused columns that have names."""
        used = {*self.paths, self.label, self.split, self.start, self.end, self.length}
        return tuple(i for i, name in enumerate(self.names) if name and i not in used)


def find_columns(header: str, *, need_labels: bool = True) -> Columns | None:
    """Return the columns that a CSV line names; None if the line is not a header."""
    names = {delimiter: split_row(header, delimiter) for delimiter in DELIMITERS}
    columns = (columns_of(names[sign], sign, need_labels=need_labels) for sign in DELIMITERS)
    return next(filter(None, columns), None)


def split_row(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line of CSV."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def columns_of(
    names: Sequence[str], delimiter: str = "", *, need_labels: bool = True
) -> Columns | None:
    """Return the named columns; None if the paths or the required labels are missing."""
    plain = [_plain(name) for name in names]
    paths, labels = _all(plain, PATH_COLUMNS), _all(plain, LABEL_COLUMNS)
    if not paths and labels:
        paths = _all(plain, VAGUE_PATH_COLUMNS)
    if not paths or (need_labels and not labels):
        return None
    splits, times = _all(plain, SPLIT_COLUMNS), _find_times(names)
    used = {*paths, *labels, *splits, *times.values()}
    # The same time in another unit need not be reported.
    odd = (
        name
        for i, name in enumerate(names)
        if i not in used and _says_a_part(name) and not (times and _time_of(name))
    )
    return Columns(
        delimiter,
        tuple(names),
        tuple(paths),
        label=next(iter(labels), None),
        split=next(iter(splits), None),
        **times,
        other_labels=tuple(names[i] for i in _other_labels(plain, labels)),
        other_times=tuple(odd),
    )


def _other_labels(plain: Sequence[str], labels: Sequence[int]) -> list[int]:
    """Return the columns, other than the first of `labels`, that may also contain labels."""
    if not labels:
        return []
    first, *rest = labels
    # Columns with these names contain the same labels as the first column, as numbers or names.
    base = re.sub(r"(name|id|idx|index|label|class)$", "", plain[first]) or plain[first]
    ends = ("", "name", "id", "idx", "index", "label", "class")
    same = {stem + end for stem in (base, plain[first]) for end in ends}
    again = (i for i, name in enumerate(plain) if name.rstrip("0123456789") == plain[first])
    # A column may be called label2, or two columns may be called `label`.
    return [*(i for i in rest if plain[i] not in same), *(i for i in again if i not in labels)]


def describe_columns(names: Sequence[str], what: str = "the columns are") -> str:
    """Return a clause that says which columns there are and which are expected."""
    there = ", ".join(f"`{name}`" for name in names[:12] if name)
    more = ", ..." if len(names) > 12 else ""
    return (
        f"{what} {there}{more}; name the clip column path, video, filename or file_name, and the "
        "label column label, class or category"
    )


def looks_like_header(names: Sequence[str]) -> bool:
    """Whether at least one of these cells is a known column name."""
    kinds = (PATH_COLUMNS, LABEL_COLUMNS, VAGUE_PATH_COLUMNS, SPLIT_COLUMNS)
    return any(_all([_plain(name) for name in names], kind) for kind in kinds)


def is_count(name: str) -> bool:
    """Whether a column with this name contains a number of frames."""
    return _COUNT.fullmatch(re.sub(r"[^a-z]+", "_", name.casefold()).strip("_")) is not None


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _all(plain: Sequence[str], wanted: Sequence[str]) -> list[int]:
    order = (name.replace("_", "") for name in wanted)
    return [plain.index(name) for name in order if name in plain]


def _find_times(names: Sequence[str]) -> dict[str, Any]:
    """Return start, end, length and unit as fields of `Columns`; {} if there are no times."""
    columns: dict[tuple[str, str], int] = {}
    # MS-ASL has `start` and `end` in frames in addition to start_time and end_time, so names with a
    # unit are tried first.
    for index in sorted(range(len(names)), key=lambda i: not _names_unit(names[i])):
        if meaning := _time_of(names[index]):
            columns.setdefault(meaning, index)
    plain = [_plain(name) for name in names]
    if "onset" in plain and "offset" in plain:
        columns.setdefault(("end", "s"), plain.index("offset"))
    for unit in ("s", "ms", "frame"):
        start, end, length = (columns.get((kind, unit)) for kind in ("start", "end", "length"))
        if start is None and end is not None and "offset" in plain[end]:
            start, end = (end if length is not None else None), None  # an offset means the start
        if start is not None and end is None and length is None and unit == "frame":
            length = next((i for i, name in enumerate(names) if is_count(name)), None)
        if start is not None or end is not None:
            length = length if end is None else None
            return {"start": start, "end": end, "length": length, "unit": unit}
    return {}


def _time_of(name: str) -> tuple[str, str] | None:
    """Return the kind (start, end or length) and unit of a time column; None for other columns."""
    plain = _plain(name)
    words = (_words_of(plain) if len(plain) <= _LONGEST else None) or ()
    kinds = [_KIND_OF[word] for word in words]
    said = [kind for kind in ("start", "end", "length") if kind in kinds]
    # These words count only together with other words; `first` and `last` alone may be names.
    if len(said) != 1 or words in (("first",), ("last",), ("offset",)):
        return None
    # ELAN's `Begin Time - ss.msec` and `Begin Time - hh:mm:ss.ms` are both in seconds.
    is_ms = "ms" in kinds and "clock" not in kinds
    return said[0], "frame" if "frame" in kinds else "ms" if is_ms else "s"


def _names_unit(name: str) -> bool:
    kinds = {_KIND_OF[word] for word in _words_of(_plain(name)[:_LONGEST]) or ()}
    return not kinds.isdisjoint(("second", "clock", "ms", "frame"))


def _words_of(plain: str) -> tuple[str, ...] | None:
    """Return the known words that make up a name; None if it also has unknown parts."""
    if not plain:
        return ()
    for end in range(len(plain), 0, -1):
        if plain[:end] in _KIND_OF and (rest := _words_of(plain[end:])) is not None:
            return plain[:end], *rest
    return None


def _says_a_part(name: str) -> bool:
    if is_count(name) or _RECORDED.search(name.casefold()):
        return False
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()
    meaning = _time_of(name)
    return _PART_WORD.search(spaced) is not None or (meaning is not None and meaning[0] != "length")
