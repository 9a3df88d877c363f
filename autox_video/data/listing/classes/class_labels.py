"""From labels as text to class indices: what the classes are, and which labels cannot be."""

import difflib
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from autox_video.core.wording import SHOWN_AT_MOST, at_most, counted
from autox_video.data.clip_table import LABELS_JOINED_BY, ClipTable, Names, Splits, parts_of
from autox_video.data.listing.classes.similar_names import PLACEHOLDER
from autox_video.data.listing.spelling import as_seen

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_WHOLE_FLOAT = re.compile(r"[+-]?[0-9]{1,18}\.0*")

CLASSES_AT_MOST = 1_000_000

_MANY_OF_ONE_CLASS = 3
"""From as many clips to test on, one class for all of them is odd."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the labels of all lists come to."""

    classes: tuple[str, ...]
    named: bool
    index: dict[str, int] | dict[str, tuple[int, ...]]
    """Class index of each label, as it is written in the lists; of several classes, all of them."""
    problems: list[str]
    """Where there are any, the rest means nothing."""
    notes: tuple[str, ...] = ()
    """What the user should know of how the labels were read."""


def has_joined_labels(splits: Splits, names: Names | None) -> bool:
    """Whether labels seem to be of several classes each, written as `one;other`.

    They are where one joins classes of `names`, or numbers, or, where there are no names, a class
    that another label has too.
    """
    texts = {text for split in splits.values() for text in set(split.labels or ())}
    joined = [parts_of(text) for text in texts if LABELS_JOINED_BY in text]
    if any(len(of) > 1 and all(map(_WHOLE_NUMBER.fullmatch, of)) for of in joined):
        return True
    if names:
        known = set(names[0])
        joined = [parts_of(text) for text in texts - known if LABELS_JOINED_BY in text]
        return any(len(of) > 1 and known.issuperset(of) for of in joined)
    counts = Counter(part for text in texts for part in parts_of(text))
    return any(len(of) > 1 and any(counts[part] > 1 for part in of) for of in joined)


def drop_placeholders(test: ClipTable, classes: Container[str]) -> tuple[ClipTable, list[str]]:
    """Give the clips to test without labels that only fill the column, and a note on that.

    Args:
        test: the clips to test.
        classes: the classes that there are, as text; a label that is one is kept.
    """
    labels = set(test.labels or ())
    if len(labels) != 1 or test.lines is None:
        return test, []
    (label,) = labels
    if PLACEHOLDER.fullmatch(label) and label not in classes:
        count = counted(len(test), "clip")
        note = f"{test.source}: the label of all ({count}) is `{label}`, which is taken for none."
        return replace(test, labels=None), [note]
    if len(test) < _MANY_OF_ONE_CLASS:
        return test, []
    return test, [
        f"{test.source}: all {len(test)} clips have the label `{label}`. If that only fills the "
        "column, leave the labels out: a score of it would mean nothing."
    ]


def say_indices(test: ClipTable, classes: Sequence[str]) -> list[str]:
    """Say which classes the labels of clips to test are, where these are indices of names."""
    texts = {part for text in set(test.labels or ()) for part in parts_of(text)}
    if not texts or not texts.isdisjoint(classes) or not all(map(_WHOLE_NUMBER.fullmatch, texts)):
        return []
    numbers = sorted(n for n in map(int, texts) if 0 <= n < len(classes))
    named = ", ".join(f"{number} is `{classes[number]}`" for number in numbers[:SHOWN_AT_MOST])
    more = ", ..." if len(numbers) > SHOWN_AT_MOST else ""
    return [f"{test.source}: the labels are read as the model's class indices: {named}{more}."]


def number_labels(
    splits: Splits,
    names: Names | None,
    num_class: int | None = None,
    *,
    are_names: bool = False,
    multi_label: bool = False,
) -> Labels:
    """Find the classes of the lists, and the index of each label.

    A label that is the name of a class is that class, and then all labels are names, whatever they
    look like. Else labels are class indices if all of them are whole numbers, or else class names.
    With `names`, those are the classes; without, the names in natural order ("a2" before "a10"), or
    the numbers from 0 to the largest. Labels that differ only in what cannot be seen are one. Where
    there is a training list, each class must have a clip in it.

    Args:
        splits: the lists; those without labels count for nothing.
        names: class names that are given apart from the lists.
        num_class: the number of classes that the user gave, if so.
        are_names: take labels for names, even if they look like numbers.
        multi_label: labels are of several classes, joined by `;`.
    """
    labelled = _Labelled(splits, names, multi_label=multi_label)
    texts = {text for parts in labelled.parts.values() for text in parts}
    numbers = {text for text in texts if _WHOLE_NUMBER.fullmatch(text)}
    are_names = are_names or _are_class_names(texts, names)
    if not are_names and numbers and numbers != texts:
        return Labels((), False, {}, [_mixed(labelled, numbers), *_say_filled(labelled, names)])
    if are_names or not numbers:
        labels, problems = _by_name(labelled, texts, names)
    else:
        labels, problems = _by_number(labelled, texts, names, num_class)
    problems += _wrong_num_class(len(labels.classes), names, num_class)
    if not problems and "train" in labelled.splits:
        problems += _too_few_training_clips(labelled, labels, num_class)
    if problems:
        problems += _say_filled(labelled, names)
    index = labels.index
    if multi_label and not problems:
        index = {
            text: tuple(sorted(index[part] for part in parts))
            for text, parts in labelled.parts.items()
        }
    elif not problems:
        index = {**index, **{text: index[parts[0]] for text, parts in labelled.parts.items()}}
    return Labels(labels.classes, labels.named, index, problems, tuple(labelled.notes))


