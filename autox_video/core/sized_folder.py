"""Parse config values of the form `DIR` or `DIR:SIZE`: a folder with an optional size limit."""

import re

_SIZE = re.compile(r"(.+):([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([KMGT])(?:i?B)?", re.IGNORECASE)
_SIZE_LIKE = re.compile(r".*:[^/]*")
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def read_sized_folder(text: str) -> tuple[str, int | None]:
    """Return the folder and its size limit in bytes; the limit is None if no size is given.

    A size is a number followed by K, M, G or T (`/fast/cache:200G`), in powers of 1024.

    Raises:
        ValueError: the text after the colon is not a size, or the size is 0.
    """
    match = _SIZE.fullmatch(text)
    if match:
        size_bytes = int(float(match[2]) * _BYTES[match[3].upper()])
        if size_bytes < 1:
            raise ValueError("a size of 0")
        return match[1], size_bytes
    if _SIZE_LIKE.fullmatch(text):
        raise ValueError("not a size")
    return text, None


def size_of(size_bytes: int) -> str:
    """Return a number of bytes as text, such as "1.5 GiB"."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
