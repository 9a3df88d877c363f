"""Which format a list is in, and every format read into the same columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field

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
    """What one list, or a folder of lists, says."""

    splits: dict[str, ClipTable]
    """By split; the clips of no split are under ""."""
    classes: Names | None = None
    """The data set's own classes, in its order."""
    notes: list[str] = field(default_factory=list)


def recognise(path: str, reading: Reading) -> str:
    """The format of a list, by what is in it.

    The formats are asked from the last of the registry to the first, so that those of a user's
    modules come before ours, and ours from the particular to the general; `list` takes the rest.

    Raises:
        ListingError: it cannot be read, or is a folder of no known lists.
    """
    source = ListSource(path)
    for name in reversed(list(LIST_FORMATS)):
        if LIST_FORMATS[name].recognises(source, reading):
            return name
    if source.is_folder:
        raise ListingError(f"{path} is a folder; give the list file itself.")
    return "list"


def read_listed(path: str, reading: Reading) -> ListedClips:
    """Read a list, or a folder of lists, in the format that `reading` names.

    Raises:
        ListingError: with what is wrong, and where.
    """
    source, list_format = ListSource(path), LIST_FORMATS[reading.data_format]
    table = list_format.read(source, reading)
    table.check(may_lack_labels=reading.may_lack_labels)
    if not list_format.data_set:
        table = find_listed(table, reading.tree)
        root, allowed = reading.data_root, reading.allow_outside
        refuse_outside(table.paths, root, table.location, allowed=allowed)
    if not table.paths:
        raise ListingError(f"{path}: the list is empty but for comments.")
    if table.unit == "frame":
        to_seconds(table, reading.data_root, remote_cache=reading.remote_cache)
    splits: dict[str, ClipTable] = {}
    notes = table.notes
    parts = dict(_by_split(table))
    for name, part in parts.items():
        # A list of one split alone is for what it was given for.
        if (name if len(parts) > 1 else reading.split) != "test" and not any(part.labels):
            raise ListingError(f"{path}: the clips have no labels; {table.about_labels}.")
        if list_format.data_set:
            splits[name], missing = locate(part, reading.tree, list_format.data_set)
            notes += missing
        else:
            splits[name] = part.clips()
    return ListedClips(splits, table.classes, notes)


def _by_split(table: Table) -> Iterator[tuple[str, Table]]:
    """Yield the clips of each split that the list itself names, "" for those of none."""
    if table.splits is None:
        yield "", table
        return
    known = {name: split_of(name) if name else "" for name in set(table.splits)}
    splits = [known[name] for name in table.splits]
    if None in splits:
        first = splits.index(None)
        # Of a column that is about something else, no value is a split.
        if any(splits):
            raise ListingError(
                f"{table.location(first)}: the split `{table.splits[first]}` is not train, val or "
                "test."
            )
        table.notes.append(
            f"{table.source}: its column of splits is not read: `{table.splits[first]}` (line "
            f"{table.lines[first]}) is none of train, val and test."
        )
        splits = [""] * len(splits)
    if len(set(splits)) > 1:
        # What is of no split beside others that are of one is for training.
        splits = [split or "train" for split in splits]
    for name in dict.fromkeys(splits):
        yield name, table.select([index for index, split in enumerate(splits) if split == name])
