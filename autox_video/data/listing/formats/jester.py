"""Jester's lists: `id;label` lines, or ids alone for testing, with labels.csv beside them."""

import re
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.data.listing.formats.list_format import (
    ListFormat,
    ListSource,
    Reading,
    labels_file,
)
from autox_video.data.listing.reading.list_text import numbered_lines, read_text
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.suffixes import VIDEO_SUFFIXES

_LINE = re.compile(r"[0-9]+;.*\S")


class Jester(ListFormat):
    """The clips are folders of frames, or videos, called by their ids."""

    data_set = "Jester"
    has_plain_tests = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if not source.head or not all(map(_LINE.fullmatch, source.head)):
            return False
        labels = (line.partition(";")[2].strip() for line in source.head)
        return any(Path(label).suffix.lower() not in VIDEO_SUFFIXES for label in labels)

    def read(self, source: ListSource, reading: Reading) -> Table:
        table = Table(source.path)
        for number, line in source.lines():
            if line[0] == "#" and ";" not in line:
                continue
            name, _, label = (part.strip() for part in line.partition(";"))
            if not name:
                table.bad.append(f"{source.path}:{number}: there is no id before the semicolon.")
            table.add(number, name, label)
        table.check(may_lack_labels=False)
        if (file := labels_file(source, ".csv")) is not None:
            names = dict.fromkeys(name for _, name in numbered_lines(read_text(file)))
            table.classes = tuple(names), file
        return table


LIST_FORMATS.register("jester")(Jester())
