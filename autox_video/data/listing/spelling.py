"""Spellings of names that look the same: composed letters, characters that cannot be seen, case."""

import unicodedata
from urllib.parse import unquote

# Zs are spaces of any width; Cc and Cf have no width at all, as zero-width spaces and byte order
# marks. Variation selectors only choose how the character before them looks.
_WITHOUT_WIDTH = ("Cc", "Cf")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
# Letters of other alphabets that are drawn as Latin ones.
_DRAWN_ALIKE = str.maketrans(
    "АВЕЅЗІЈКМНОРСТУХаеѕіјорсухкмтΑΒΕΖΗΙΚΜΝΟΡΤΥΧονικ",
    "ABES3IJKMHOPCTYXaesijopcyxkmtABEZHIKMNOPTYXovik",
)


def as_seen(text: str) -> str:
    """Spell a name as a reader sees it: in NFC, one kind of space, nothing that is invisible."""
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
    """Spell a name so that those that are drawn alike are equal, whatever alphabet they are of."""
    return unicodedata.normalize("NFKC", as_seen(text)).translate(_DRAWN_ALIKE)


def spelled_out(text: str) -> str:
    """Return a name with all of its odd characters written as escapes, so that they can be seen."""
    return "".join(
        char if char == " " or (char.isprintable() and not char.isspace()) else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def file_key(path: str) -> str:
    """Spell a path so that those that mean the same file on other systems are equal.

    Backslashes are slashes, letters are in NFC and of one case, and %20 is a space.
    """
    path = path.replace("\\", "/")
    if "%" in path:
        path = unquote(path, errors="surrogateescape")
    return as_seen(path).casefold()


def folder_key(name: str) -> str:
    """Spell the name of a folder, or a label, so that those that mean the same class are equal."""
    return as_seen(name).replace("_", " ").casefold()
