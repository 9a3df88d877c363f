"""One run at a time in a work dir: WORK_DIR/run.lock is the lease of the process that trains there.

Its owner renews it twice a minute, so that it holds on disks that machines share, with file locks
or without. That of a process which has ended counts for nothing on its own machine, and elsewhere
after two minutes without a sign of life.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import LeaseCompromise, OwnerRecord, SoftFileLease, Timeout

from autox_video.core.console import complain, say
from autox_video.core.errors import ResourceError
from autox_video.run.work_dir import LOCK

HEARTBEAT_SEC = 30.0
"""Between two signs of life of an owner."""
SILENCE_SEC = 120.0
"""Without a sign of life after which an owner on another machine counts as dead."""
GRACE_SEC = 1.0
"""For an owner that is about to end."""
DAMAGED_SEC = 2.0
"""After which a lock file that names nobody is taken for what a crash has left."""


@contextmanager
def locked(
    work_dir: str | Path,
    *,
    heartbeat_sec: float = HEARTBEAT_SEC,
    silence_sec: float = SILENCE_SEC,
    grace_sec: float = GRACE_SEC,
) -> Iterator[None]:
    """Keep every other run out of a folder, which must be there, until the block ends.

    All runs must agree on `silence_sec`.

    Raises:
        ResourceError: another run is in the folder, or the lock file cannot be used.
    """
    path = Path(work_dir, LOCK)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ResourceError(f"{path}: is not a file; remove it, or give another work_dir.")
    lease = SoftFileLease(
        path,
        lease_duration=silence_sec,
        heartbeat_interval=heartbeat_sec,
        on_compromise=_say_lost,
    )
    try:
        _acquire(lease, path, grace_sec)
    except OSError as error:
        raise ResourceError(
            f"{path}: the lock of the run cannot be made ({error.strerror}); make room, remove it "
            "if no run is in this folder, or give another work_dir."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            lease.release()


def _acquire(lease: SoftFileLease, path: Path, grace_sec: float) -> None:
    """Take the lease, or raise ResourceError with who has it."""
    with suppress(Timeout):
        lease.acquire(timeout=grace_sec)
        return
    owner, wait_sec = lease.owner, DAMAGED_SEC
    if owner is not None:
        if _runs_here(owner):
            raise ResourceError(_refusal(path, owner))
        wait_sec = lease.lease_duration
        most = f"{wait_sec:.0f} s"
        say(f"{path}: another machine may be training here; waiting up to {most} to see.")
    else:
        _remove_if_empty(path)
    try:
        lease.acquire(timeout=grace_sec + wait_sec)
    except Timeout:
        raise ResourceError(_refusal(path, lease.owner)) from None
    if owner is not None:
        say(f"{path}: {_name(owner)} gives no sign of life any more; this run takes over.")


def _remove_if_empty(path: Path) -> None:
    """Remove a lock file that stays empty, which filelock would leave alone for ever."""
    end = time.monotonic() + DAMAGED_SEC
    with suppress(FileNotFoundError):  # its owner has ended, or this
        while path.stat().st_size == 0:
            time.sleep(0.05)
            if time.monotonic() > end:
                path.unlink()


def _runs_here(owner: OwnerRecord) -> bool:
    """Whether the owner is a process of this very system that still runs."""
    host = socket.gethostname()
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino  # as filelock names containers
        state = Path(f"/proc/{owner.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    is_of_system = owner.hostname in (host, f"{host}?pidns-{namespace:x}")
    return is_of_system and state.rpartition(")")[2].split()[0] not in ("Z", "X")


def _refusal(path: Path, owner: OwnerRecord | None) -> str:
    if owner is None:
        return (
            f"work_dir: {path} does not say which process is training there. Remove it if you know "
            "that none is, or give another work_dir."
        )
    return (
        f"work_dir: {path.parent} is being trained in by {_name(owner)}. Wait until that has "
        f"ended, or stop it (kill {owner.pid}), or give another work_dir. If you know that it is "
        f"dead, remove {path}."
    )


def _name(owner: OwnerRecord) -> str:
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}"


def _say_lost(loss: LeaseCompromise) -> None:
    complain(
        f"{loss.lock_file}: this run has lost its lock ({loss.reason}); another one may have begun "
        "in its work_dir. Stop one of the two."
    )
