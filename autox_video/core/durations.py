"""Parse durations such as `1h30m`, and format durations as text such as `42 s`."""

import re

_UNITS_SEC = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "sec": 1.0}
_PART = r"(?:(\d{{1,9}}(?:\.\d{{1,6}})?)\s*({units})\s*)?"
_SPAN = re.compile(
    "".join(_PART.format(units=units) for units in ("d", "h", "min|m", "sec|s")), re.IGNORECASE
)


def read_duration(text: str) -> float:
    """Return the number of seconds in a duration such as `45m`, `1h30m`, `90s`, `1.5 h` or `2d`.

    Units are d, h, m (or min) and s (or sec), each used at most once, from largest to smallest.

    Raises:
        ValueError: the text is not a duration.
    """
    match = _SPAN.fullmatch(text.strip())
    parts = match.groups() if match else ()
    pairs = [(n, unit) for n, unit in zip(parts[::2], parts[1::2], strict=True) if n]
    if not pairs:
        raise ValueError("not a duration")
    return sum(float(number) * _UNITS_SEC[unit.lower()] for number, unit in pairs)


def duration(seconds: float) -> str:
    """Return a duration as text, such as `42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
