"""Which columns a table of clips has: paths, labels, times and splits, by whatever name."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Compared without case, spaces and punctuation; of several that are there the first counts.
# fmt: off
PATH_COLUMNS = (
    "path", "video_path", "clip_path", "file_path", "relative_path", "rel_path", "full_path",
    "video", "filename", "file", "clip", "video_file_path", "video_file_name", "video_filename",
    "video_file", "clip_filename", "clip_file", "video_name", "clip_name", "vid_name",
    "source_path", "video_id", "clip_id", "vid", "media", "vid_id", "youtube_id", "frames_path",
    "frame_folder", "video_url", "video_uri", "url", "uri",
)
VAGUE_PATH_COLUMNS = ("id", "name", "sample", "item", "source", "image", "data", "location", "key")
"""Only where a column of labels is there too, and no other of paths."""

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
"""Letters of a name that may be made of such words: there are many ways to take it apart."""

_PART_WORD = re.compile(
    r"(?<![a-z])(start|begin|onset|offset|stop|end|segments?|intervals?|spans?|trim|apex|peak"
    r"|timestamps?|frame|frame_?(?:no|number|idx|index|id)|t0|t1|times?|ranges?|windows?|bounds"
    r"|period|tmin|tmax)(?![a-z])|^(t|tc|time|mark|clip)?_?(in|out)(_?point)?$"
)
_COUNT = re.compile(r"(num|n|nb|no_of|number_of|total|count|of)_?frames?|frames?_?(count|rate|s)?")
_RECORDED = re.compile(r"(creat|updat|modif|upload|lead|annotat|record|narrat|publish)")


@dataclass(frozen=True, slots=True)
class Times:
    """The columns that say which part of a video a clip is, and what they count in."""

    start: int | None
    end: int | None
    length: int | None = None
    unit: str = "s"
    """s, ms or frame."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row of a table things are; None for what it has not."""

    delimiter: str
    names: tuple[str, ...]
    """As written."""
    paths: tuple[int, ...]
    """All that may hold the paths, the likeliest first."""
    label: int | None
    times: Times | None
    split: int | None
    other_labels: tuple[str, ...] = ()
    """Columns that may be of labels too, and are not read."""
    other_times: tuple[str, ...] = ()
    """Columns that seem to say which part of a video a clip is, and are not read."""

    @property
    def unread(self) -> tuple[int, ...]:
        """The columns that say nothing of what is read."""
        used = {*self.paths, self.label, self.split, *_used_by(self.times)}
        return tuple(i for i, name in enumerate(self.names) if name and i not in used)


def find_columns(header: str, *, only_paths_will_do: bool) -> Columns | None:
    """Read the header of a CSV list; None if this is none."""
    for delimiter in ",;\t|":
        names = split_row(header, delimiter)
        columns = columns_of(names, delimiter, only_paths_will_do=only_paths_will_do)
        if columns is not None:
            return columns
    return None


