"""Read, list and download remote files (s3://, gs://, https://, ...) through fsspec."""

# A list may contain a million paths; as `Path` objects they would cost ten times as much.
# ruff: noqa: PTH118, PTH120

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from autox_video.core.errors import InstallError

# A scheme has at least two letters; a single letter is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "hf": "huggingface_hub",
}
_WEB = ("http", "https")
RETRY_AFTER_SEC = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds to wait before each retry after a broken connection, one minute in total."""

GIVEN_UP, RETRIES_THEN = 3, 3
"""After GIVEN_UP consecutive failed requests, a request is retried only RETRIES_THEN times."""

_CONNECT_SEC, _SILENCE_SEC = 30, 60
# Exceptions of these packages that are not OSErrors. Modules that are not loaded are skipped.
_FAULTS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("gcsfs.retry", "HttpError"),
    ("azure.core.exceptions", "AzureError"),
)
_Result = TypeVar("_Result")


class RemoteFault(Exception):  # noqa: N818 (callers turn it into an error with a location)
    """A URL cannot be read; the message is a clause with the reason and does not name the URL."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused
        """Whether the server answered that the file does not exist or that access is denied."""


def is_remote(place: str | os.PathLike) -> bool:
    """Return whether `place` is a URL rather than a local path."""
    return isinstance(place, str) and "://" in place and _SCHEME.match(place) is not None


def full_root(root: str) -> str:
    """Return the absolute path of a folder; a URL is returned unchanged."""
    return root if is_remote(root) else str(Path(root.removeprefix("file://")).absolute())


def join(root: str | os.PathLike, path: str) -> str:
    """Return the path or URL of a clip that is listed by an absolute or `root`-relative path."""
    if is_remote(path) or not is_remote(root):
        return path if is_remote(path) else os.path.join(root, path)
    # In a web URL, # and ? must be escaped; an existing % may be part of an escape sequence.
    name = quote(path, safe="/%") if _is_web(root) else path
    return f"{str(root).rstrip('/')}/{name}"


def _is_web(address: str | os.PathLike) -> bool:
    found = _SCHEME.match(str(address))
    return found is not None and found[1].lower() in _WEB


def sibling(place: str | os.PathLike, name: str) -> str:
    """Return the path or URL of the file `name` in the same folder as `place`."""
    if is_remote(place):
        return f"{str(place).rpartition('/')[0]}/{name}"
    return os.path.join(os.path.dirname(place), name)


def is_file(place: str | os.PathLike) -> bool:
    """Return whether a file exists at a path or URL.

    Raises:
        RemoteFault: the URL cannot be reached.
        InstallError: the package for this kind of URL is missing.
    """
    if not is_remote(place):
        return Path(place).is_file()
    files, path = filesystem(place)
    try:
        return _persist(lambda: files.info(path))["type"] == "file"
    except RemoteFault as fault:
        # Without list permission, a store denies access even to files that do not exist.
        if fault.refused:
            return False
        raise


def read_bytes(address: str) -> bytes:
    """Return the content of a remote file, without caching it.

    Raises:
        RemoteFault: the file cannot be read.
        InstallError: the package for this kind of URL is missing.
    """
    files, path = filesystem(address)
    return _persist(lambda: files.cat_file(path))


def find_files(address: str) -> Iterator[str]:
    """Yield the path of every file under a URL, relative to the URL.

    A web server is usable only if it provides folder listings. Links that lead out of the
    folder are ignored.

    Raises:
        RemoteFault: the URL cannot be listed.
        InstallError: the package for this kind of URL is missing.
    """
    files, path = filesystem(address)
    inside = path.rstrip("/") + "/"
    for found in _persist(lambda: files.find(path.rstrip("/") + "/")):
        name = found.removeprefix(inside)
        name = unquote(name) if _is_web(address) else name
        if found.startswith(inside) and ".." not in name.split("/"):
            yield name


