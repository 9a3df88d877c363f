"""Convert the text of labels to class indices, and report invalid labels."""

import difflib
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
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
"""If a test list has at least this many clips, and all have the same label, a note says so."""

_AS_NAMES = "; to use numbers as class names, list them in a class_names file, one name per line"


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of all lists, and the class index of each label."""

    classes: tuple[str, ...]
    named: bool
    index: dict[str, int] | dict[str, tuple[int, ...]]
    """Maps each label as written to its class index (to all its class indices if multi-label)."""
    problems: list[str]
    """Messages about invalid labels; if there are any, the other fields are meaningless."""
    notes: tuple[str, ...] = ()
    """Messages about how the labels were read."""


def has_joined_labels(splits: Splits, names: Names | None) -> bool:
    """Whether some labels seem to consist of several classes, written as `one;other`.

    A label counts as several classes if its parts are all numbers, or all classes in `names`. If
    there are no `names`, it is enough for one part to occur in another label too.
    """
    texts = {text for clips in splits.values() for text in set(clips.labels or ())}
    parts = {text: parts_of(text) for text in texts}
    joined = [text for text in texts if LABELS_JOINED_BY in text and len(parts[text]) > 1]
    if any(all(map(_WHOLE_NUMBER.fullmatch, parts[text])) for text in joined):
        return True
    if names:
        known = set(names[0])
        return any(known.issuperset(parts[text]) for text in joined if text not in known)
    counts = Counter(part for text in texts for part in parts[text])
    return any(counts[part] > 1 for text in joined for part in parts[text])


def drop_placeholders(test: ClipTable, classes: Container[str]) -> tuple[ClipTable, list[str]]:
    """Return the test clips, without their labels if these are placeholders, and notes.

    A label that is also in `classes` is not a placeholder.
    """
    labels = set(test.labels or ())
    if len(labels) != 1 or test.lines is None:
        return test, []
    (label,) = labels
    if PLACEHOLDER.fullmatch(label) and label not in classes:
        count = counted(len(test), "clip")
        note = f"{test.source}: all {count} have the placeholder label `{label}`, which is ignored."
        return replace(test, labels=None), [note]
    if len(test) < _MANY_OF_ONE_CLASS:
        return test, []
    return test, [
        f"{test.source}: all {len(test)} clips have the label `{label}`. If it is a placeholder, "
        "remove the labels; otherwise the test metrics are meaningless."
    ]


def say_indices(test: ClipTable, classes: Sequence[str]) -> list[str]:
    """If the test labels are class indices, report which classes they stand for."""
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
    """Return the classes of the lists and the index of each label.

    If any label is in `names`, all labels are taken as class names. Otherwise, the labels are taken
    as class indices if all of them are integers, and as class names if none is. The classes are
    `names` if given; otherwise they are the class names in natural order ("a2" before "a10") or the
    numbers from 0 to the largest index. Labels that differ only in invisible characters are treated
    as the same. If there is a training list, it must contain a clip of every class.

    Args:
        splits: the lists; lists without labels are ignored.
        names: class names given separately from the lists.
        num_class: the number of classes in the config, if given.
        are_names: whether to treat labels as names even if they look like numbers.
        multi_label: whether a label may consist of several classes, joined by `;`.
    """
    return _Numbering(splits, names, num_class, multi_label=multi_label).labels(are_names)


class _Numbering:
    """The labelled lists, and the classes that each label consists of."""

    def __init__(
        self, splits: Splits, names: Names | None, num_class: int | None, *, multi_label: bool
    ) -> None:
        self.splits = {name: clips for name, clips in splits.items() if clips.labels is not None}
        self.names, self.num_class, self.multi_label = names, num_class, multi_label
        texts = {text for clips in self.splits.values() for text in set(clips.labels)}
        parts = {text: parts_of(text) if multi_label else (text,) for text in texts}
        written = {part for many in parts.values() for part in many}
        spelled, self.notes = _one_spelling(written, set(names[0]) if names else set())
        self.parts = {
            text: tuple(dict.fromkeys(spelled.get(part, part) for part in many))
            for text, many in parts.items()
        }
        self.texts = {part for many in self.parts.values() for part in many}
        self.numbers = {text for text in self.texts if _WHOLE_NUMBER.fullmatch(text)}

    def labels(self, are_names: bool) -> Labels:
        """Convert the labels to class indices; see `number_labels`."""
        are_names = are_names or self._are_class_names()
        if not are_names and self.numbers and self.numbers != self.texts:
            return Labels((), False, {}, [self._mixed(), *self._say_filled()])
        by_name = are_names or not self.numbers
        classes, index, problems = self._by_name() if by_name else self._by_number()
        named = by_name or self.names is not None
        if self.num_class not in (None, len(classes)):
            having = f"{self.names[1]} has" if self.names else "the lists have"
            problems.append(
                f"num_class is {self.num_class}, but {having} {_classes(len(classes))}; set "
                "num_class: auto."
            )
        if not problems and "train" in self.splits:
            problems = self._too_few_training_clips(classes, index, named=named)
        if problems:
            return Labels(classes, named, index, [*problems, *self._say_filled()])
        of_labels = {
            text: tuple(sorted(index[part] for part in parts))
            if self.multi_label
            else index[parts[0]]
            for text, parts in self.parts.items()
        }
        return Labels(classes, named, of_labels, [], tuple(self.notes))

    def _are_class_names(self) -> bool:
        """Whether the labels are class names rather than indices."""
        if self.names is None or self.names[0] == tuple(map(str, range(len(self.names[0])))):
            return False  # each name equals its index, so it makes no difference
        return not self.texts.isdisjoint(self.names[0])

    def _used(self, split: str) -> set[str]:
        """Return the classes of a split's clips, as text."""
        return {part for text in set(self.splits[split].labels) for part in self.parts[text]}

    def _first_locations(self, wanted: set[str]) -> Iterator[tuple[str, str]]:
        """Yield where each class in `wanted` first occurs, in the order of the lists."""
        wanted = set(wanted)
        holding = {text for text, parts in self.parts.items() if wanted.intersection(parts)}
        for clips in self.splits.values():
            for row, text in enumerate(clips.labels if wanted else ()):
                for part in self.parts[text] if text in holding else ():
                    if part in wanted:
                        wanted.remove(part)
                        yield clips.location(row), part

    def _mixed(self) -> str:
        locations = self._first_locations(self.texts)
        location, text = next(locations)
        odd_location, odd = next(
            pair for pair in locations if (pair[1] in self.numbers) != (text in self.numbers)
        )
        kinds = ("an integer", "a class name")
        odd_kind, kind = kinds if odd in self.numbers else kinds[::-1]
        return (
            f"{odd_location}: label `{odd}` is {odd_kind}, but `{text}` at {location} is {kind}; "
            "use only class indices or only class names, or list all of them in a class_names file."
        )

    def _by_name(self) -> tuple[tuple[str, ...], dict[str, int], list[str]]:
        classes = self.names[0] if self.names else tuple(sorted(self.texts, key=_natural_order))
        index = {name: i for i, name in enumerate(classes)}
        problems = at_most(
            f"{location}: label `{text}` is not among the {len(classes)} classes in {self.names[1]}"
            f"{_nearest(text, classes)}."
            for location, text in self._first_locations(self.texts - index.keys())
        )
        return classes, index, problems

    def _by_number(self) -> tuple[tuple[str, ...], dict[str, int], list[str]]:
        index = {text: int(text) for text in self.texts}
        count = self.num_class or CLASSES_AT_MOST
        wrong = "label {} is not a class index (0, 1, 2, ...)."
        if self.names or self.num_class:
            limit = f"num_class is {count}"
            if self.names:
                count = len(self.names[0])
                limit = f"{self.names[1]} has {_classes(count)}"
            wrong = f"label {{}} is out of range: {limit}, so labels go from 0 to {count - 1}."
        outside = {text for text, number in index.items() if not 0 <= number < count}
        locations = self._first_locations(outside)
        problems = at_most(f"{location}: {wrong.format(text)}" for location, text in locations)
        problems += self._start_at_one(index, count, is_wrong=bool(problems))
        if self.names:
            return self.names[0], index, problems
        if not self.num_class:
            count = min(max(index.values()) + 1, CLASSES_AT_MOST)
        return tuple(map(str, range(count))), index, problems

    def _start_at_one(self, index: dict[str, int], count: int, *, is_wrong: bool) -> list[str]:
        """Return advice for labels that run from 1 to the number of classes."""
        texts = self._used("train") if "train" in self.splits else self.texts
        last = max(index.values())
        if min(index.values()) != 1 or {index[text] for text in texts} != set(range(1, last + 1)):
            return []
        if not is_wrong and count not in (last, CLASSES_AT_MOST):
            return []
        source = next(iter(self.splits.values())).source
        return [
            f"{source}: the labels go from 1 to {last}, but class indices start at 0: subtract 1 "
            f"from each, or write class names instead{_AS_NAMES}."
        ]

    def _say_filled(self) -> list[str]:
        """Return advice for a test list in which all clips have the same unknown label."""
        if "test" not in self.splits:
            return []
        test, used = self.splits["test"], self._used("test")
        known = set(self.names[0] if self.names else ())
        known = self._used("train") if "train" in self.splits else known
        if len(used) > 1 or len(test) < 2 or not used.isdisjoint(known):
            return []
        return [
            f"{test.source}: all {len(test)} clips have the label `{used.pop()}`; if it is a "
            "placeholder, remove the labels."
        ]

    def _too_few_training_clips(
        self, classes: Sequence[str], index: dict[str, int], *, named: bool
    ) -> list[str]:
        source = self.splits["train"].source
        # Segments of one class can be told from the rest of their videos (localisation).
        if len(classes) < 2 and self.splits["train"].segments is None:
            return [
                f"{source}: all clips are of the class `{classes[0]}`; at least two classes are "
                "needed."
            ]
        used = {index[text] for text in self._used("train")}
        unused = (i for i in range(len(classes)) if i not in used)
        missing = list(islice(unused, SHOWN_AT_MOST))
        if not missing:
            return []
        elsewhere = {text for text, number in index.items() if number not in used}
        locations = {index[text]: location for location, text in self._first_locations(elsewhere)}
        shown = ", ".join(
            f"`{classes[i]}`" + (f" (in {locations[i]})" if i in locations else "") for i in missing
        )
        count = len(classes) - len(used)
        if count > SHOWN_AT_MOST:
            shown += f" and {count - SHOWN_AT_MOST} more"
        hint = "" if self.num_class is None else f" Is num_class ({self.num_class}) right?"
        if not named and self.num_class is None:
            hint = f" Integer labels are class indices, starting at 0{_AS_NAMES}."
        known = {classes[i].casefold(): classes[i] for i in used}
        if meant := sorted({classes[i].casefold() for i in locations} & known.keys()):
            names = ", ".join(f"`{name}`" for name in sorted(known[text] for text in meant))
            hint = f" These training classes differ only in case: {names}."
        return [
            f"{source}: {count} of {len(classes)} classes have no training clips: {shown}.{hint}"
        ]


