"""Counts and long lists, as messages word them."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

SHOWN_AT_MOST = 10


def at_most(
    items: Iterable[Any], sentence: Callable[[Any], str] = str, *, shown: int = SHOWN_AT_MOST
) -> list[str]:
    """Make sentences of one kind, of the first items only, and say how many more there are."""
    remaining = iter(items)
    sentences = [sentence(item) for item in islice(remaining, shown)]
    more = sum(1 for _ in remaining)
    return [*sentences, f"... and {more} more like these."] if more else sentences


def counted(count: int, singular: str, plural: str = "") -> str:
    """Say how many: "1 clip", "2 clips"."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
