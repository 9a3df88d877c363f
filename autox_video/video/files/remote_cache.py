"""Remote clips on this machine's disk: fetched when first opened, the least used ones removed."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autox_video.config.settings import AUTO
from autox_video.core.errors import ResourceError, VideoError
from autox_video.core.files import atomic_write
from autox_video.core.sized_folder import read_sized_folder, size_of
from autox_video.video.files.remote import RemoteFault, download, is_remote

FILLED_TO = 0.9
"""What part of the bound is kept when clips must go, so that not every fetch removes one."""

_TORN_AFTER_SEC = 86400  # a part of a download that is as old as this is nobody's any more


def local_path(address: str | os.PathLike, remote_cache: str = AUTO) -> Path:
    """Give a file of this machine with the content of a clip; remote ones are fetched once.

    Safe to call from several processes and threads. A clip at an address is taken never to change.
    The file may be removed again once others were asked for, so open it soon.

    Args:
        address: a path, which comes back as it is, or an address such as s3://bucket/clip.mp4.
        remote_cache: the config's key.

    Raises:
        VideoError: there is no such clip, or it cannot be fetched.
        ResourceError: the cache cannot be written, or is too small for the clip.
        InstallError: a package for such addresses is missing.
    """
    if not is_remote(address):
        return Path(address)
    if address.startswith("file://"):
        return Path(address.removeprefix("file://"))
    return RemoteCache.of(remote_cache).fetch(address)


@dataclass(frozen=True, slots=True)
class RemoteCache:
    """A folder of fetched clips, which several processes may use at once."""

    folder: Path
    limit_bytes: int | None
    """What the clips may take together; None: half of what the disk has free but for them."""

    @classmethod
    def of(cls, setting: str) -> "RemoteCache":
        """Read the key `remote_cache`: auto or DIR[:SIZE]."""
        if setting == AUTO:
            return cls(_default_folder(), None)
        folder, limit_bytes = read_sized_folder(setting)
        return cls(Path(folder), limit_bytes)

    def fetch(self, address: str) -> Path:
        """Give the file of a clip, downloaded where it is not there; errors as `local_path`."""
        place = self.place_of(address)
        if not _use(place):
            # Whoever else wants this clip waits here and finds it.
            with self._lock(place.parent.name):
                if not _use(place):
                    self._download(address, place)
        return place

    def place_of(self, address: str) -> Path:
        """Give where a clip is kept; its suffix stays, as some decoders go by it."""
        digest = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
        suffix = PurePosixPath(address.partition("?")[0]).suffix[:12]
        return self.folder / digest[:2] / f"{digest[2:34]}{suffix}"

    def _download(self, address: str, place: Path) -> None:
        try:
            with atomic_write(place) as temporary:
                download(address, temporary)
                self._make_room(temporary.stat().st_size, address)
        except RemoteFault as fault:
            raise VideoError(f"{address}: {fault}.") from fault

    def _make_room(self, size_bytes: int, address: str) -> None:
        with self._lock("usage"):
            record = self.folder / ".usage"
            used = _recorded(record)
            if used is None or self._limit(used, size_bytes) < used + size_bytes:
                used = self._remove_least_used(size_bytes, address)
            record.write_text(str(used + size_bytes))

    def _limit(self, used_bytes: int, new_bytes: int) -> int:
        """The bound, now that the disk holds clips and a new one that does not count yet."""
        if self.limit_bytes is not None:
            return self.limit_bytes
        return (used_bytes + new_bytes + shutil.disk_usage(self.folder).free) // 2

    def _remove_least_used(self, size_bytes: int, address: str) -> int:
        """Remove clips until `size_bytes` more fit; gives what the others take."""
        clips = sorted(self._clips())
        used = sum(size for _, size, _ in clips)
        limit = self._limit(used, size_bytes)
        if size_bytes > limit:
            raise ResourceError(
                f"remote_cache: {address} takes {size_of(size_bytes)}, but {self.folder} may hold "
                f"{size_of(limit)}; give a larger one."
            )
        if used + size_bytes <= limit:
            return used
        for _, size, clip in clips:
            if used + size_bytes <= limit * FILLED_TO:
                break
            clip.unlink(missing_ok=True)
            used -= size
        return max(used, 0)

    def _clips(self) -> Iterator[tuple[int, int, Path]]:
        """Give the time of last use, size and path of each clip; drop what crashes have left."""
        for path in self.folder.glob("??/*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if not path.name.startswith("."):
                yield status.st_atime_ns, status.st_size, path
            elif status.st_mtime < time.time() - _TORN_AFTER_SEC:
                path.unlink(missing_ok=True)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        try:
            folder = self.folder / ".locks"
            folder.mkdir(parents=True, exist_ok=True)
            file = open(folder / name, "a")  # noqa: SIM115 (closed below)
        except OSError as error:
            message = f"remote_cache: {self.folder} cannot be written ({error.strerror or error})."
            raise ResourceError(message) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _default_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():
        folder = Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111 (raises nothing)
    return folder / "autox_video" / "remote"


def _use(place: Path) -> bool:
    """Note that a clip is used now; whether it is there."""
    try:
        changed_ns = place.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return False
    # The time of change stays: whoever remembers facts of the file goes by it. Where the file is
    # another user's or just gone, the next one to need room sees an older use.
    with suppress(PermissionError, FileNotFoundError):
        os.utime(place, ns=(time.time_ns(), changed_ns))
    return place.exists()


def _recorded(record: Path) -> int | None:
    try:
        return int(record.read_text())
    except (FileNotFoundError, ValueError):
        return None
