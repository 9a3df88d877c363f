"""HMDB51's lists: a folder of CLASS_test_splitN.txt, a file for each class and split."""

import os
import re
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import numbered_lines, read_text
from autox_video.data.listing.reading.table import Table

_FILE = re.compile(r"(.+)_test_split([123])\.txt")
_LINE = re.compile(r"(.*\S)\s+([012])")
_SPLITS = {"1": "train", "2": "test"}


class Hmdb51(ListFormat):
    """A clip in one of these files is for training (1), for testing (2) or unused (0)."""

    data_set = "HMDB51"

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        names = os.listdir(source.path) if source.is_folder else ()  # noqa: PTH208
        return any(map(_FILE.fullmatch, names))

    def read(self, source: ListSource, reading: Reading) -> Table:
        folder, number = source.path, reading.list_number
        if not source.is_folder:
            raise ListingError(
                f"{folder}: HMDB51's lists are a folder of CLASS_test_splitN.txt files."
            )
        matches = map(_FILE.fullmatch, sorted(os.listdir(folder)))  # noqa: PTH208
        files = {match[0]: match[1] for match in matches if match and int(match[2]) == number}
        if not files:
            raise ListingError(f"{folder}: there is no CLASS_test_split{number}.txt in it.")
        table = Table(folder, classes=(tuple(files.values()), folder))
        for name, label in files.items():
            _add_file(table, str(Path(folder, name)), label)
        table.check(may_lack_labels=False)
        return table


LIST_FORMATS.register("hmdb51")(Hmdb51())


def _add_file(table: Table, file: str, label: str) -> None:
    # Some of its clips have names that begin with #: what ends in a number is no comment.
    for line, content in numbered_lines(read_text(file)):
        match = _LINE.fullmatch(content)
        if match is None:
            if content[0] != "#":
                table.bad.append(f"{file}:{line}: `{content}` is not `CLIP.avi 0`, 1 or 2.")
        elif match[2] in _SPLITS:
            table.add(line, f"{label}/{match[1]}", label, split=_SPLITS[match[2]])
