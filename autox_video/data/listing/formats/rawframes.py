"""Lists of `PATH NUM_FRAMES LABEL` lines, as opposed to multi-label `PATH LABEL LABEL` lines."""

import re

from autox_video.config.choices import LIST_FORMATS
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading, exists
from autox_video.data.listing.reading.list_text import data_lines
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import is_video

_LINE = re.compile(r"(\S.*?)\s+([0-9]+)((?:\s+[0-9]+)+)")
_TRIED = 20


class RawFrames(ListFormat):
    """Lists as used by mmaction2, TSN and others, with PATH NUM_FRAMES LABEL on each line."""

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        """Whether the first number on each line is the number of frames.

        For frame folders, the first number is always the number of frames. For videos, the first
        number is the number of frames if every line has two numbers (multi-label clips rarely all
        have exactly two classes) and no first number is 0.
        """
        if not source.head or not all(map(_LINE.fullmatch, source.head)):
            return False
        matches = [_LINE.fullmatch(line) for _, line in data_lines(source.text)]
        if not all(matches):
            return False
        if not any(is_video(match[1]) for match in matches):
            kind = _kind_of_bare(matches[:_TRIED], reading)
            if kind != "video":
                return kind == "folder"
        if reading.several_numbers:
            return False
        return all(int(match[2]) > 0 and len(match[3].split()) == 1 for match in matches)

    def read(self, source: ListSource, reading: Reading) -> Table:
        table = Table(source.path)
        for number, line in source.matches(_LINE, "PATH NUM_FRAMES LABEL", table):
            label = LABELS_JOINED_BY.join(line[3].split())
            table.add(number, line[1], label, hashed=line[1][0] == "#")
        if any(map(is_video, table.paths)):
            table.notes.append(
                f"{source.path}: lines are read as `path num_frames label`; if both numbers are "
                "classes of the clip, set multi_label: true."
            )
        return table


LIST_FORMATS.register("rawframes")(RawFrames())


def _kind_of_bare(matches: list[re.Match], reading: Reading) -> str | None:
    """Return whether a path without a suffix is a `folder` or `video`; None if neither is found."""
    root, resolve = reading.data_root, reading.tree.resolve
    if is_remote(root):
        return None
    longer = (f"{match[1]} {match[2]}" for match in matches)
    if any(exists(root, path) or resolve(path) for path in longer):
        return None  # the first number is part of the name
    if any(exists(root, match[1]) for match in matches):
        return "folder"
    return "video" if any(resolve(match[1]) for match in matches) else None
