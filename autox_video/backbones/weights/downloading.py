"""Download a file over HTTP: resumable, verified by checksum and locked between processes."""

import http.client
import math
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from autox_video.core.console import progress, say
from autox_video.core.durations import duration
from autox_video.core.errors import FetchError, ResourceError
from autox_video.core.files import atomic_write
from autox_video.core.files import sha256 as sha256_of

SILENCE_SEC = 30.0
"""Time, in seconds, without any data after which a connection counts as broken."""

WAITS_SEC = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waiting times, in seconds, between successive attempts that receive no data."""

SPARE_BYTES = 64 << 20
"""Disk space, in bytes, that must remain free after the download."""

_BLOCK = 1 << 20
_AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Download:
    """A file to download."""

    address: str
    target: Path
    """Path to the downloaded file; until completion, a partial file is kept in the same folder."""
    label: str
    """Name of the file to use in messages."""
    sha256: str = ""
    """Hexadecimal SHA-256 digest or its first digits; empty if unknown."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Additional request headers, such as a token; not sent to other servers after a redirect."""

    @property
    def partial(self) -> Path:
        """Path to the partial file."""
        return self.target.with_name(f".{self.target.name}.partial")

    @property
    def validator(self) -> Path:
        """Path to the file that stores the partial file's entity tag or modification date."""
        return self.target.with_name(f".{self.target.name}.tag")


class _Torn(Exception):  # noqa: N818 (never leaves this module)
    """Raised when a connection breaks; the message gives the reason."""


