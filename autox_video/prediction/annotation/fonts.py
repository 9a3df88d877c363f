"""Find a font that has the letters of a text, whatever its script."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import ImageFont, features

DEFAULT_FONT = "DejaVuSans.ttf"
"""Font that matplotlib contains: Latin, Greek, Cyrillic, Hebrew, Arabic and others, but not CJK."""
_STYLES = ("bold", "italic", "oblique", "light", "thin", "black", "medium", "condensed", "mono")


def font_of(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """Return a font that can draw a text; None if no font on this machine has all its letters.

    The default font is preferred, then upright fonts of normal weight.

    Args:
        text: the text to draw; without control characters.
        size: size of the font in pixels.
    """
    letters = {ord(letter) for letter in text if unicodedata.category(letter) != "Cf"}
    if _is_complex(text) and not features.check("raqm"):
        return None
    for path in _font_files():
        if letters <= _letters_of(path):
            return ImageFont.truetype(path, size)
    return None


def _is_complex(text: str) -> bool:
    """Return whether letters of a text are joined, moved, or written from right to left."""
    return any(
        unicodedata.bidirectional(letter) in ("R", "AL") or unicodedata.category(letter)[0] == "M"
        for letter in text
    )


def _font_files() -> Iterator[str]:
    import matplotlib

    yield str(Path(matplotlib.get_data_path(), "fonts", "ttf", DEFAULT_FONT))
    yield from _system_fonts()


@cache
def _system_fonts() -> tuple[str, ...]:
    """Return the paths of the fonts on this machine, upright fonts of normal weight first."""
    from matplotlib.font_manager import findSystemFonts

    paths = ((any(s in Path(p).name.lower() for s in _STYLES), p) for p in findSystemFonts())
    return tuple(path for _, path in sorted(paths))


@cache
def _letters_of(path: str) -> frozenset[int]:
    """Return the code points that a font has; none if it cannot be drawn at any size."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        ImageFont.truetype(path, 12)
    except (RuntimeError, OSError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
