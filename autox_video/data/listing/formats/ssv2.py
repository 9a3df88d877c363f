"""Something-Something V2's lists: JSON arrays of clips, with labels.json next to them."""

from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.clip_table import Names
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import read_json, read_text
from autox_video.data.listing.reading.records import find_lines, parse
from autox_video.data.listing.reading.table import Table

_NO_BRACKETS = str.maketrans("", "", "[]")


class SomethingSomething(ListFormat):
    """Records with an id and a template; the class is the template without brackets."""

    data_set = "Something-Something V2"

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        clips = source.first_json
        return isinstance(clips, list) and bool(clips) and all(map(_is_clip, clips))

    def read(self, source: ListSource, reading: Reading) -> Table:
        clips, _ = parse(source.text, source.path)
        if not isinstance(clips, list):
            raise ListingError(
                f"{source.path}:1: a Something-Something list must be a JSON array of clips."
            )
        table = Table(source.path)
        for number, clip in enumerate(clips, 1):
            name = str(clip.get("id") or "").strip() if isinstance(clip, dict) else ""
            if not name:
                table.bad.append(f"{source.path}: clip {number} of the array has no `id`.")
                continue
            table.add(1, name, str(clip.get("template") or "").translate(_NO_BRACKETS).strip())
        find_lines(table, source.text)
        table.classes = _classes(source.labels_file(".json"))
        return table


LIST_FORMATS.register("ssv2")(SomethingSomething())


def _is_clip(record: Any) -> bool:
    """Whether a record has an id, and either a template or no other keys."""
    if not isinstance(record, dict) or "id" not in record:
        return False
    return "template" in record or len(record) == 1


def _classes(file: str | None) -> Names | None:
    if file is None:
        return None
    try:
        numbers = read_json(read_text(file))
        by_number = {int(number): name.translate(_NO_BRACKETS) for name, number in numbers.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ListingError(
            f"{file}: this is not a JSON object of class names and numbers."
        ) from error
    if sorted(by_number) != list(range(len(numbers))):
        raise ListingError(f"{file}: the {len(numbers)} class numbers are not 0, 1, 2, ...")
    return tuple(by_number[number] for number in range(len(by_number))), file
