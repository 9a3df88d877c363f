"""Find class names that probably mean the same class, or no class at all."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from autox_video.core.wording import at_most, counted
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.spelling import as_drawn, as_seen, spelled_out

RARE_SHARE = 0.25
"""A class may be a typo if it has at most this fraction of a similarly named class's clips."""

SHORTEST_TYPO = 4
"""Names shorter than this often legitimately differ by one letter."""

# Placeholders for "no label", mostly in test lists.
PLACEHOLDER = re.compile(
    r"-[0-9]+(\.0*)?|\?+|-+|none|null|n/?a|unknown|unlabell?ed|dummy|placeholder|tbd|todo",
    re.IGNORECASE,
)
_MAY_BE_A_CLASS = re.compile("none|unknown|na", re.IGNORECASE)
_DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]*[1-9]")
_JOINED = re.compile(r"\s*[,;|&+]\s*")
# Separators are ignored except between two digits, where they matter, as in 1.25 and 12.5.
_BETWEEN = re.compile(r"(?<![0-9 ._-])[ ._-]+|[ ._-]+(?![0-9 ._-])")
_JOINTS = re.compile(r"[,;/|+&]| and ")


def near_names(clips: Mapping[str, int]) -> list[str]:
    """Report, in one message per group, classes that are probably the same or not classes at all.

    Classes are probably the same if their names differ only in case, accents, spaces, hyphens,
    underscores, dots or characters that look alike. Classes whose names differ by one letter are
    probably the same if one class has at least four times as many clips as the other.

    Args:
        clips: number of clips per class name.
    """
    groups = list(_alike(list(clips)))
    named = {name for _, names in groups for name in names}
    sentences = [_differ_only_in(what, names, clips) for what, names in groups]
    sentences += _no_classes(clips)
    sentences += _joined(clips)
    sentences += _typos({name: count for name, count in clips.items() if name not in named})
    return at_most(sentences)


def _with_clips(name: str, clips: Mapping[str, int]) -> str:
    return f"`{name}` ({counted(clips[name], 'clip')})"


def _differ_only_in(what: str, names: Sequence[str], clips: Mapping[str, int]) -> str:
    listed = [f"`{spelled_out(name)}` ({counted(clips[name], 'clip')})" for name in names]
    joined = f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"Classes {joined} differ only in {what}: spell them alike if they are the same class."


def _no_classes(clips: Mapping[str, int]) -> Iterator[str]:
    """Report classes that look like a missing label, a number or several labels."""
    most = max(clips.values(), default=0)
    for name, count in clips.items():
        is_rare = count <= RARE_SHARE * most
        if PLACEHOLDER.fullmatch(name) and (is_rare or not _MAY_BE_A_CLASS.fullmatch(name)):
            yield (
                f"Class {_with_clips(name, clips)} looks like a placeholder: remove these clips "
                "from the list if they have no label."
            )
    if len(clips) > 1 and all(map(_DECIMAL.fullmatch, clips)):
        yield (
            f"The labels are decimal numbers, such as `{next(iter(clips))}`: each distinct value "
            "is a class of its own, and their order is not used."
        )
    if whole := _of_parts(clips):
        yield (
            f"Labels such as `{whole}` look like several classes but count as one: write "
            f"`{LABELS_JOINED_BY.join(_JOINED.split(whole))}` if the clip has several classes."
        )


def _of_parts(names: Iterable[str]) -> str | None:
    """If most names combine the same parts, return one of these combinations."""
    parts = {name: _JOINED.split(name) for name in names}
    joined = [name for name, of_name in parts.items() if len(of_name) > 1 and all(of_name)]
    counts = Counter(part for name in joined for part in set(parts[name]))
    again = sum(count > 1 for count in counts.values())
    is_likely = 2 * len(joined) > len(parts) and again > 1 and 2 * again >= len(counts)
    return joined[0] if is_likely else None


def _joined(clips: Mapping[str, int]) -> Iterator[str]:
    """Report classes whose names combine the names of other classes."""
    for name in clips:
        parts = [part.strip() for part in _JOINTS.split(name)]
        if len(parts) > 1 and all(part in clips for part in parts):
            yield (
                f"Class {_with_clips(name, clips)} seems to combine {' and '.join(parts)}: write "
                f"`{LABELS_JOINED_BY.join(parts)}` for clips with several classes."
            )


def _alike(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    # The most specific reason comes first, so that a group is not also reported for a broader one.
    kinds: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("invisible characters", as_seen),
        ("case", lambda name: as_seen(name).casefold()),
        ("letters that look alike", lambda name: as_drawn(name).casefold()),
        ("spaces, hyphens, underscores or dots", _letters),
        ("accents", _without_accents),
    )
    for what, key in kinds:
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(key(name), []).append(name)
        for shared, group in groups.items():
            if len(group) > 1 and shared:
                yield what, group
        names = [group[0] for group in groups.values()]


def _letters(name: str) -> str:
    return _BETWEEN.sub("", as_seen(name).casefold())


def _without_accents(name: str) -> str:
    split = unicodedata.normalize("NFD", _letters(name))
    return "".join(char for char in split if not unicodedata.combining(char))


def _typos(clips: Mapping[str, int]) -> Iterator[str]:
    """Report classes whose names are one typo apart."""
    plain = {name: as_seen(name).casefold() for name in clips}
    # Names one typo apart become equal if a letter is removed from one or both.
    shortened: dict[str, set[str]] = {}
    for name, text in plain.items():
        if len(text) >= SHORTEST_TYPO:
            for shorter in {text, *(text[:i] + text[i + 1 :] for i in range(len(text)))}:
                shortened.setdefault(shorter, set()).add(name)
    pairs = {pair for names in shortened.values() for pair in combinations(sorted(names), 2)}
    for pair in sorted(pairs):
        short, long = sorted((plain[name] for name in pair), key=len)
        rare, common = sorted(pair, key=clips.__getitem__)
        is_rare = len(long) > SHORTEST_TYPO and clips[rare] <= RARE_SHARE * clips[common]
        slip = _slip(short, long)
        if slip == "certain" or (slip == "likely" and is_rare):
            yield (
                f"Classes {_with_clips(rare, clips)} and {_with_clips(common, clips)} differ by "
                "one letter: is one of them a typo?"
            )


def _slip(short: str, long: str) -> str | None:
    """Return how likely it is that one name is a typo of the other: `certain`, `likely` or None.

    Swapped letters, a doubled letter or a plural s certainly indicate a typo; a different or
    missing letter probably does. Names that differ in a digit (class1, class2), in the first letter
    of a word (walk, talk; into, onto) or in the last letter (typea, typeb) are not typos.
    """
    pairs = enumerate(zip(short, long, strict=False))
    start = next((i for i, (a, b) in pairs if a != b), len(short))
    inside_word = start > 0 and long[start - 1].isalnum()
    if len(short) < len(long):
        more = long[start]
        if short[start:] != long[start + 1 :] or not more.isalpha():
            return None
        is_plural = start == len(short) and more == "s"
        certain = is_plural or more == long[start - 1]
        return "certain" if certain else "likely" if inside_word else None
    a, b = short[start : start + 2], long[start : start + 2]
    if len(a) < 2:
        return None
    if a == b[::-1] and short[start + 2 :] == long[start + 2 :]:
        return "certain" if a.isalpha() else None
    is_other = short[start + 1 :] == long[start + 1 :] and f"{a[0]}{b[0]}".isalpha()
    return "likely" if is_other and inside_word and a[1].isalpha() else None
