"""Refuse lists that name files outside data_root, unless `allow_outside` is set.

Paths are checked as written, without resolving links: links inside data_root may point anywhere,
since they were made by the owner of data_root.
"""

# A list may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH100, PTH118, PTH120

import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote

from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most
from autox_video.video.files.remote import is_remote

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/?#]*)(.*)", re.DOTALL)
_WEB = ("http", "https")
_FILE = "file://"


def refuse_outside(
    paths: Sequence[str], data_root: str | Path, location: Callable[[int], str], *, allowed: bool
) -> None:
    """Raise ListingError if any listed clip is outside data_root; the message names the first one.

    Args:
        paths: paths as listed.
        data_root: folder or URL of the clips.
        location: a function that returns the FILE:LINE at which the path with a given index is
            listed.
        allowed: value of `allow_outside` in the config.
    """
    outside = [] if allowed else find_outside(paths, data_root)
    if outside:
        sentence = (
            "{}: clip `{}` is outside data_root ({}); set `allow_outside: true` to allow clips "
            "anywhere."
        )
        raise ListingError(
            *at_most(
                outside, lambda index: sentence.format(location(index), paths[index], data_root)
            )
        )


def find_outside(paths: Sequence[str], data_root: str | Path) -> list[int]:
    """Return the indices of paths outside data_root."""
    # Only unusual paths are examined closely, since nearly all paths are plain names.
    if is_remote(data_root):
        is_outside = _beyond_address(str(data_root))
        odd = re.compile(r"\.\.|[:%\\]").search
        return [i for i, path in enumerate(paths) if odd(path) and is_outside(path)]
    is_outside = _beyond_folder(data_root)
    inside = os.path.join(os.path.abspath(data_root), "")
    return [
        i
        for i, path in enumerate(paths)
        if (
            ("../" in path or "://" in path or path[-2:] == "..")
            or (path[:1] == "/" and not path.startswith(inside))
        )
        and is_outside(path)
    ]


def _beyond_folder(data_root: str | Path) -> Callable[[str], bool]:
    root = os.path.abspath(data_root)
    inside, really_inside = os.path.join(root, ""), os.path.join(os.path.realpath(root), "")
    real_folder = cache(os.path.realpath)

    def is_outside(path: str) -> bool:
        if is_remote(path) and not path.startswith(_FILE):
            return True
        try:
            # The path is opened as written, and `link/..` may lead to another folder.
            opened = os.path.join(root, path)
            if path.startswith(_FILE):
                opened = os.path.abspath(path.removeprefix(_FILE))
            plain = os.path.normpath(opened)
            if ".." in path and real_folder(opened) != real_folder(plain):
                return True
            if f"{plain}/".startswith(inside):
                return False
            # The path may lead into data_root through a link to data_root or to a folder above it.
            folder = os.path.join(real_folder(os.path.dirname(plain)), "")
            return not folder.startswith(really_inside)
        except ValueError:  # a null byte: no such file can exist
            return False

    return is_outside


def _beyond_address(data_root: str) -> Callable[[str], bool]:
    root = _parts_of(data_root.rstrip("/"))
    is_web = root[0] in _WEB

    def is_outside(path: str) -> bool:
        is_address = is_remote(path)
        # `::` chains URLs, each of which is inside the next; web URLs escape `::` in file names.
        if "::" in path and (is_address or not is_web):
            return True
        # In a relative path, # and ? are part of the name.
        address = _parts_of(path) if is_address else (*root[:2], f"{root[2]}/{path}")
        prefix = _plain(root[2], is_web=is_web).rstrip("/") + "/"
        within = f"{_plain(address[2], is_web=is_web)}/".startswith(prefix)
        return address[:2] != root[:2] or not within

    return is_outside


def _plain(path: str, *, is_web: bool) -> str:
    """Return the normalised path of a URL."""
    # Servers and clients decode %2e as a dot.
    path = unquote(path) if is_web else path
    return "/" + normpath("/" + path.replace("\\", "/")).lstrip("/")


def _parts_of(address: str) -> tuple[str, str, str]:
    """Return the scheme, the host or bucket, and the path of a URL."""
    scheme, host, path = _ADDRESS.match(address).groups()
    if scheme.lower() in _WEB:
        path = re.split("[?#]", path, maxsplit=1)[0]
    return scheme.lower(), host, path
