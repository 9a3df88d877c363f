"""Format counts and shortened lists for messages."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

SHOWN_AT_MOST = 10


def at_most(
    items: Iterable[Any], sentence: Callable[[Any], str] = str, *, shown: int = SHOWN_AT_MOST
) -> list[str]:
    """Return a sentence for each of the first items, and one that counts the remaining items."""
    remaining = iter(items)
    sentences = [sentence(item) for item in islice(remaining, shown)]
    more = sum(1 for _ in remaining)
    return [*sentences, f"... and {more} more like these."] if more else sentences


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun, such as "1 clip" or "2 clips"."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
