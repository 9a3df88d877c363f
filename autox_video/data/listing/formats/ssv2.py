"""Something-Something V2's lists: JSON arrays of clips, with labels.json beside them."""

import re
from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.clip_table import Names
from autox_video.data.listing.formats.list_format import (
    ListFormat,
    ListSource,
    Reading,
    labels_file,
)
from autox_video.data.listing.reading.list_text import read_json, read_text
from autox_video.data.listing.reading.table import Table

_NO_BRACKETS = str.maketrans("", "", "[]")
_ID = re.compile(r'"id"\s*:')


class SomethingSomething(ListFormat):
    """Clips of id and template; the template, without its brackets, is the class."""

    data_set = "Something-Something V2"

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        clips = source.first_json
        return isinstance(clips, list) and bool(clips) and all(map(_is_clip, clips))

    def read(self, source: ListSource, reading: Reading) -> Table:
        try:
            clips = read_json(source.text)
        except ValueError as error:
            line = getattr(error, "lineno", 1)
            raise ListingError(
                f"{source.path}:{line}: this is not valid JSON ({error})."
            ) from error
        if not isinstance(clips, list):
            raise ListingError(
                f"{source.path}:1: Something-Something's list is a JSON array of clips."
            )
        table = Table(source.path)
        lines = _lines_of_ids(source.text, len(clips))
        for number, (clip, line) in enumerate(zip(clips, lines, strict=True), 1):
            if not isinstance(clip, dict) or not str(clip.get("id") or "").strip():
                table.bad.append(f"{source.path}: clip {number} of the array has no `id`.")
                continue
            label = str(clip.get("template") or "").translate(_NO_BRACKETS).strip()
            table.add(line, str(clip["id"]).strip(), label)
        table.check(may_lack_labels=False)
        table.classes = _classes(source)
        return table


LIST_FORMATS.register("ssv2")(SomethingSomething())


def _is_clip(record: Any) -> bool:
    """Whether a record has an id, with a template or alone."""
    if not isinstance(record, dict) or "id" not in record:
        return False
    return "template" in record or len(record) == 1


def _lines_of_ids(text: str, count: int) -> list[int]:
    """The line of each clip of the array; all 1 where it is not to be seen."""
    lines, line, position = [], 1, 0
    for match in _ID.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        lines.append(line)
    return lines if len(lines) == count else [1] * count


def _classes(source: ListSource) -> Names | None:
    file = labels_file(source, ".json")
    if file is None:
        return None
    try:
        numbers = read_json(read_text(file))
        by_number = {int(number): name.translate(_NO_BRACKETS) for name, number in numbers.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ListingError(f"{file}: is not a JSON object of class names and numbers.") from error
    if sorted(by_number) != list(range(len(numbers))):
        raise ListingError(f"{file}: the {len(numbers)} class numbers are not 0, 1, 2, ...")
    return tuple(by_number[number] for number in range(len(by_number))), file