def _one_spelling(labels: set[str], names: set[str]) -> tuple[dict[str, str], list[str]]:
    """Return the spelling to use for each variant of a label, and notes on the variants.

    Variants differ only in invisible characters, or in whether an integer is written as 1 or 1.0.
    """
    floats = {label for label in labels if _WHOLE_FLOAT.fullmatch(label)} - names
    if floats and all(map(_WHOLE_NUMBER.fullmatch, labels - floats)):
        return {label: label.partition(".")[0] for label in floats}, []
    alike: dict[str, list[str]] = {}
    for label in sorted(labels | names):
        alike.setdefault(as_seen(label), []).append(label)
    spelled, notes = {}, []
    for seen, group in alike.items():
        known = [label for label in group if label in names]
        known = known or [seen if seen in group else group[0]]
        others = [label for label in group if label not in names and label != known[0]]
        if not others or len(known) > 1:
            continue
        spelled.update(dict.fromkeys(others, known[0]))
        odd = ", ".join(f"`{ascii(label)[1:-1]}`" for label in others)
        notes.append(
            f"Labels that differ from `{known[0]}` only in invisible characters or Unicode "
            f"normalisation are treated as the same: {odd}."
        )
    return spelled, at_most(notes)


def _classes(count: int) -> str:
    return counted(count, "class", "classes")


def _nearest(text: str, classes: Sequence[str]) -> str:
    plain = {name.casefold(): name for name in classes}
    near = difflib.get_close_matches(text.casefold(), plain, n=1)
    return f" (did you mean `{plain[near[0]]}`?)" if near else ""


def _natural_order(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]{1,18})", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