def download(address: str, target: Path) -> None:
    """Download a file to `target`, which is overwritten; a truncated download is an error.

    Raises:
        RemoteFault: the file could not be downloaded despite several attempts.
        InstallError: the package for this kind of URL is missing.
    """
    files, path = filesystem(address)
    _persist(lambda: _download_once(files, path, target))


def _download_once(files: Any, path: str, target: Path) -> None:
    files.get_file(path, str(target))
    wanted, got = files.info(path).get("size"), target.stat().st_size
    if wanted is not None and got != wanted:
        raise ConnectionError(f"only {got} of {wanted} bytes were received")


def filesystem(address: str) -> tuple[Any, str]:
    """Return the fsspec file system for a URL, and the path to the file in that file system.

    Raises:
        InstallError: the package for this kind of URL is missing.
        RemoteFault: the scheme of the URL is not supported, or the server cannot be reached.
    """
    import fsspec

    scheme = _SCHEME.match(address)[1].lower()
    try:
        return fsspec.core.url_to_fs(address, **_options(scheme))
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        what = f"pip install {package}" if package else str(error)
        raise InstallError(f"{address}: {scheme}:// URLs need another package: {what}") from error
    except ValueError as error:
        raise RemoteFault(f"{scheme}:// URLs are not supported ({error})") from error
    except OSError as error:  # FTP connects here
        raise RemoteFault(_reason(error)) from error


def _options(scheme: str) -> dict[str, Any]:
    if scheme not in _WEB:
        return {}
    import aiohttp

    # By default, aiohttp aborts every download after five minutes.
    limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SEC, sock_read=_SILENCE_SEC)
    return {"client_kwargs": {"timeout": limit}}


class _Patience:
    """Decides how often to retry a request, based on whether earlier requests were answered."""

    def __init__(self) -> None:
        self._given_up = 0

    def waits(self) -> tuple[float | None, ...]:
        """Return the number of seconds to wait after each attempt; None after the last attempt."""
        retries = RETRIES_THEN if self._given_up >= GIVEN_UP else None
        return (*RETRY_AFTER_SEC[:retries], None)

    def note(self, *, is_answered: bool) -> None:
        """Record whether the server answered a request; a refusal also counts as an answer."""
        self._given_up = 0 if is_answered else self._given_up + 1


_patience = _Patience()


def _persist(action: Callable[[], _Result]) -> _Result:
    """Run a network operation, and retry it if the connection breaks."""
    for wait_sec in _patience.waits():
        try:
            result = action()
        except _faults() as error:
            real = _real(error)
            if wait_sec is None or _is_final(real):
                _patience.note(is_answered=_is_final(real))
                refused = _is_missing(real) or _is_denied(real)
                raise RemoteFault(_reason(real), refused=refused) from real
            time.sleep(wait_sec)
        else:
            _patience.note(is_answered=True)
            return result
    raise AssertionError("not reached")


def _faults() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), name) for module, name in _FAULTS)
    kinds = (getattr(module, name, None) for module, name in loaded if module is not None)
    return (OSError, TimeoutError, *(kind for kind in kinds if kind is not None))


def _real(error: Exception) -> Exception:
    # If the HTTP server closes the connection, fsspec wrongly reports that the file is missing.
    cause = error.__cause__
    of_web = type(cause).__module__.startswith("aiohttp")
    return cause if of_web and isinstance(error, FileNotFoundError) else error


def _is_final(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return True
    status = _status_of(error)
    return status is not None and 400 <= status < 500 and status not in (408, 429)


def _is_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or _status_of(error) in (404, 410)


def _is_denied(error: Exception) -> bool:
    return isinstance(error, PermissionError) or _status_of(error) in (401, 403)


def _status_of(error: Exception) -> int | None:
    status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _reason(error: Exception) -> str:
    status = _status_of(error)
    if _is_missing(error):
        return "there is no such file on the server"
    if _is_denied(error):
        return "access denied; check the credentials"
    if status is not None:
        return f"the server returned error {status}"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"it cannot be downloaded ({text[:200]})"