def _are_class_names(texts: set[str], names: Names | None) -> bool:
    """Whether labels are names of given classes, and not their indices."""
    if names is None or names[0] == tuple(map(str, range(len(names[0])))):
        return False  # where each name is its index, it is all the same
    return not texts.isdisjoint(names[0])


class _Labelled:
    """The lists that have labels, and what classes each label is of."""

    def __init__(self, splits: Splits, names: Names | None, *, multi_label: bool) -> None:
        self.splits = {name: split for name, split in splits.items() if split.labels is not None}
        texts = {text for split in self.splits.values() for text in set(split.labels)}
        parts = {text: parts_of(text) if multi_label else (text,) for text in texts}
        given = set(names[0]) if names else set()
        spelled, self.notes = _one_spelling({one for many in parts.values() for one in many}, given)
        self.parts = {
            text: tuple(dict.fromkeys(spelled.get(part, part) for part in many))
            for text, many in parts.items()
        }

    def used(self, name: str) -> set[str]:
        """Classes, as text, of the clips of a split."""
        return {part for text in set(self.splits[name].labels) for part in self.parts[text]}

    def first_places(self, wanted: set[str]) -> Iterator[tuple[str, str]]:
        """Give where each of the wanted classes is first, in the order of the lists."""
        wanted = set(wanted)
        holding = {text for text, parts in self.parts.items() if wanted.intersection(parts)}
        for split in self.splits.values():
            for index, text in enumerate(split.labels if wanted else ()):
                if text not in holding:
                    continue
                for part in self.parts[text]:
                    if part in wanted:
                        wanted.remove(part)
                        yield split.place(index), part


def _one_spelling(labels: set[str], names: set[str]) -> tuple[dict[str, str], list[str]]:
    """Give the spelling to use for labels that are spelled otherwise, and notes on that.

    Those are labels that differ only in what cannot be seen, and whole numbers written as 1.0.
    """
    floats = {label for label in labels if _WHOLE_FLOAT.fullmatch(label)} - names
    numbers = {label for label in labels if _WHOLE_NUMBER.fullmatch(label)}
    if floats and floats | numbers == labels:
        return {label: label.partition(".")[0] for label in floats}, []
    spelled, notes = {}, []
    alike: dict[str, list[str]] = {}
    for label in sorted(labels | names):
        alike.setdefault(as_seen(label), []).append(label)
    for seen, group in alike.items():
        others = [label for label in group if label not in names]
        known = [label for label in group if label in names] or [
            seen if seen in group else group[0]
        ]
        others = [label for label in others if label != known[0]]
        if not others or len(known) > 1:
            continue
        spelled.update(dict.fromkeys(others, known[0]))
        odd = ", ".join(f"`{ascii(label)[1:-1]}`" for label in others)
        notes.append(
            f"Labels that differ from `{known[0]}` only in characters that cannot be seen, or are "
            f"coded otherwise, are taken for it: {odd}."
        )
    return spelled, at_most(notes)


def _mixed(labelled: _Labelled, numbers: set[str]) -> str:
    places = labelled.first_places({text for parts in labelled.parts.values() for text in parts})
    first = next(places)
    odd = next(place for place in places if (place[1] in numbers) != (first[1] in numbers))
    kinds = ("a whole number", "a class name")
    odd_kind, first_kind = kinds if odd[1] in numbers else kinds[::-1]
    return (
        f"{odd[0]}: label `{odd[1]}` is {odd_kind}, but `{first[1]}` at {first[0]} is {first_kind};"
        " use only class indices or only class names, or list all of them as names in class_names."
    )


def _by_name(labelled: _Labelled, texts: set[str], names: Names | None) -> tuple[Labels, list[str]]:
    classes = names[0] if names else tuple(sorted(texts, key=_natural_order))
    index = {name: i for i, name in enumerate(classes)}
    problems = at_most(
        f"{place}: label `{text}` is not among the {len(classes)} classes of {names[1]}"
        f"{_nearest(text, classes)}."
        for place, text in labelled.first_places(texts - index.keys())
    )
    return Labels(classes, True, index, []), problems


