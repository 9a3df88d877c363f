"""What a format of lists is: how it is told from others, and read into a table.

To add one, register an object of a subclass of `ListFormat`: here in a file of its own, with a line
in the table of `config/choices.py`; elsewhere in a module that `custom_imports` names.

    LIST_FORMATS.register("my_format")(MyFormat())
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from autox_video.config.settings import AUTO
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.reading.list_text import (
    data_lines,
    numbered_lines,
    read_json,
    read_text,
)
from autox_video.data.listing.reading.records import looks_like_json
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import beside, is_file, is_remote

_HEAD_LINES = 20


@dataclass(frozen=True)
class ListSource:
    """A list file, its address, or a folder of lists; what is in it is read when asked for."""

    path: str

    @cached_property
    def is_folder(self) -> bool:
        """Whether this is a folder on this machine."""
        return not is_remote(self.path) and Path(self.path).is_dir()

    @cached_property
    def names(self) -> list[str]:
        """Names of the files in a folder; [] of a file."""
        return sorted(os.listdir(self.path)) if self.is_folder else []  # noqa: PTH208

    @cached_property
    def text(self) -> str:
        """The whole file; raises ListingError if it cannot be read, or is no text."""
        return read_text(self.path)

    @cached_property
    def is_json(self) -> bool:
        """Whether this is a file of JSON, or is meant to be."""
        return not self.is_folder and looks_like_json(self.text)

    @cached_property
    def head(self) -> tuple[str, ...]:
        """The first 20 lines that are neither blank nor comments; none of JSON or a folder."""
        if self.is_folder or self.is_json:
            return ()
        return tuple(line for _, line in islice(data_lines(self.text), _HEAD_LINES))

    @cached_property
    def first_json(self) -> Any:
        """The object in the first line of JSON, or all of it; None if there is none."""
        if not self.is_json:
            return None
        line = next(line for _, line in data_lines(self.text))
        try:
            return read_json(line if line[0] == "{" else self.text)
        except ValueError:
            return None

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield each line that is not blank, with its number; comments too."""
        return numbered_lines(self.text)

    def matches(
        self, pattern: re.Pattern, example: str, table: Table
    ) -> Iterator[tuple[int, re.Match]]:
        """Yield each line that is like the example; of others, those that are no comments are bad.

        Some clips have names that begin with #: what matches is no comment.
        """
        for number, line in self.lines():
            if match := pattern.fullmatch(line):
                yield number, match
            elif line[0] != "#":
                table.refuse(number, f"`{line}` is not `{example}`", self.path)

    def beside(self, name: str) -> str:
        """The path or address of a file in the same folder, which need not be there."""
        return beside(self.path, name)

    def labels_beside(self, suffix: str) -> str | None:
        """The `labels.json` or `something-labels.csv` beside the list, where there is one."""
        if not is_remote(self.path):
            files = sorted(Path(self.path).parent.glob(f"*labels{suffix}"))
            files = (file for file in files if file.is_file() and file != Path(self.path))
            return next(map(str, files), None)
        name = self.path.rpartition("/")[2]
        prefix = re.sub(r"(train|validation|val|test)\.[a-z]+$", "", name)
        near = (self.beside(f"{prefix}labels{suffix}"), self.beside(f"labels{suffix}"))
        return next(filter(is_file, near), None)


@dataclass(frozen=True)
class Reading:
    """How a list is to be read, what for, and where its clips are."""

    data_root: str
    """Folder or address that the listed paths are relative to."""
    data_format: str = AUTO
    """The config's key, or what `recognise` said."""
    split: str = "train"
    """What the list was given for: train, val or test; only a test list may lack labels."""
    list_number: int = 1
    """Which of the three official splits of UCF101 and HMDB51."""
    may_lack_labels: bool = False
    """Whether a clip may be of no class though others are of some."""
    several_numbers: bool | None = None
    """Whether numbers behind a path are all labels; None: by what they are."""
    remote_cache: str = AUTO
    allow_outside: bool = False
    tree: ClipTree | None = None
    """The clips under data_root, found by name; one for all lists, as it is made at a walk."""

    def __post_init__(self) -> None:
        if self.tree is None:
            object.__setattr__(self, "tree", ClipTree(self.data_root))


class ListFormat:
    """One format of lists; what a subclass does not define is as in plain lists."""

    data_set: str = ""
    """Whose published lists these are: their clips are found under data_root by name, whatever
    folders they were unpacked into, may be missing in part, and have names of classes."""
    has_plain_tests: bool = False
    """Whether lists for testing may look like plain ones: they are read as the training list is."""
    repeats_are_labels: bool = False
    """Whether a clip is listed once for each of its classes."""

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        """Whether a list is surely in this format."""
        return False

    def read(self, source: ListSource, reading: Reading) -> Table:
        """Read a list into a table, which is checked then; raises ListingError."""
        raise NotImplementedError


def exists(data_root: str | Path, path: str) -> bool:
    """Whether there is a file or a folder of this path in data_root; False for an address."""
    try:
        return not is_remote(data_root) and os.path.exists(os.path.join(data_root, path))  # noqa: PTH110, PTH118
    except ValueError:  # a byte 0
        return False
