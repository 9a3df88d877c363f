"""Detect the format of a list, and read it into one table per split."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.clip_table import ClipTable, Names
from autox_video.data.listing.boundary import refuse_outside
from autox_video.data.listing.clip_lookup import find_listed, locate
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.list_format import ListSource, Reading
from autox_video.data.listing.reading.frame_segments import to_seconds
from autox_video.data.listing.reading.table import Table


@dataclass(frozen=True, slots=True)
class ListedClips:
    """The clips of one list or of a folder of lists."""

    splits: dict[str, ClipTable]
    """The tables by split; the split is "" if the list does not name splits."""
    classes: Names | None = None
    """The classes that the data set itself defines, in the data set's order."""
    notes: list[str] = field(default_factory=list)


def recognise(path: str, reading: Reading) -> str:
    """Return the name of a list's format, judging by the list's contents.

    Formats are tried in reverse order of registration: formats from the user's modules come first,
    followed by the built-in formats, from the most specific to the most general. `list` is the
    fallback.

    Raises:
        ListingError: the list cannot be read, or is a folder without known lists.
    """
    source = ListSource(path)
    for name in reversed(list(LIST_FORMATS)):
        if LIST_FORMATS[name].recognises(source, reading):
            return name
    if source.is_folder:
        raise ListingError(f"{path} is a folder without known lists; name the list file itself.")
    return "list"


def read_listed(path: str, reading: Reading) -> ListedClips:
    """Return the clips in a list, or in a folder of lists, whose format is named by `reading`.

    Raises:
        ListingError: the list is invalid; the messages say what is wrong and where.
    """
    source, list_format = ListSource(path), LIST_FORMATS[reading.data_format]
    table = list_format.read(source, reading)
    table.check(may_lack_labels=reading.may_lack_labels)
    if not list_format.data_set:
        table = find_listed(table, reading.tree)
        root, allowed = reading.data_root, reading.allow_outside
        refuse_outside(table.paths, root, table.location, allowed=allowed)
    if not table.paths:
        raise ListingError(f"{path}: the list has only comments, no clips.")
    if table.unit == "frame":
        to_seconds(table, reading.data_root, remote_cache=reading.remote_cache)
    splits: dict[str, ClipTable] = {}
    notes = table.notes
    parts = dict(_by_split(table))
    for name, part in parts.items():
        # If a list has a single split, its clips go to the split for which the list was given.
        if (name if len(parts) > 1 else reading.split) != "test" and not any(part.labels):
            raise ListingError(f"{path}: the clips have no labels; {table.about_labels}.")
        if list_format.data_set:
            splits[name], missing = locate(part, reading.tree, list_format.data_set)
            notes += missing
        else:
            splits[name] = part.clips()
            if source.is_folder:  # a line number is ambiguous, so messages name the clips instead
                splits[name] = replace(splits[name], source=reading.data_root, lines=None)
    return ListedClips(splits, table.classes, notes)


def _by_split(table: Table) -> Iterator[tuple[str, Table]]:
    """Yield each split named in the list, with its clips; the name is "" if no splits are named."""
    if table.splits is None:
        yield "", table
        return
    known = {name: split_of(name) if name else "" for name in set(table.splits)}
    splits = [known[name] for name in table.splits]
    if None in splits:
        first = splits.index(None)
        # If no value is a split, the column means something else.
        if any(splits):
            raise ListingError(
                f"{table.location(first)}: the split `{table.splits[first]}` is not train, val or "
                "test."
            )
        table.notes.append(
            f"{table.source}: the split column is ignored: `{table.splits[first]}` (line "
            f"{table.lines[first]}) is not train, val or test."
        )
        splits = [""] * len(splits)
    if len(set(splits)) > 1:
        # If some clips have a split, those without one are for training.
        splits = [split or "train" for split in splits]
    for name in dict.fromkeys(splits):
        yield name, table.select([index for index, split in enumerate(splits) if split == name])
