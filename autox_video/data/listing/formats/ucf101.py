"""UCF101's lists: trainlist0N.txt and testlist0N.txt, with classInd.txt next to them."""

import re
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import data_lines, read_text
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_file

_NUMBERS_FILE = "classInd.txt"
_LINE = re.compile(r"([^/\\\s]+)[/\\](\S+)(?:\s+([0-9]+))?")
_CLASS = re.compile(r"([0-9]+)\s+(\S+)")
_OFFICIAL_CLIP = re.compile(r"([^/\\\s]+)[/\\]v_\1_g\d\d_c\d\d\.avi(?:\s+(\d+))?", re.IGNORECASE)


class Ucf101(ListFormat):
    """Lists of `CLASS/CLIP.avi NUMBER` lines; test lists have no numbers."""

    data_set = "UCF101"
    has_plain_tests = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if any(re.fullmatch(r"trainlist0[123]\.txt", name) for name in source.names):
            return True
        if not source.head or not all(map(_LINE.fullmatch, source.head)):
            return False
        if is_file(source.sibling(_NUMBERS_FILE)):
            return True
        are_official = all(map(_OFFICIAL_CLIP.fullmatch, source.head))
        return are_official and _numbers_are_of_folders(source.text)

    def read(self, source: ListSource, reading: Reading) -> Table:
        """Return the clips of a list, or of one official split in a folder of lists."""
        table = Table(source.path)
        if not source.is_folder:
            _add_list(table, source)
        for split in ("train", "test") if source.is_folder else ():
            file = str(Path(source.path, f"{split}list{reading.list_number:02d}.txt"))
            # A training list is read even if it is missing, which raises an error.
            if split == "train" or is_file(file):
                _add_list(table, ListSource(file), split)
        return table


LIST_FORMATS.register("ucf101")(Ucf101())


def _add_list(table: Table, source: ListSource, split: str | None = None) -> None:
    """Add the clips of a list; a clip's class is its folder, which must match the class number."""
    numbers_file = source.sibling(_NUMBERS_FILE)
    numbers = _class_numbers(numbers_file)
    for line, match in source.matches(_LINE, "CLASS/CLIP.avi NUMBER", table):
        label, name, number = match.groups()
        known = numbers.get(label)
        if numbers and known is None:
            table.refuse(line, f"class `{label}` is not in {_NUMBERS_FILE}", source.path)
        elif number and known is not None and int(number) != known:
            what = f"the class number is {number}, but {label} is {known} in {_NUMBERS_FILE}"
            table.refuse(line, what, source.path)
        table.add(line, f"{label}/{name}".replace("\\", "/"), label, split=split)
    if numbers:
        table.classes = tuple(sorted(numbers, key=numbers.__getitem__)), numbers_file


def _class_numbers(file: str) -> dict[str, int]:
    numbers = {}
    for line, content in data_lines(read_text(file)) if is_file(file) else ():
        match = _CLASS.fullmatch(content)
        if match is None:
            raise ListingError(f"{file}:{line}: `{content}` is not `NUMBER CLASS`.")
        numbers[match[2]] = int(match[1])
    return numbers


def _numbers_are_of_folders(text: str) -> bool:
    """Whether the class numbers of UCF101's clips, if there are any, match the clips' folders."""
    matches = (_OFFICIAL_CLIP.fullmatch(line) for _, line in data_lines(text))
    pairs = {(match[1].lower(), match[2]) for match in matches if match}
    folders, numbers = (set(side) for side in zip(*pairs, strict=True))
    return numbers == {None} or len(folders) == len(numbers) == len(pairs)
