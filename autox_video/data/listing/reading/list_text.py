"""Read and decode the text of a list file, and recognise files of other types."""

import codecs
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.video.files.remote import RemoteFault, is_remote, read_bytes

_AS_CSV = "export it as CSV with the columns path and label"
# The first bytes of files of other types.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "an Excel or OpenDocument table, or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow (Feather) file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"%PDF", "a PDF"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"{\\rtf", "a text document (RTF)"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_MARKUP = re.compile(r"\s*<(\?xml|!DOCTYPE|[A-Za-z][\w:-]*[\s>/])", re.IGNORECASE)
_MARKUP_KINDS = (
    ("<html", "a web page (HTML)"),
    ("doctype html", "a web page (HTML)"),
    ("annotation_document", "an ELAN annotation (XML)"),
    ("<annotations", "a CVAT export (XML)"),
    ("anvil", "an ANVIL annotation (XML)"),
)
_YAML = re.compile(r"(---\s*$|%YAML|- ?[A-Za-z_]\w*:(\s|$)|[A-Za-z_]\w*:\s*$|- \S+\.\w+:\s*$)")
_YAML_MAP = re.compile(r"[^\s:][^:]*\.\w{2,4}['\"]?: +\S.*")
_UTF16_OR_32 = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path, kind: str = "list file") -> str:
    """Return the text of a list file, or of another `kind` of file, at a path or URL.

    The encoding is UTF-8, or UTF-16 or UTF-32 with a byte order mark. If lines end in `\\r` alone,
    each `\\r` becomes `\\n`.

    Raises:
        ListingError: the file cannot be read, is not text or has another type.
    """
    try:
        data = read_bytes(path) if is_remote(path) else Path(path).read_bytes()
        _refuse_other_kinds(data, path)
        text = _decode(data, path)
    except RemoteFault as fault:
        raise ListingError(f"{path}: {fault}.") from fault
    except FileNotFoundError as error:
        raise ListingError(f"{path}: there is no such {kind}.") from error
    except IsADirectoryError as error:
        raise ListingError(f"{path} is a folder, not a {kind}.") from error
    except OSError as error:
        raise ListingError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ListingError(f"{path}:{line}: this is not UTF-8 text; save it as UTF-8.") from error
    return text.replace("\r", "\n") if "\r" in text and "\n" not in text else text


def _refuse_other_kinds(data: bytes, path: str | Path) -> None:
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise ListingError(f"{path}: this is {what}, not a text file; {_AS_CSV}.")
    if _PICKLE.match(data):
        raise ListingError(
            f"{path}: this is a Python pickle, which is not read as it could run code; {_AS_CSV}."
        )
    if data.startswith(b"version https://git-lfs"):
        raise ListingError(f"{path}: this is a Git LFS pointer, not the list; run `git lfs pull`.")


def _decode(data: bytes, path: str | Path) -> str:
    for mark, encoding in _UTF16_OR_32:
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        if data[1::2].count(0) > len(data) // 4 or data[::2].count(0) > len(data) // 4:
            raise ListingError(f"{path}: this looks like UTF-16 text; save it as UTF-8.")
        raise ListingError(f"{path}:{line}: this is not text (it contains a null byte).")
    return data.decode("utf-8-sig").lstrip("\ufeff")


def refuse_markup(text: str, path: str | Path) -> None:
    """Raise ListingError if the text is XML, HTML or YAML."""
    head = text[:2000].lower()
    is_closed = any(sign in head for sign in ("<?xml", "<!doctype", "</", "/>"))
    if _MARKUP.match(text) and is_closed:
        what = next((name for sign, name in _MARKUP_KINDS if sign in head), "XML")
        raise ListingError(f"{path}: this is {what}, not a list of clips; {_AS_CSV}.")
    lines = [line for _, line in islice(numbered_lines(text), 20)]
    is_map = bool(lines) and all(map(_YAML_MAP.fullmatch, lines))
    starts = bool(lines) and _YAML.match(lines[0]) is not None
    if is_map or (starts and all(":" in line or line[0] == "-" for line in lines)):
        raise ListingError(f"{path}: this looks like YAML, not a list of clips; {_AS_CSV}.")


def read_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not valid JSON, or has a lone surrogate such as `"\\ud800"`.
    """
    try:
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is not blank, including comments."""
    # str.splitlines would also split names at characters such as U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line:
            yield number, line


def data_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is neither blank nor a comment (#)."""
    return ((number, line) for number, line in numbered_lines(text) if line[0] != "#")
