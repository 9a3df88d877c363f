"""The job that writes a short config for a folder of clips."""

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from autox_video.config.load import settings_from_mapping
from autox_video.config.settings import BASIC_KEYS, Settings
from autox_video.core.console import printable, say
from autox_video.core.errors import ConfigError, ListingError, ResourceError
from autox_video.core.wording import counted
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.listing import Listing, read_listing
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import is_list, split_suffix

WIDTH = 80
NAMED_AT_MOST = 10
LIST_FOLDERS = ("", "annotations", "lists", "labels", "splits")
"""Common names of the folders with clip lists, in data_root or in its parent folder."""


def write_new_config(data_root: str, file: str | None = None) -> Path:
    """Write a commented config for a folder of clips, based on the file and folder names.

    No clip is opened. Returns the path of the config.

    Args:
        data_root: folder or address of the clips.
        file: path of the config; by default NAME.yaml in the current folder, where NAME is the name
            of `data_root`.

    Raises:
        ConfigError: the file exists.
        ListingError: there are no clips, or their classes cannot be determined.
        ResourceError: the file cannot be written.
    """
    settings = settings_from_mapping({"data_root": data_root}, "init")
    path = Path(file or f"{Path(settings.work_dir).name}.yaml")
    if path.exists():
        raise ConfigError(
            f"init: {path} exists and is not overwritten; give another name, as in: autox-video "
            f"init {data_root} other.yaml"
        )
    lists = _find_lists(settings.data_root)
    listing, used = _read(settings, lists)
    for note in listing.notes:
        say(note)
    _write(path, "\n".join(_lines(settings, listing, used, lists)) + "\n")
    say(f"Wrote {path}: {_counts(listing)}.")
    say(f"Next: autox-video train {shlex.quote(str(path))}")
    return path


def _write(path: Path, text: str) -> None:
    try:
        data = text.encode("utf-8")
        with open(path, "xb") as config:
            config.write(data)
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or "a path in it is not UTF-8 text"
        raise ResourceError(f"init: {path} cannot be written ({reason}).") from error


def _find_lists(data_root: str) -> dict[str, str]:
    """Return files that look like training, validation or test lists, keyed by config key."""
    if is_remote(data_root):
        return {}
    root, found = Path(data_root), {}
    for folder in (Path(base, name) for base in (root, root.parent) for name in LIST_FOLDERS):
        files = sorted(folder.iterdir()) if folder.is_dir() else ()
        for path in files:
            split = split_of(split_suffix(path.name)[0]) if is_list(path.name) else None
            if split and path.is_file():
                found.setdefault(f"ann_file_{split}", str(path))
    return found if "ann_file_train" in found else {}


def _read(settings: Settings, lists: Mapping[str, str]) -> tuple[Listing, Mapping[str, str]]:
    """Read the folder without the lists, or with the lists if there are no class folders."""
    try:
        return read_listing(settings), {}
    except ListingError:
        if not lists:
            raise
    given = {"data_root": settings.data_root, **lists}
    return read_listing(settings_from_mapping(given, "init")), lists


def _lines(
    settings: Settings, listing: Listing, used: Mapping[str, str], lists: Mapping[str, str]
) -> Iterator[str]:
    yield from _comment(f"Made by `autox-video init`: {_counts(listing)}.")
    yield from _comment(f"Classes: {_classes(listing)}.")
    if lists and not used:
        named = ", ".join(f"{key}: {path}" for key, path in lists.items())
        yield from _comment(f"Lists that were found but are not used: {named}.")
    yield from _comment("Any key can also be given on the command line, as in epoch=10.")
    yield from _comment("All keys: autox-video train --help")
    values = {"data_root": settings.data_root, "work_dir": settings.work_dir, **used}
    for key in BASIC_KEYS:
        field = Settings.model_fields[key]
        yield ""
        yield from _comment(field.description)
        yield from _comment(_found(key, listing))
        value = values.get(key, field.default)
        text = yaml.safe_dump({key: value}, allow_unicode=True, width=float("inf"))
        yield text.rstrip("\n")


def _found(key: str, listing: Listing) -> str:
    """Return a note on what was found for a config key; "" if nothing was found."""
    split = key.removeprefix("ann_file_")
    if split in listing.splits:
        return f"Found: {counted(len(listing.splits[split]), 'clip')}."
    return ""


def _counts(listing: Listing) -> str:
    splits = listing.splits
    total = counted(sum(map(len, splits.values())), "clip")
    parts = ", ".join(f"{len(clips)} {name}" for name, clips in splits.items())
    of_splits = f" ({parts})" if len(splits) > 1 else ""
    return f"{total}{of_splits} of {counted(len(listing.classes), 'class', 'classes')}"


def _classes(listing: Listing) -> str:
    counts = list(listing.count_by_class(listing.train).items())
    shown = ", ".join(f"{name} {count}" for name, count in counts[:NAMED_AT_MOST])
    more = len(counts) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def _comment(text: str) -> list[str]:
    """Return the text as comment lines, with line breaks in names escaped."""
    marks: dict[str, Any] = {"initial_indent": "# ", "subsequent_indent": "# "}
    return textwrap.wrap(printable(text), WIDTH, **marks, break_on_hyphens=False)
