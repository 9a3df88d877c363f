"""Atomic file writes: a crash leaves the old file or the new file, never a partial one."""

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autox_video.core.errors import ResourceError

_SUFFIX = ".autox-part"
_LEFTOVER = re.compile(rf"\.(.+)\.[a-z0-9_]{{8}}{re.escape(_SUFFIX)}")
_NO_FLUSH_OF_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces `path` when the `with` block ends.

    The temporary file is in the same folder; it is flushed to disk before it is renamed, and the
    folder is flushed afterwards. If the block raises an exception, `path` stays unchanged and the
    temporary file is removed.

    Raises:
        ResourceError: the folder is not writable, or the disk is full.
    """
    target = Path(path)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file_beside(target)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
        flush_folder(target.parent)
    except OSError as error:
        raise ResourceError(f"{target}: cannot be written ({error.strerror or error}).") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically as UTF-8; raises ResourceError like `atomic_write`.

    Non-UTF-8 bytes from Linux file names (surrogates in `text`) are written unchanged.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def sha256(path: str | Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal; raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON; NaN and infinity raise ValueError."""
    write_text(path, json_text(value, indent=1) + "\n")


def append_json_line(path: str | Path, value: Any) -> None:
    """Append a JSON object to `path` as a new line, even if the last line lacks its line break.

    The line is flushed to disk. If the line cannot be written completely, none of it is kept.

    Raises:
        ResourceError: the file is not writable, or the disk is full.
    """
    line = (json_text(value) + "\n").encode()
    try:
        with open(path, "ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                line = b"\n" + line
            try:
                _write_all(file.fileno(), line)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def remove_leftovers(folder: str | Path, names: Collection[str]) -> None:
    """Remove temporary files that interrupted calls to `atomic_write` left behind for these names.

    Call this function only while no other process is writing these files.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            match = _LEFTOVER.fullmatch(entry.name)
            if match and match[1] in names and entry.is_file(follow_symlinks=False):
                Path(entry).unlink()


# Characters to escape in addition to those that JSON escapes: terminal controls, line breaks,
# changes of text direction, and the surrogates that stand for undecodable bytes of file names.
_NOT_SHOWN = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON text in which control characters are escaped but non-ASCII letters are not."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _NOT_SHOWN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def user_cache(name: str) -> Path | None:
    """Return the folder `name` in $XDG_CACHE_HOME or ~/.cache; None if there is no home folder."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():
        try:
            folder = Path.home() / ".cache"
        except RuntimeError:
            return None
    return folder / "autox_video" / name


def flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk, if the file system supports flushing folders."""
    try:
        _flush_to_disk(folder)
    except OSError as error:
        if error.errno not in _NO_FLUSH_OF_FOLDERS:
            raise


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _new_file_beside(target: Path) -> Path:
    """Create an empty file in the folder of `target`, with permissions set by the process's umask.

    The operating system applies the umask, because a process can read its umask only by changing it
    briefly for all threads.
    """
    while True:
        path = target.parent / f".{target.name}.{secrets.token_hex(4)}{_SUFFIX}"
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
            return path