def download(wanted: Download, seconds: float | None = None) -> None:
    """Download a file, unless the target already exists.

    A partial file from an earlier call is completed. If another process is downloading the same
    file, this function waits for that process to finish.

    Args:
        wanted: the file.
        seconds: time limit; a partial file is kept for the next call.

    Raises:
        FetchError: the server does not have the file, the connection breaks repeatedly, the
            SHA-256 does not match, or the time limit is exceeded.
        ResourceError: the folder is not writable, or the disk is full.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds
    with _disk_errors(wanted.target):
        wanted.target.parent.mkdir(parents=True, exist_ok=True)
        with _only_process(wanted, end):
            if not wanted.target.is_file():
                _download_checked(wanted, end)


def _download_checked(wanted: Download, end: float) -> None:
    resumed = _size(wanted.partial) > 0
    _download_all(wanted, end)
    digest = sha256_of(wanted.partial)
    if not digest.startswith(wanted.sha256):
        _forget(wanted)
        if resumed:  # the file changed on the server since the first part was downloaded
            _download_checked(wanted, end)
            return
        raise FetchError(
            f"{wanted.address}: the downloaded file was removed, since its SHA-256 begins with "
            f"{digest[: max(8, len(wanted.sha256))]} instead of {wanted.sha256}. Try again later, "
            "or download the file from elsewhere."
        )
    with atomic_write(wanted.target) as temporary:
        os.replace(wanted.partial, temporary)
    _forget(wanted)


def _download_all(wanted: Download, end: float) -> None:
    """Complete the partial file, reconnecting whenever a connection breaks."""
    failures = 0
    while True:
        before = _size(wanted.partial)
        try:
            _download_rest(wanted, end)
            return
        except _Torn as torn:
            failures = 0 if _size(wanted.partial) > before else failures + 1
            if failures > len(WAITS_SEC):
                raise FetchError(
                    f"{wanted.address}: the download broke off ({torn}). What arrived is kept; "
                    "the next attempt continues from there."
                ) from torn
        pause = WAITS_SEC[max(failures - 1, 0)]
        _refuse_late(wanted, end - pause)
        time.sleep(pause)


def _download_rest(wanted: Download, end: float) -> None:
    """Append the missing bytes to the partial file, over a single connection."""
    have = _size(wanted.partial)
    tag = _read(wanted.validator)
    if have and not (tag or wanted.sha256):
        have = 0  # it is impossible to tell whether the rest belongs to it
    with _connection(wanted, have, tag, end) as response:
        if response is None:
            return
        start = have if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        if not start:
            _write(wanted.validator, _tag_of(response.headers))
        _refuse_full_disk(wanted, (total or 0) - start)
        with open(wanted.partial, "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            _copy(response, file.write, wanted, start, total, end)


def _copy(
    response: http.client.HTTPResponse,
    write: Callable[[bytes], object],
    wanted: Download,
    start: int,
    total: int | None,
    end: float,
) -> None:
    done = start
    with progress(f"Fetching {wanted.label}, MiB", _mib(total or start)) as show:
        while True:
            try:
                block = response.read1(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _Torn(_reason(error)) from error
            if not block:
                break
            write(block)
            done += len(block)
            show(_mib(done))
            _refuse_late(wanted, end)
    if total is not None and done < total:
        raise _Torn(f"only {_mib(done)} of {_mib(total)} MiB arrived")


@contextmanager
def _connection(
    wanted: Download, have: int, tag: str, end: float
) -> Iterator[http.client.HTTPResponse | None]:
    """Yield a response with all bytes or those from `have` onwards; None if already complete.

    Raises:
        FetchError: the server refuses the request.
        _Torn: the server cannot be reached or is overloaded.
    """
    headers = {"User-Agent": "autox-video", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": tag} if tag else {}
    request = urllib.request.Request(wanted.address, headers=headers)
    for name, value in wanted.headers.items():
        request.add_unredirected_header(name, value)
    timeout = min(SILENCE_SEC, max(end - time.monotonic(), 1.0))
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
                yield None
                return
            if error.code == 416:
                _forget(wanted)
            if error.code == 416 or error.code in _AGAIN:
                raise _Torn(f"the server returned error {error.code}") from error
            raise FetchError(f"{wanted.address}: {_refusal(error.code)}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Torn(_reason(error)) from error
    with response:
        if response.status == 206:
            begin = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if not begin:
                _forget(wanted)
                raise _Torn("the server sent another part of the file")
        yield response


@contextmanager
def _only_process(wanted: Download, end: float) -> Iterator[None]:
    """Hold a file's download lock, after waiting for any other process that holds the lock."""
    folder = wanted.target.parent / ".locks"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{wanted.target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Waiting for another process that is fetching {wanted.label}.")
        left = -1 if math.isinf(end) else max(end - time.monotonic(), 0)
        try:
            lock.acquire(timeout=left)
        except Timeout as error:
            raise FetchError(
                f"{wanted.address}: another process was still downloading the file when the time "
                "limit was reached."
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{target}: cannot be written ({error.strerror or error}); free some disk space, or "
            "set another cache folder."
        ) from error


def _refuse_full_disk(wanted: Download, missing: int) -> None:
    free = shutil.disk_usage(wanted.target.parent).free
    if free < missing + SPARE_BYTES:
        raise ResourceError(
            f"{wanted.target.parent}: {_mib(missing)} MiB are needed for {wanted.label}, but only "
            f"{_mib(free)} MiB of the disk are free; free some disk space, or set another cache "
            "folder."
        )


def _refuse_late(wanted: Download, end: float) -> None:
    if time.monotonic() > end:
        raise FetchError(
            f"{wanted.address}: not downloaded in time; {_mib(_size(wanted.partial))} MiB are "
            "kept, and the next attempt continues from there."
        )


def _tag_of(headers: http.client.HTTPMessage) -> str:
    """Return the value for an `If-Range` header; empty if the server sent no suitable header."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _refusal(status: int) -> str:
    if status in (404, 410):
        return "there is no such file on the server"
    if status in (401, 403):
        return "the server denies access"
    return f"the server returned error {status}"


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer for {duration(SILENCE_SEC)}"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())[:200]


def _forget(wanted: Download) -> None:
    for path in (wanted.partial, wanted.validator):
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")


def _mib(size: int) -> int:
    return round(size / 2**20)
