"""Normalise names that differ only in Unicode form, invisible characters or case."""

import unicodedata
from urllib.parse import unquote

# Characters of categories Cc and Cf, such as zero-width spaces and byte order marks, have no width.
# Variation selectors change only the appearance of the character before them.
_WITHOUT_WIDTH = ("Cc", "Cf")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
# Letters from other alphabets that look like Latin letters.
_DRAWN_ALIKE = str.maketrans(
    "АВЕЅЗІЈКМНОРСТУХаеѕіјорсухкмтΑΒΕΖΗΙΚΜΝΟΡΤΥΧονικ",
    "ABES3IJKMHOPCTYXaesijopcyxkmtABEZHIKMNOPTYXovik",
)


def as_seen(text: str) -> str:
    """Return a name as readers see it: in NFC, with plain spaces and no invisible characters."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    shown = (
        " " if char.isspace() else char
        for char in unicodedata.normalize("NFC", text)
        if char.isspace() or not _has_no_width(char)
    )
    return " ".join("".join(shown).split())


def _has_no_width(char: str) -> bool:
    return unicodedata.category(char) in _WITHOUT_WIDTH or ord(char) in _VARIATION_SELECTORS


def as_drawn(text: str) -> str:
    """Return a key that is the same for names that look alike, even in different alphabets."""
    return unicodedata.normalize("NFKC", as_seen(text)).translate(_DRAWN_ALIKE)


def spelled_out(text: str) -> str:
    """Return a name with its invisible characters written as escapes."""
    return "".join(
        char if char == " " or (char.isprintable() and not char.isspace()) else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def file_key(path: str) -> str:
    """Return a key that is the same for paths that mean the same file on different systems.

    The key ignores case and Unicode normalisation. Backslashes become slashes, and %20 becomes a
    space.
    """
    path = path.replace("\\", "/")
    if "%" in path:
        path = unquote(path, errors="surrogateescape")
    return as_seen(path).casefold()


def folder_key(name: str) -> str:
    """Return a key that is the same for folders and labels that mean the same class."""
    return as_seen(name).replace("_", " ").casefold()
