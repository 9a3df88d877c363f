"""Lists in JSON and JSON Lines; `json_kinds` reads the formats of tools and data sets."""

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.json_kinds import (
    FIFTYONE,
    read_kind,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.records import find_lines, parse, read_records
from autox_video.data.listing.reading.table import Table

TOOLS = ("label_studio", "fiftyone", "via", "activitynet")


class JsonList(ListFormat):
    """Records (possibly nested) with a path and a label, and the exports of many tools.

    The exports of tools that have a format of their own are read in that format.
    """

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        return source.is_json

    def read(self, source: ListSource, reading: Reading) -> Table:
        for name in TOOLS:
            if LIST_FORMATS[name].recognises(source, reading):
                return LIST_FORMATS[name].read(source, reading)
        content, lines = parse(source.text, source.path)
        if content in ([], {}):
            raise ListingError(f"{source.path}: the list is empty.")
        kind, records = read_kind(content, source.path, reading.tree)
        are_lines = len(records) == len(lines)
        lines = lines if are_lines else [1] * len(records)
        table = read_records(records, lines, source.path, reading.tree)
        if not are_lines:
            find_lines(table, source.text)
        if kind == FIFTYONE:
            table.classes = tuple(map(str, content["classes"])), "its classes"
        return table


LIST_FORMATS.register("json")(JsonList())
