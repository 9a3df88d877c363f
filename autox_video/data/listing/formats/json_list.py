"""Lists in JSON and JSON Lines; `json_kinds` reads the formats of tools and data sets."""

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.json_kinds import (
    ACTIVITYNET,
    FIFTYONE,
    LABEL_STUDIO,
    read_kind,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.records import find_lines, parse, read_records
from autox_video.data.listing.reading.table import Table


class JsonList(ListFormat):
    """Records (possibly nested) with a path and a label, and the exports of many tools."""

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        return source.is_json

    def read(self, source: ListSource, reading: Reading) -> Table:
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
        if kind in (LABEL_STUDIO, ACTIVITYNET):  # some clips may not be labelled yet
            table = table.labelled()
        return table


LIST_FORMATS.register("json")(JsonList())
