"""Kinetics' lists: CSV files with the columns label, youtube_id, time_start, time_end and split.

A file named ID_000010_000020 or ID_10_20, with any suffix, is a clip already cut to the segment
from second 10 to second 20. A file named only ID is treated as the whole video, and the clip is the
segment from time_start to time_end.
"""

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.rows import csv_rows
from autox_video.data.listing.reading.table import Table

_COLUMNS = ("youtube_id", "time_start", "time_end")


class Kinetics(ListFormat):
    """CSV files with one split or all splits; test lists have no labels."""

    data_set = "Kinetics"

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        names = source.head[0].split(",") if source.head else ()
        return {name.strip().strip('"').lower() for name in names}.issuperset(_COLUMNS)

    def read(self, source: ListSource, reading: Reading) -> Table:
        rows = csv_rows(source.text, source.path)
        header = [name.strip().lower() for name in next(rows, (0, []))[1]]
        if not set(_COLUMNS) <= set(header):
            columns = ", ".join(_COLUMNS)
            raise ListingError(f"{source.path}:1: a Kinetics list must have the columns {columns}.")
        table, whole = Table(source.path), []
        for line, row in rows:
            if len(row) != len(header):
                if not row[0].startswith("#"):
                    table.refuse(line, f"there are {len(row)} columns, not {len(header)}")
                continue
            cells = dict(zip(header, map(str.strip, row), strict=True))
            video, start, end = (cells[column] for column in _COLUMNS)
            try:
                path, is_whole = kinetics_clip(reading.tree, video, start, end)
            except (ValueError, OverflowError):
                table.refuse(line, f"`{start}`, `{end}` are not numbers of seconds")
                continue
            whole += [path] if is_whole else []
            times = (start, end) if is_whole else ()
            table.add(line, path, cells.get("label", ""), *times, split=cells.get("split"))
        if whole:
            table.notes.append(
                f"{source.path}: {counted(len(whole), 'clip')} read from time_start to time_end of "
                f"a whole video, such as {whole[0]}, since there is no {whole[0]}_START_END file."
            )
        return table


LIST_FORMATS.register("kinetics")(Kinetics())


def kinetics_clip(tree: ClipTree, video: str, start: str, end: str) -> tuple[str, bool]:
    """Return the name of the file that contains a Kinetics clip, and whether it is a whole video.

    Raises:
        ValueError: start or end is not a number of seconds.
    """
    first, last = (int(float(seconds)) for seconds in (start, end))
    official = f"{video}_{first:06d}_{last:06d}"
    for name in (official, f"{video}_{first}_{last}", f"{video}_{start}_{end}"):
        if tree.find(name):
            return name, False
    is_whole = tree.find(video) is not None
    return (video if is_whole else official), is_whole
