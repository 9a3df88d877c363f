"""Jester's lists: `id;label` lines (only ids in test lists), with labels.csv next to the list."""

import re

from autox_video.config.choices import LIST_FORMATS
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import numbered_lines, read_text
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.suffixes import is_video

_LINE = re.compile(r"[0-9]+;(.*\S)")
_LINE_OR_ID = re.compile(r"(?!#[^;]*$)([^;]+)(?:;(.*))?")


class Jester(ListFormat):
    """The clips are frame folders or videos named after their ids."""

    data_set = "Jester"
    has_plain_tests = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        matches = [_LINE.fullmatch(line) for line in source.head]
        return bool(matches) and all(matches) and not all(is_video(m[1]) for m in matches)

    def read(self, source: ListSource, reading: Reading) -> Table:
        table = Table(source.path)
        for number, match in source.matches(_LINE_OR_ID, "ID;LABEL", table):
            table.add(number, match[1].strip(), (match[2] or "").strip())
        if (file := source.labels_file(".csv")) is not None:
            names = dict.fromkeys(name for _, name in numbered_lines(read_text(file)))
            table.classes = tuple(names), file
        return table


LIST_FORMATS.register("jester")(Jester())
