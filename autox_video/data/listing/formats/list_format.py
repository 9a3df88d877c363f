"""The interface of list formats, which recognise a list and read it into a table.

To add a format, register an instance of a subclass of `ListFormat`. In this package, put the
subclass in a separate module, and add a line to `config/choices.py`. Elsewhere, put the subclass in
a module that `custom_imports` names.

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
from autox_video.video.files.remote import is_file, is_remote, sibling

_HEAD_LINES = 20


@dataclass(frozen=True)
class ListSource:
    """A list file at a path or URL, or a folder of lists, read on demand."""

    path: str

    @cached_property
    def is_folder(self) -> bool:
        """Whether the list source is a local folder."""
        return not is_remote(self.path) and Path(self.path).is_dir()

    @cached_property
    def names(self) -> list[str]:
        """Names of the files in a folder; [] for a file."""
        return sorted(os.listdir(self.path)) if self.is_folder else []  # noqa: PTH208

    @cached_property
    def text(self) -> str:
        """Text of the file; raises ListingError if it cannot be read or is not text."""
        return read_text(self.path)

    @cached_property
    def is_json(self) -> bool:
        """Whether the list source is a file that looks like JSON, valid or not."""
        return not self.is_folder and looks_like_json(self.text)

    @cached_property
    def head(self) -> tuple[str, ...]:
        """The first 20 lines that are neither blank nor comments; () for JSON and folders."""
        if self.is_folder or self.is_json:
            return ()
        return tuple(line for _, line in islice(data_lines(self.text), _HEAD_LINES))

    @cached_property
    def first_json(self) -> Any:
        """The JSON object on the first line, or else the whole JSON value; None if invalid."""
        if not self.is_json:
            return None
        line = next(line for _, line in data_lines(self.text))
        try:
            return read_json(line if line[0] == "{" else self.text)
        except ValueError:
            return None

    @cached_property
    def json_value(self) -> Any:
        """The JSON value of the whole text; None if it is not valid JSON, as in JSON Lines."""
        try:
            return read_json(self.text) if self.is_json else None
        except ValueError:
            return None

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number and text of each line that is not blank, including comments."""
        return numbered_lines(self.text)

    def matches(
        self, pattern: re.Pattern, example: str, table: Table
    ) -> Iterator[tuple[int, re.Match]]:
        """Yield the line number and the match for each line that matches `pattern`.

        Lines that do not match are reported as invalid, unless they are comments. A line that
        matches `pattern` is never treated as a comment, because clip names may begin with #.
        """
        for number, line in self.lines():
            if match := pattern.fullmatch(line):
                yield number, match
            elif line[0] != "#":
                table.refuse(number, f"`{line}` does not have the form `{example}`", self.path)

    def sibling(self, name: str) -> str:
        """Return the path or URL of a file in the list's folder; the file need not exist."""
        return sibling(self.path, name)

    def labels_file(self, suffix: str) -> str | None:
        """Return the `labels.json` or `something-labels.csv` next to the list, if it exists."""
        if not is_remote(self.path):
            files = sorted(Path(self.path).parent.glob(f"*labels{suffix}"))
            files = (file for file in files if file.is_file() and file != Path(self.path))
            return next(map(str, files), None)
        name = self.path.rpartition("/")[2]
        prefix = re.sub(r"(train|validation|val|test)\.[a-z]+$", "", name)
        near = (self.sibling(f"{prefix}labels{suffix}"), self.sibling(f"labels{suffix}"))
        return next(filter(is_file, near), None)


@dataclass(frozen=True)
class Reading:
    """Options for reading a list, such as the split and the folder of the clips."""

    data_root: str
    """Folder or URL that the listed paths are relative to."""
    data_format: str = AUTO
    """The config key `data_format`, or the format found by `recognise`."""
    split: str = "train"
    """The split for which the list was given; only a test list may lack labels."""
    label_field: str = AUTO
    """Tier, attribute or labelling control that holds the labels in an annotation tool's export;
    AUTO if it is the only one."""
    list_number: int = 1
    """Which official split of UCF101 or HMDB51 to use: 1, 2 or 3."""
    may_lack_labels: bool = False
    """Whether some clips may lack labels although others have them."""
    several_numbers: bool | None = None
    """Whether all numbers after a path are labels; None if the list's contents decide."""
    remote_cache: str = AUTO
    allow_outside: bool = False
    tree: ClipTree | None = None
    """Index of the clips under data_root, shared by all lists because it is slow to build."""

    def __post_init__(self) -> None:
        if self.tree is None:
            object.__setattr__(self, "tree", ClipTree(self.data_root))


class ListFormat:
    """The base class of list formats; its defaults suit plain lists."""

    data_set: str = ""
    """The data set that publishes these lists, if any. If a data set is named, its clips are
    searched for by name in all folders under data_root, some clips may be missing, and the labels
    are class names."""
    has_plain_tests: bool = False
    """Whether test lists that look plain are read in the same format as the training list."""
    repeats_are_labels: bool = False
    """Whether a clip is listed once for each of its classes."""

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        """Whether a list is clearly in this format."""
        return False

    def read(self, source: ListSource, reading: Reading) -> Table:
        """Read a list into a table, which the caller checks; raises ListingError."""
        raise NotImplementedError


def exists(data_root: str | Path, path: str) -> bool:
    """Whether there is a file or folder at this path in data_root; False for a URL."""
    try:
        return not is_remote(data_root) and os.path.exists(os.path.join(data_root, path))  # noqa: PTH110, PTH118
    except ValueError:  # a null byte
        return False