def _by_number(
    labelled: _Labelled,
    texts: set[str],
    names: Names | None,
    num_class: int | None,
) -> tuple[Labels, list[str]]:
    index = {text: int(text) for text in texts}
    if names:
        count, reason = len(names[0]), f"{names[1]} has {_classes(len(names[0]))}, so "
    elif num_class:
        count, reason = num_class, f"num_class is {num_class}, so "
    else:
        count, reason = CLASSES_AT_MOST, ""
    problems = at_most(
        f"{place}: label {text} is out of range: {reason}labels go from 0 to {count - 1}."
        if reason
        else f"{place}: label {text} is no class index (0, 1, 2, ...)."
        for place, text in labelled.first_places(
            {text for text, label in index.items() if not 0 <= label < count}
        )
    )
    problems += _start_at_one(labelled, index, count, problems)
    if not names and not num_class:
        count = min(max(index.values()) + 1, CLASSES_AT_MOST)
    classes = names[0] if names else tuple(map(str, range(count)))
    return Labels(classes, names is not None, index, []), problems


def _start_at_one(
    labelled: _Labelled, index: Mapping[str, int], count: int, problems: Sequence[str]
) -> list[str]:
    """Say what to do where labels are from 1 to the number of classes."""
    used = set(index.values())
    of_train = (
        {index[text] for text in labelled.used("train")} if "train" in labelled.splits else used
    )
    if min(used) != 1 or of_train != set(range(1, max(used) + 1)):
        return []
    if not problems and count not in (max(used), CLASSES_AT_MOST):
        return []
    source = next(iter(labelled.splits.values())).source
    return [
        f"{source}: the labels go from 1 to {max(used)}, but class indices start at 0: subtract 1 "
        f"from each, or write class names instead{_AS_NAMES}."
    ]


_AS_NAMES = (
    "; labels of digits are names where class_names, a file with one name in a line, lists them"
)


def _classes(count: int) -> str:
    return counted(count, "class", "classes")


def _nearest(text: str, classes: Sequence[str]) -> str:
    plain = {name.casefold(): name for name in classes}
    near = difflib.get_close_matches(text.casefold(), plain, n=1)
    return f" (did you mean `{plain[near[0]]}`?)" if near else ""


def _natural_order(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]{1,18})", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _say_filled(labelled: _Labelled, names: Names | None) -> list[str]:
    """Say what to do where all clips to test have one label that is of no known class."""
    if "test" not in labelled.splits:
        return []
    test, used = labelled.splits["test"], labelled.used("test")
    known = labelled.used("train") if "train" in labelled.splits else set(names[0] if names else ())
    if len(used) > 1 or len(test) < 2 or not used.isdisjoint(known):
        return []
    return [
        f"{test.source}: the label of all {len(test)} clips is `{used.pop()}`; if that only fills "
        "the column, leave the labels out."
    ]


def _wrong_num_class(count: int, names: Names | None, num_class: int | None) -> list[str]:
    if num_class is None or count == num_class:
        return []
    found = f"{f'{names[1]} has' if names else 'the lists have'} {_classes(count)}"
    return [f"num_class is {num_class}, but {found}; set num_class: auto."]


def _too_few_training_clips(
    labelled: _Labelled, labels: Labels, num_class: int | None
) -> list[str]:
    source, count = labelled.splits["train"].source, len(labels.classes)
    if count < 2:
        return [
            f"{source}: all clips are of one class, `{labels.classes[0]}`; at least two classes "
            "are needed."
        ]
    used = {labels.index[text] for text in labelled.used("train")}
    if len(used) == count:
        return []
    missing = islice((i for i in range(count) if i not in used), SHOWN_AT_MOST)
    others = {text for text, label in labels.index.items() if label not in used}
    places = {labels.index[text]: place for place, text in labelled.first_places(others)}
    shown = ", ".join(
        f"`{labels.classes[i]}`" + (f" (in {places[i]})" if i in places else "") for i in missing
    )
    more = count - len(used) - SHOWN_AT_MOST
    hint = "" if num_class is None else f" Is num_class ({num_class}) right?"
    if not labels.named and num_class is None:
        hint = f" Labels that are whole numbers are class indices, from 0 on{_AS_NAMES}."
    known = {labels.classes[i].casefold(): labels.classes[i] for i in used}
    if meant := [name for i in places if (name := known.get(labels.classes[i].casefold()))]:
        shown_there = ", ".join(f"`{name}`" for name in sorted(meant))
        hint = f" Those for training differ only in case (capital letters): {shown_there}."
    return [
        f"{source}: {count - len(used)} of {count} classes have no clip for training: "
        f"{shown}{f' and {more} more' if more > 0 else ''}.{hint}"
    ]
