"""From labels as text to class indices: what the classes are, and which labels cannot be."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from autox_video.dataset.list_files import SHOWN_AT_MOST, Entries, at_most, counted
from autox_video.errors import ListingError
from autox_video.settings import AUTO, Settings

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")

CLASSES_AT_MOST = 1_000_000

Names = tuple[tuple[str, ...], str]
"""Class names in the order of their indices, and what they are from."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the labels of all lists come to."""

    classes: tuple[str, ...]
    named: bool
    index: dict[str, int]
    """Class index of each label, as it is written in the lists."""
    problems: list[str]
    """Where there are any, the rest means nothing."""


def read_class_names(settings: Settings) -> Names | None:
    """Read the class names that the settings name, or classes.txt where there is one.

    Raises:
        ListingError: the file is missing, not UTF-8 or empty, or names a class twice.
    """
    path = _class_names_file(settings)
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ListingError(f"class_names: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ListingError(f"class_names: {path} is not UTF-8 text; save it as UTF-8.") from error
    first: dict[str, int] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if name and first.setdefault(name, number) != number:
            problems.append(f"{path}:{number}: class `{name}` is in line {first[name]} already.")
    if not first:
        problems.append(f"class_names: {path} is empty; it holds one class name per line.")
    if problems:
        raise ListingError(*at_most(problems))
    return tuple(first), str(path)


def _class_names_file(settings: Settings) -> Path | None:
    if settings.class_names != AUTO:
        return Path(settings.class_names)
    places = [Path(settings.data_root)]
    if settings.ann_file_train != AUTO:
        places.insert(0, Path(settings.ann_file_train).parent)
    return next((p / "classes.txt" for p in places if (p / "classes.txt").is_file()), None)


def number_labels(
    splits: Mapping[str, Entries],
    *,
    names: Names | None,
    num_class: int | None,
    are_names: bool,
) -> Labels:
    """Find the classes of the lists, and the index of each label.

    Labels are class indices if all of them are whole numbers, else class names. With `names`, those
    are the classes; without, the names in natural order ("a2" before "a10"), or the numbers from 0
    to the largest. Where there is a training list, each class must have a clip in it.

    Args:
        splits: the lists; those without labels count for nothing.
        names: class names that are given apart from the lists.
        num_class: the number of classes that the user gave, if so.
        are_names: take labels for names, even if they look like numbers.
    """
    labelled = {name: split for name, split in splits.items() if split.labels is not None}
    texts = {text for split in labelled.values() for text in set(split.labels)}
    numbers = {text for text in texts if _WHOLE_NUMBER.fullmatch(text)}
    if not are_names and numbers and numbers != texts:
        return Labels((), False, {}, [_mixed(labelled, numbers)])
    if are_names or not numbers:
        labels, problems = _by_name(labelled, texts, names)
    else:
        labels, problems = _by_number(labelled, texts, names, num_class)
    problems += _wrong_num_class(len(labels.classes), names, num_class)
    if not problems and "train" in labelled:
        problems += _too_few_training_clips(labelled, labels, num_class)
    return Labels(labels.classes, labels.named, labels.index, problems)


def _mixed(labelled: Mapping[str, Entries], numbers: set[str]) -> str:
    first, odd = (
        next(
            (split.place(index), text)
            for split in labelled.values()
            for index, text in enumerate(split.labels)
            if (text in numbers) == is_number
        )
        for is_number in _kinds_in_order(labelled, numbers)
    )
    kinds = ("a whole number", "a class name")
    odd_kind, first_kind = kinds if odd[1] in numbers else kinds[::-1]
    return (
        f"{odd[0]}: label `{odd[1]}` is {odd_kind}, but `{first[1]}` at {first[0]} is {first_kind};"
        " use only class indices or only class names."
    )


def _kinds_in_order(labelled: Mapping[str, Entries], numbers: set[str]) -> tuple[bool, bool]:
    first = next(iter(labelled.values())).labels[0] in numbers
    return first, not first


def _by_name(
    labelled: Mapping[str, Entries], texts: set[str], names: Names | None
) -> tuple[Labels, list[str]]:
    classes = names[0] if names else tuple(sorted(texts, key=_natural_order))
    index = {name: i for i, name in enumerate(classes)}
    problems = at_most(
        f"{place}: label `{text}` is not among the {len(classes)} classes of {names[1]}"
        f"{_nearest(text, classes)}."
        for place, text in _first_places(labelled, texts - index.keys())
    )
    return Labels(classes, True, index, []), problems


def _by_number(
    labelled: Mapping[str, Entries],
    texts: set[str],
    names: Names | None,
    num_class: int | None,
) -> tuple[Labels, list[str]]:
    index = {text: int(text) for text in texts}
    if names:
        count, reason = len(names[0]), f"{names[1]} has {len(names[0])} classes, so "
    elif num_class:
        count, reason = num_class, f"num_class is {num_class}, so "
    else:
        count, reason = CLASSES_AT_MOST, ""
    problems = at_most(
        f"{place}: label {text} is out of range: {reason}labels go from 0 to {count - 1}."
        for place, text in _first_places(
            labelled, {text for text, label in index.items() if not 0 <= label < count}
        )
    )
    if not names and not num_class:
        count = min(max(index.values()) + 1, CLASSES_AT_MOST)
    classes = names[0] if names else tuple(map(str, range(count)))
    return Labels(classes, names is not None, index, []), problems


def _first_places(labelled: Mapping[str, Entries], wanted: set[str]) -> Iterator[tuple[str, str]]:
    """Give where each of the wanted labels is first, in the order of the lists."""
    wanted = set(wanted)
    for split in labelled.values():
        for index, text in enumerate(split.labels if wanted else ()):
            if text in wanted:
                wanted.remove(text)
                yield split.place(index), text


def _nearest(text: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, classes, n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _natural_order(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]{1,18})", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _wrong_num_class(count: int, names: Names | None, num_class: int | None) -> list[str]:
    if num_class is None or count == num_class:
        return []
    found = (
        f"{f'{names[1]} has' if names else 'the lists have'} {counted(count, 'class', 'classes')}"
    )
    return [f"num_class is {num_class}, but {found}; set num_class: auto."]


def _too_few_training_clips(
    labelled: Mapping[str, Entries], labels: Labels, num_class: int | None
) -> list[str]:
    source, count = labelled["train"].source, len(labels.classes)
    if count < 2:
        return [
            f"{source}: all clips are of one class, `{labels.classes[0]}`; at least two classes "
            "are needed."
        ]
    used = {labels.index[text] for text in set(labelled["train"].labels)}
    if len(used) == count:
        return []
    missing = islice((i for i in range(count) if i not in used), SHOWN_AT_MOST)
    others = {text for text, label in labels.index.items() if label not in used}
    places = {labels.index[text]: place for place, text in _first_places(labelled, others)}
    shown = ", ".join(
        f"`{labels.classes[i]}`" + (f" (in {places[i]})" if i in places else "") for i in missing
    )
    more = count - len(used) - SHOWN_AT_MOST
    hint = "" if num_class is None else f" Is num_class ({num_class}) right?"
    return [
        f"{source}: {count - len(used)} of {count} classes have no clip for training: "
        f"{shown}{f' and {more} more' if more > 0 else ''}.{hint}"
    ]
