"""UCF101's lists: trainlist0N.txt and testlist0N.txt, with classInd.txt beside them."""

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
    """Lists of `CLASS/CLIP.avi NUMBER`, the number in those for training alone."""

    data_set = "UCF101"
    has_plain_tests = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if any(re.fullmatch(r"trainlist0[123]\.txt", name) for name in source.names):
            return True
        if not source.head or not all(map(_LINE.fullmatch, source.head)):
            return False
        if is_file(source.beside(_NUMBERS_FILE)):
            return True
        are_official = all(map(_OFFICIAL_CLIP.fullmatch, source.head))
        return are_official and _numbers_are_of_folders(source.text)

    def lists_in(self, source: ListSource, reading: Reading) -> dict[str, str]:
        name = f"list{reading.list_number:02d}.txt"
        lists = {split: str(Path(source.path, split + name)) for split in ("train", "test")}
        # A folder without the training list is a mistake, to be named when that is read.
        used = [split for split, file in lists.items() if split == "train" or is_file(file)]
        return {split: lists[split] for split in used} if source.is_folder else {}

    def read(self, source: ListSource, reading: Reading) -> Table:
        """Read a list: a clip's class is its folder, and the number is checked against that."""
        file = source.beside(_NUMBERS_FILE)
        numbers = _class_numbers(file)
        table = Table(source.path)
        for line, match in source.matches(_LINE, "CLASS/CLIP.avi NUMBER", table):
            label, name, number = match.groups()
            known = numbers.get(label)
            if numbers and known is None:
                table.refuse(line, f"class `{label}` is not in {_NUMBERS_FILE}")
            elif number and known is not None and int(number) != known:
                where = f"but {label} is {known} in {_NUMBERS_FILE}"
                table.refuse(line, f"the class number is {number}, {where}")
            table.add(line, f"{label}/{name}".replace("\\", "/"), label)
        table.check(may_lack_labels=False)
        if numbers:
            table.classes = tuple(sorted(numbers, key=numbers.__getitem__)), file
        return table


LIST_FORMATS.register("ucf101")(Ucf101())


def _class_numbers(file: str) -> dict[str, int]:
    numbers = {}
    for line, content in data_lines(read_text(file)) if is_file(file) else ():
        match = _CLASS.fullmatch(content)
        if match is None:
            raise ListingError(f"{file}:{line}: `{content}` is not `NUMBER CLASS`.")
        numbers[match[2]] = int(match[1])
    return numbers


def _numbers_are_of_folders(text: str) -> bool:
    """Whether the numbers behind UCF101's clips, if any, say the same as their folders."""
    matches = (_OFFICIAL_CLIP.fullmatch(line) for _, line in data_lines(text))
    pairs = {(match[1].lower(), match[2]) for match in matches if match}
    folders, numbers = (set(side) for side in zip(*pairs, strict=True))
    return numbers == {None} or len(folders) == len(numbers) == len(pairs)
