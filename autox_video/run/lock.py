"""One run at a time in a work dir: WORK_DIR/run.lock says which process trains there.

The owner holds a `flock` on the file, which the system gives back however the owner ends. Where a
lock does not reach from one machine to another (some network file systems), and where there are no
locks at all, the file's time of change stands in: a thread of the owner renews it twice a minute.
"""

import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from autox_video.core.console import say
from autox_video.core.errors import ResourceError
from autox_video.run.work_dir import LOCK

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LONGEST_CONTENT = 4096


@dataclass(frozen=True, slots=True)
class Times:
    """How long what takes, in seconds."""

    heartbeat: float = 30.0
    """Between two signs of life of an owner."""
    silence: float = 120.0
    """Without a sign of life after which an owner on another machine counts as dead."""
    patience: float = 10.0
    """For the data workers of a dead owner, which end a moment after it."""
    grace: float = 1.0
    """For an owner that is about to end, or was killed just now."""
    pause: float = 0.1
    """Between two tries."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock, as its file says."""

    pid: int
    host: str
    boot: str
    """The machine's start: two containers of one machine have it in common, whatever their name."""
    started: str
    """When it began, as local date and time."""

    def lives_elsewhere(self) -> bool:
        """Whether it is of another machine, or of this one before it was started anew."""
        return self.boot != _boot()

    def is_gone(self) -> bool:
        """Whether it is of this very system, and its process has ended."""
        here = self.boot == _boot() and self.host == socket.gethostname()
        return here and not _is_alive(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@contextmanager
def own(work_dir: str | Path, *, times: Times | None = None) -> Iterator[None]:
    """Keep every other run out of a folder, which must be there, until the block ends.

    Raises:
        ResourceError: another run is in the folder, or the lock file cannot be used.
    """
    times = times or Times()
    path = Path(work_dir, LOCK)
    handle = _acquire(path, times)
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(handle, over, times.heartbeat), daemon=True)
    try:
        heart.start()
        yield
    finally:
        over.set()
        heart.join()
        _release(path, handle)


def _acquire(path: Path, times: Times) -> int:
    """Give the open, locked lock file with our name in it."""
    began = time.monotonic()
    while True:
        handle = _open(path)
        owned = False
        try:
            owned = _try_to_own(handle, path, times, waited=time.monotonic() - began)
        finally:
            if not owned:
                os.close(handle)
        if owned:
            return handle
        time.sleep(times.pause)


def _open(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise ResourceError(
            f"{path}: the lock of the run cannot be opened ({error.strerror}); remove it if no "
            "run is in this folder, or give another work_dir."
        ) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ResourceError(f"{path}: is not a file; remove it, or give another work_dir.")
    return handle


def _try_to_own(handle: int, path: Path, times: Times, *, waited: float) -> bool:
    """Lock the file and write our name into it; False: try again in a moment.

    Raises:
        ResourceError: another run holds it.
    """
    locks = _lock(handle)
    owner = _read(handle)
    if locks is False:
        gone = owner is None or owner.is_gone()
        if waited < (times.patience if gone else times.grace):
            return False
        raise ResourceError(_refusal(path, owner))
    if not _is_still_there(handle, path):
        return False  # its owner has just ended, and took the file with it
    if owner is not None and (owner.lives_elsewhere() or (locks is None and not owner.is_gone())):
        if not _is_silent(handle, path, times):
            raise ResourceError(_refusal(path, owner))
        if not _is_still_there(handle, path):
            return False
        say(f"{path}: {owner}, gives no sign of life any more; this run takes over.")
    _write(handle, path)
    return locks is not None or _has_won(handle, times)


def _lock(handle: int) -> bool | None:
    """Try to lock; False: another process holds it, None: this file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno in NO_LOCKS:
            return None
        raise ResourceError(f"{LOCK}: cannot be locked ({error.strerror}).") from error
    return True


def _is_still_there(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _is_silent(handle: int, path: Path, times: Times) -> bool:
    """Wait for a sign of life, as long as one is to be expected; True if none came."""
    first = os.fstat(handle)
    age = _file_system_now(path) - first.st_mtime
    left = times.silence - max(age, 0.0)
    if left > 0:
        say(f"{path}: another machine may be training here; waiting up to {left:.0f} s to see.")
    end = time.monotonic() + left
    while time.monotonic() < end:
        time.sleep(min(times.pause, max(end - time.monotonic(), 0.0)))
        # Opened anew, since network file systems remember what an open file was like.
        try:
            if path.stat().st_mtime_ns != first.st_mtime_ns:
                return False
        except FileNotFoundError:
            return True
    return True


def _file_system_now(path: Path) -> float:
    """The time by the clock that stamps files there, which need not be this machine's."""
    probe = path.with_name(f".{path.name}.{os.getpid()}.now")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        os.utime(probe)
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


def _has_won(handle: int, times: Times) -> bool:
    """Without locks, the last to write its name is the owner: whether that is this process."""
    time.sleep(5 * times.pause)
    owner = _read(handle)
    return owner is not None and owner.pid == os.getpid() and not owner.lives_elsewhere()


def _refusal(path: Path, owner: Owner | None) -> str:
    folder = path.parent
    if owner is None:
        return (
            f"work_dir: another process holds {path}, though that does not say which. Wait until "
            "it has ended, or give another work_dir."
        )
    if owner.is_gone():
        return (
            f"work_dir: {folder} was trained in by {owner}. That has ended, but a process which "
            f"it started still holds {path}; end that one, or give another work_dir."
        )
    return (
        f"work_dir: {folder} is being trained in by {owner}. Wait until that has ended, or stop "
        f"it (kill {owner.pid}, on {owner.host}), or give another work_dir. If you know that it is "
        f"dead, remove {path}."
    )


def _read(handle: int) -> Owner | None:
    """Who the file names; None where it is empty or damaged."""
    try:
        content = json.loads(os.pread(handle, _LONGEST_CONTENT, 0))
        owner = Owner(**{key: content[key] for key in ("pid", "host", "boot", "started")})
        owner = Owner(int(owner.pid), str(owner.host), str(owner.boot), str(owner.started))
        return owner if owner.pid > 0 else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _write(handle: int, path: Path) -> None:
    me = Owner(os.getpid(), socket.gethostname(), _boot(), time.strftime("%Y-%m-%d %H:%M:%S"))
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)
        os.fsync(handle)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror}); make room, or give another work_dir."
        ) from error


def _beat(handle: int, over: threading.Event, seconds: float) -> None:
    while not over.wait(seconds):
        with suppress(OSError):  # a file server that is away for a moment comes back
            os.utime(handle)


def _release(path: Path, handle: int) -> None:
    with suppress(OSError):
        if _is_still_there(handle, path):
            path.unlink()
    # Data workers that still run have this file open too: only an explicit release frees it.
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[:1] not in (["Z"], ["X"])


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()
