"""UCF101's lists: trainlist0N.txt and testlist0N.txt, with classInd.txt beside them."""

import os
import re
from collections import Counter
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import data_lines, read_text
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_file

_CLASS_NUMBERS = "classInd.txt"
_LINE = re.compile(r"([^/\s]+)/(\S+)(?:\s+([0-9]+))?")
_CLASS = re.compile(r"([0-9]+)\s+(\S+)")
_OFFICIAL_CLIP = re.compile(r"([^/\s]+)/v_\1_g\d\d_c\d\d\.avi(\s+\d+)?", re.IGNORECASE)


class Ucf101(ListFormat):
    """Lists of `CLASS/CLIP.avi NUMBER`, the number in those for training alone."""

    data_set = "UCF101"
    has_plain_tests = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if source.is_folder:
            names = os.listdir(source.path)  # noqa: PTH208
            return any(re.fullmatch(r"trainlist0[123]\.txt", name) for name in names)
        lines = [line.replace("\\", "/") for line in source.head]
        if not lines or not all(map(_LINE.fullmatch, lines)):
            return False
        if is_file(source.beside(_CLASS_NUMBERS)):
            return True
        return all(map(_OFFICIAL_CLIP.fullmatch, lines)) and _numbers_are_of_folders(source.text)

    def lists_in(self, source: ListSource, reading: Reading) -> dict[str, str]:
        if not source.is_folder:
            return {}
        name = f"list{reading.list_number:02d}.txt"
        train, test = (str(Path(source.path, split + name)) for split in ("train", "test"))
        # A folder without the training list is a mistake, to be named when that is read.
        return {"train": train, "test": test} if is_file(test) else {"train": train}

    def read(self, source: ListSource, reading: Reading) -> Table:
        """Read a list: a clip's class is its folder, and the number is checked against that."""
        file = source.beside(_CLASS_NUMBERS)
        numbers = _class_numbers(file)
        table = Table(source.path)
        for line, content in source.lines():
            match = _LINE.fullmatch(content.replace("\\", "/"))
            if match is None:
                if content[0] != "#":
                    table.bad.append(
                        f"{source.path}:{line}: `{content}` is not `CLASS/CLIP.avi NUMBER`."
                    )
                continue
            label, name, number = match.groups()
            if numbers and label not in numbers:
                table.bad.append(
                    f"{source.path}:{line}: class `{label}` is not in {_CLASS_NUMBERS}."
                )
            elif numbers and number and int(number) != numbers[label]:
                table.bad.append(
                    f"{source.path}:{line}: the class number is {number}, but {label} is "
                    f"{numbers[label]} in {_CLASS_NUMBERS}."
                )
            table.add(line, f"{label}/{name}", label)
        table.check(may_lack_labels=False)
        if numbers:
            table.classes = tuple(sorted(numbers, key=numbers.__getitem__)), file
        return table


LIST_FORMATS.register("ucf101")(Ucf101())


def _class_numbers(file: str) -> dict[str, int]:
    if not is_file(file):
        return {}
    numbers = {}
    for line, content in data_lines(read_text(file)):
        match = _CLASS.fullmatch(content)
        if match is None:
            raise ListingError(f"{file}:{line}: `{content}` is not `NUMBER CLASS`.")
        numbers[match[2]] = int(match[1])
    return numbers


def _numbers_are_of_folders(text: str) -> bool:
    """Whether the numbers behind UCF101's clips, if any, say the same as their folders."""
    lines = (line.replace("\\", "/") for _, line in data_lines(text))
    matches = filter(None, map(_OFFICIAL_CLIP.fullmatch, lines))
    pairs = {(match[1].lower(), (match[2] or "").strip()) for match in matches}
    folders, numbers = (Counter(side) for side in zip(*pairs, strict=True))
    if set(numbers) == {""}:
        return True
    return all(count == 1 for count in (*folders.values(), *numbers.values()))
