"""Put the annotations of a tool's export into a table, and find the clips that they name.

A tool stores the path or address that a clip had on the annotator's machine or on the tool's
server. Such a path is matched to a clip under data_root from its end: all folders that both paths
have must be equal. Uploaded files have only their name.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from autox_video.config.settings import AUTO
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import Segment
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.list_format import ListSource, exists
from autox_video.data.listing.reading.records import find_lines
from autox_video.data.listing.reading.segments import read_segment
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_remote

Find = Callable[[str], str | None]

_UPLOAD = re.compile(r"(?:https?://[^/]+)?/?data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?([^/?]+)(\?.*)?")
_LOCAL_FILE = re.compile(r".*/data/local-files/?\?d=(.+)")
_DRIVE = re.compile(r"/?[A-Za-z]:/")


@dataclass(frozen=True, slots=True)
class Entry:
    """An annotation in a tool's export: the label of a video or of a segment of it."""

    where: str
    """The annotation's name in messages, such as `task 12`."""
    video: str
    """Path or address of the video, as the tool stores it."""
    label: str
    """Class name; "" if there is none."""
    times: tuple[object, object] | None = None
    """Start and end as in the export; None for the whole video."""
    unit: str = "s"
    """Unit of the times: s, ms or frame. Frames are counted from 0, and the end is excluded."""
    fps: float | None = None
    """Rate at which the tool counted the frames; None if the export does not tell."""
    split: str | None = None
    line: int = 0
    """Line of the annotation in its file; 0 if it must be found."""
    file: str = ""
    """File of the annotation, if the list is a folder of files."""
    anchor: str = ""
    """A JSON string near the annotation, by which its line is found; "" for `video`."""


class Problems:
    """Messages about annotations of a file that cannot be read."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.messages: list[str] = []

    def add(self, where: str, why: object, line: int = 0) -> None:
        """Add a clause about what is wrong with the annotation called `where`."""
        place = f"{self.file}:{line}" if line else self.file
        self.messages.append(f"{place}: {where}: {why}.")


def table_of(
    entries: Sequence[Entry],
    problems: Iterable[str],
    source: ListSource,
    *,
    find: Find | None = None,
) -> Table:
    """Return a table of the annotations; `check` reports what is wrong with any of them.

    Args:
        entries: the annotations, in the order of the file.
        problems: messages about annotations that cannot be read.
        source: the list, in whose JSON the lines of the annotations are found.
        find: returns the path of the clip with a tool's path or address; None if there is none.

    Raises:
        ListingError: there are no annotations.
    """
    in_frames = any(entry.unit == "frame" and entry.fps is None for entry in entries)
    unit = "frame" if in_frames else "s"
    table = Table(source.path, unit=unit, about_labels="label them in the annotation tool")
    table.bad += problems
    if not entries and not table.bad:
        raise ListingError(f"{source.path}: there are no annotated videos or segments.")
    paths = {video: find(video) if find else video for video in {e.video: None for e in entries}}
    table.bad += _say_several_videos(paths, source.path)
    for entry in entries:
        segment = _segment_of(entry, table)
        if segment is not None and in_frames and (entry.unit != "frame" or entry.fps):
            table.in_seconds.add(len(table.paths))
        path = paths[entry.video] or _reported_path(entry.video)
        line = 0 if source.is_folder else entry.line
        table.add_segment(line, path, entry.label, segment, split=entry.split)
    if source.is_json:
        find_lines(table, source.text, [entry.anchor or entry.video for entry in entries])
    found = [video for video, path in paths.items() if path not in (None, video)]
    if found:
        table.notes.append(
            f"{source.path}: {counted(len(found), 'video')} found in data_root by the end of the "
            f"path, for example `{paths[found[0]]}` for `{found[0]}`."
        )
    return table


def _say_several_videos(paths: Mapping[str, str | None], source: str) -> Iterator[str]:
    """Report clips that match several videos, since only one of them can be the clip."""
    first: dict[str, str] = {}
    for video, path in paths.items():
        if path is not None and (other := first.setdefault(path, video)) != video:
            yield (
                f"{source}: `{other}` and `{video}` both match the clip `{path}`; if they are the "
                "same video, give both the same path, or else keep their folders in data_root."
            )


def _segment_of(entry: Entry, table: Table) -> Segment | None:
    """Return the segment in seconds, or in frames if the rate is unknown; note invalid times."""
    if entry.times is None:
        return None
    texts = ["" if time is None else str(time) for time in entry.times]
    try:
        start, end = read_segment(*texts, entry.unit)
    except ValueError as error:
        place = entry.file or table.source
        place = f"{place}:{entry.line}" if entry.line else place
        table.bad_times.append(f"{place}: {entry.where}: {error}.")
        return None
    scale = 1.0 if entry.unit != "frame" or entry.fps is None else 1.0 / entry.fps
    return start * scale, end * scale


@contextmanager
def well_formed(source: str, what: str) -> Iterator[None]:
    """Turn the errors of reading JSON of another shape than expected into a ListingError.

    Args:
        source: the list, for messages.
        what: what the list is, such as `a Label Studio export`.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ListingError(
            f"{source}: this is {what}, but parts of it are missing or invalid "
            f"({type(error).__name__}: {error}); export it again."
        ) from error


def clip_finder(tree: ClipTree) -> Find:
    """Return a function that finds the clip under data_root with a tool's path or address."""

    def find(video: str) -> str | None:
        path = _local_path(video)
        if not path.startswith("/") and exists(tree.data_root, path):
            return path
        # A copy in data_root comes before the file itself, which may be outside.
        return tree.resolve(path) or (path if exists(tree.data_root, path) else None)

    return find


def _local_path(video: str) -> str:
    """Return the part of a tool's path or address that may be the path of a clip."""
    if match := _UPLOAD.fullmatch(video) or _LOCAL_FILE.fullmatch(video):
        return unquote(match[1]).lstrip("/")
    if _is_address(video):
        return unquote(urlsplit(video).path).lstrip("/")
    if video.lower().startswith("file:"):
        video = re.sub("^/+", "/", unquote(video[len("file:") :]))
    path = _DRIVE.sub("/", video.replace("\\", "/"), count=1)
    return re.sub(r"^(\.{1,2}/)+", "", path)


def _is_address(video: str) -> bool:
    """Whether a video is at an address that is not the annotation tool's own server."""
    is_own = _UPLOAD.fullmatch(video) or _LOCAL_FILE.fullmatch(video)
    return is_remote(video) and not is_own and not video.lower().startswith("file:")


def _reported_path(video: str) -> str:
    """Return the path to report for a video that is not under data_root."""
    return video if _is_address(video) else _local_path(video).lstrip("/")


def choose_field(counts: Mapping[str, int], wanted: str, what: str, source: str) -> str:
    """Return the tier, attribute or control whose labels are read.

    Args:
        counts: number of labels by name.
        wanted: value of the config key `label_field`.
        what: what the tool calls such a field, in the plural.
        source: the list, for messages.

    Raises:
        ListingError: several have labels and none is named, or the one named has none.
    """
    shown = ", ".join(f"`{name}` ({count})" for name, count in counts.items()) or "none"
    if wanted == AUTO:
        if len(counts) > 1:
            raise ListingError(
                f"{source}: several {what} have labels: {shown}. Set label_field to the name of "
                "the one to learn from."
            )
        return next(iter(counts), "")
    if wanted not in counts:
        raise ListingError(
            f"{source}: label_field: there are no labels under the name {wanted}; {what} with "
            f"labels: {shown}."
        )
    return wanted
