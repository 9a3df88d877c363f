"""Lists read as rows, before the checks of a whole listing, such as that there are two classes."""

from dataclasses import replace

from autox_video.data.listing.formats.detect import read_listed, recognise
from autox_video.data.listing.formats.list_format import Reading


def rows_of(path, split="", *, data_format=None, **options):
    """Give (path, label, start, end) of each clip in a list, in microseconds' precision."""
    reading = Reading("videos", **options)
    reading = replace(reading, data_format=data_format or recognise(path, reading))
    clips = read_listed(path, reading).splits[split]
    return [
        (path, label, *(round(float(time), 6) for time in clips.segment(row)))
        for row, (path, label) in enumerate(zip(clips.paths, clips.labels, strict=True))
    ]
