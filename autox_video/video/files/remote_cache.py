"""Download remote clips to a disk cache that removes the least recently used clips."""

import hashlib
import os
from pathlib import Path, PurePosixPath

from autox_video.config.settings import AUTO
from autox_video.core.disk_cache import DiskCache
from autox_video.core.errors import ResourceError, VideoError
from autox_video.core.files import atomic_write, user_cache
from autox_video.core.sized_folder import read_sized_folder, size_of
from autox_video.video.files.remote import RemoteFault, download, is_remote


def local_path(address: str | os.PathLike, remote_cache: str = AUTO) -> Path:
    """Return the local path to a clip, downloading a remote clip on first use.

    Several processes and threads may call this function at the same time. Remote clips are assumed
    never to change. The cache may remove the file when other clips are downloaded, so open it
    without delay.

    Args:
        address: a path, which is returned unchanged, or a URL such as s3://bucket/clip.mp4.
        remote_cache: value of the config key `remote_cache`, auto or DIR[:SIZE].

    Raises:
        VideoError: the clip does not exist or cannot be downloaded.
        ResourceError: the cache is not writable, or too small for the clip.
        InstallError: the package for this kind of URL is missing.
    """
    if not is_remote(address):
        return Path(address)
    if address.startswith("file://"):
        return Path(address.removeprefix("file://"))
    return RemoteCache(remote_cache).fetch(address)


class RemoteCache:
    """A cache folder for downloaded clips, which several processes may share."""

    def __init__(self, remote_cache: str) -> None:
        if remote_cache == AUTO:
            folder, max_bytes = user_cache("remote"), None
        else:
            folder, max_bytes = read_sized_folder(remote_cache)
        if folder is None:
            raise ResourceError(
                "remote_cache: there is no home folder for downloaded clips; set a folder."
            )
        self.files = DiskCache(Path(folder), max_bytes)

    def fetch(self, address: str) -> Path:
        """Return the path to the downloaded clip; raises the same errors as `local_path`."""
        path = self.path_of(address)
        if not self.files.touch(path):
            try:
                # Other processes that want this clip wait here and then find it.
                with self.files.lock(path.parent.name):
                    if not self.files.touch(path):
                        self._download(address, path)
            except OSError as error:
                raise ResourceError(
                    f"remote_cache: cannot write to {self.files.folder} "
                    f"({error.strerror or error})."
                ) from error
        return path

    def path_of(self, address: str) -> Path:
        """Return a clip's path in the cache; the suffix is kept because some decoders need it."""
        digest = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
        suffix = PurePosixPath(address.partition("?")[0]).suffix[:12]
        return self.files.folder / digest[:2] / f"{digest[2:34]}{suffix}"

    def _download(self, address: str, path: Path) -> None:
        with atomic_write(path) as temporary:
            try:
                download(address, temporary)
            except RemoteFault as fault:
                raise VideoError(f"{address}: {fault}.") from fault
            size = temporary.stat().st_size
            if not self.files.reserve(size) and size > (limit := self.files.limit(0, size)):
                raise ResourceError(
                    f"remote_cache: {address} takes {size_of(size)}, but {self.files.folder} is "
                    f"limited to {size_of(limit)}; set a larger size."
                )
