"""HMDB51's lists: a folder of CLASS_test_splitN.txt files, one per class and split."""

import re
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.table import Table

_FILE = re.compile(r"(.+)_test_split([123])\.txt")
_LINE = re.compile(r"(.*\S)\s+([012])")
_SPLITS = {"1": "train", "2": "test"}


class Hmdb51(ListFormat):
    """Each line marks a clip as training (1), test (2) or unused (0)."""

    data_set = "HMDB51"

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        return any(map(_FILE.fullmatch, source.names))

    def read(self, source: ListSource, reading: Reading) -> Table:
        folder, number = source.path, str(reading.list_number)
        if not source.is_folder:
            raise ListingError(
                f"{folder}: for HMDB51, name the folder of the CLASS_test_splitN.txt files."
            )
        files = [match for match in map(_FILE.fullmatch, source.names) if match]
        labels = {match[0]: match[1] for match in files if match[2] == number}
        if not labels:
            raise ListingError(f"{folder}: there are no CLASS_test_split{number}.txt files in it.")
        table = Table(folder, classes=(tuple(labels.values()), folder))
        for name, label in labels.items():
            file = ListSource(str(Path(folder, name)))
            for line, match in file.matches(_LINE, "CLIP.avi 0`, `1` or `2", table):
                if match[2] in _SPLITS:
                    table.add(line, f"{label}/{match[1]}", label, split=_SPLITS[match[2]])
        return table


LIST_FORMATS.register("hmdb51")(Hmdb51())