def split_row(line: str, delimiter: str) -> list[str]:
    """Split one line of CSV into its cells."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def columns_of(
    names: Sequence[str], delimiter: str = ",", *, only_paths_will_do: bool
) -> Columns | None:
    """Find the columns among names; None where there is none of paths, or none of labels."""
    plain = [_plain(name) for name in names]
    paths, labels = _all(plain, PATH_COLUMNS), _all(plain, LABEL_COLUMNS)
    if not paths and labels:
        paths = _all(plain, VAGUE_PATH_COLUMNS)
    if not paths or not (labels or only_paths_will_do):
        return None
    splits, times = _all(plain, SPLIT_COLUMNS), _find_times(names)
    used = {*paths, *labels, *splits, *_used_by(times)}
    # What says the same in another unit is no loss.
    odd = [
        name
        for i, name in enumerate(names)
        if i not in used and _says_a_part(name) and not (times and _time_of(name))
    ]
    label = labels[0] if labels else None
    others = tuple(names[i] for i in _other_labels(plain, labels))
    split = splits[0] if splits else None
    return Columns(delimiter, tuple(names), tuple(paths), label, times, split, others, tuple(odd))


def _other_labels(plain: Sequence[str], labels: Sequence[int]) -> list[int]:
    """Give the columns that may be of other labels than the first of these."""
    if not labels:
        return []
    first, *others = labels
    again = (i for i, name in enumerate(plain) if name.rstrip("0123456789") == plain[first])
    different = [i for i in others if plain[i] not in _pairs(plain[first])]
    return [*different, *(i for i in again if i not in labels)]  # label2, or `label` twice


def _pairs(plain: str) -> tuple[str, ...]:
    """Names of columns that hold the same as this one, by number or by name."""
    base = re.sub(r"(name|id|idx|index|label|class)$", "", plain) or plain
    ends = ("", "name", "id", "idx", "index", "label", "class")
    return tuple(f"{stem}{end}" for stem in (base, plain) for end in ends)


def describe_columns(names: Sequence[str]) -> str:
    """Say which columns a header has, and which would do, in a part of a sentence."""
    there = ", ".join(f"`{name}`" for name in names[:12] if name)
    more = ", ..." if len(names) > 12 else ""
    return (
        f"the columns are {there}{more}; that of the clips is called path, video, filename or "
        "file_name, that of the labels label, class or category"
    )


def looks_like_header(names: Sequence[str]) -> bool:
    """Whether these cells are names of columns, one of which is known."""
    plain = [_plain(name) for name in names]
    kinds = (PATH_COLUMNS, LABEL_COLUMNS, VAGUE_PATH_COLUMNS, SPLIT_COLUMNS)
    return any(_all(plain, kind) for kind in kinds)


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _all(plain: Sequence[str], wanted: Sequence[str]) -> list[int]:
    order = (name.replace("_", "") for name in wanted)
    return [plain.index(name) for name in order if name in plain]


def _find_times(names: Sequence[str]) -> Times | None:
    found: dict[tuple[str, str], int] = {}
    # MS-ASL has start, end in frames beside start_time, end_time: what names its unit comes first.
    for index in sorted(range(len(names)), key=lambda i: not _names_unit(names[i])):
        for said in _time_of(names[index]):
            found.setdefault(said, index)
    plain = [_plain(name) for name in names]
    if "onset" in plain and "offset" in plain:
        found.setdefault(("end", "s"), plain.index("offset"))
    for unit in ("s", "ms", "frame"):
        start, end = found.get(("start", unit)), found.get(("end", unit))
        length = found.get(("length", unit))
        if start is None and end is not None and "offset" in plain[end]:
            start, end = (end if length is not None else None), None  # it says where a clip begins
        if end is None and start is not None and (length is not None or unit == "frame"):
            if length is None:
                length = next((i for i, name in enumerate(names) if is_count(name)), None)
            return Times(start, None, length, unit)
        if start is not None or end is not None:
            return Times(start, end, None, unit)
    return None


def _time_of(name: str) -> list[tuple[str, str]]:
    """Give what a column says of a part of a video, [(start, end or length, unit)], or []."""
    plain = _plain(name)
    words = (_words_of(plain) if len(plain) <= _LONGEST else None) or ()
    kinds = [_KIND_OF[word] for word in words]
    said = [kind for kind in ("start", "end", "length") if kind in kinds]
    # These say it beside another word only; `first` and `last` alone may be names.
    vague = words in (("first",), ("last",), ("offset",))
    if len(said) != 1 or vague:
        return []
    # ELAN's `Begin Time - ss.msec` counts seconds, as does its `- hh:mm:ss.ms`.
    is_ms = "ms" in kinds and "clock" not in kinds
    unit = "frame" if "frame" in kinds else "ms" if is_ms else "s"
    return [(said[0], unit)]


def _names_unit(name: str) -> bool:
    kinds = {_KIND_OF[word] for word in _words_of(_plain(name)[:_LONGEST]) or ()}
    return not kinds.isdisjoint(("second", "clock", "ms", "frame"))


def _words_of(plain: str) -> tuple[str, ...] | None:
    """Take a name apart into known words; None where that cannot be done."""
    if not plain:
        return ()
    for end in range(len(plain), 0, -1):
        if plain[:end] in _KIND_OF and (rest := _words_of(plain[end:])) is not None:
            return plain[:end], *rest
    return None


def is_count(name: str) -> bool:
    """Whether a column is called as one that counts frames."""
    return _COUNT.fullmatch(re.sub(r"[^a-z]+", "_", name.casefold()).strip("_")) is not None


def _used_by(times: Times | None) -> set[int | None]:
    return set() if times is None else {times.start, times.end, times.length}


def _says_a_part(name: str) -> bool:
    if is_count(name) or _RECORDED.search(name.casefold()):
        return False
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()
    is_part = _PART_WORD.search(spaced) is not None
    return is_part or any(kind != "length" for kind, _ in _time_of(name))
