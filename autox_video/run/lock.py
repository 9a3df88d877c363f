"""A lease in the file WORK_DIR/run.lock that allows only one run at a time in a work dir.

The training process renews the lease twice a minute, so that the lock also works on shared disks
without file locks. After a process has ended, another process on the same machine can take over its
lease at once, but a process on another machine must wait until the lease has not been renewed for
two minutes.
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
"""Time between two renewals of the lease by its owner."""
SILENCE_SEC = 120.0
"""Time without renewal after which an owner on another machine is considered dead."""
GRACE_SEC = 1.0
"""Time to wait for an owner that is about to exit."""
DAMAGED_SEC = 2.0
"""Time after which a lock file without an owner is considered a leftover from a crash."""


@contextmanager
def locked(
    work_dir: str | Path,
    *,
    heartbeat_sec: float = HEARTBEAT_SEC,
    silence_sec: float = SILENCE_SEC,
    grace_sec: float = GRACE_SEC,
) -> Iterator[None]:
    """Keep other runs out of an existing work dir while the `with` block runs.

    All runs must use the same `silence_sec`.

    Raises:
        ResourceError: another run uses the folder, or the lock file cannot be used.
    """
    path = Path(work_dir, LOCK)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ResourceError(f"{path} is not a file. Remove it, or use another work_dir.")
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
            f"{path}: cannot create the lock file ({error.strerror}). Free some disk space, remove "
            "the file if no run uses this folder, or use another work_dir."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            lease.release()


def _acquire(lease: SoftFileLease, path: Path, grace_sec: float) -> None:
    """Acquire the lease, or raise a ResourceError that names the current owner."""
    with suppress(Timeout):
        lease.acquire(timeout=grace_sec)
        return
    owner, wait_sec = lease.owner, DAMAGED_SEC
    if owner is not None:
        if _runs_here(owner):
            raise ResourceError(_refusal(path, owner))
        wait_sec = lease.lease_duration
        most = f"{wait_sec:.0f} s"
        say(f"{path}: another machine may be training here. Waiting up to {most} to find out.")
    else:
        _remove_if_empty(path)
    try:
        lease.acquire(timeout=grace_sec + wait_sec)
    except Timeout:
        raise ResourceError(_refusal(path, lease.owner)) from None
    if owner is not None:
        say(f"{path}: {_name(owner)} no longer responds. This run takes over.")


def _remove_if_empty(path: Path) -> None:
    """Remove a lock file that stays empty, because filelock never removes an empty lock file."""
    end = time.monotonic() + DAMAGED_SEC
    with suppress(FileNotFoundError):  # the owner removed it, or we did
        while path.stat().st_size == 0:
            time.sleep(0.05)
            if time.monotonic() > end:
                path.unlink()


def _runs_here(owner: OwnerRecord) -> bool:
    """Return whether the owner is a running process on this machine."""
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
            f"work_dir: {path} exists but names no process. Remove it if you are sure that no run "
            "uses this folder, or use another work_dir."
        )
    return (
        f"work_dir: {path.parent} is in use: {_name(owner)} is training there. Wait for it to "
        f"finish, stop it (kill {owner.pid}), or use another work_dir. If you are sure that "
        f"this process no longer runs, remove {path}."
    )


def _name(owner: OwnerRecord) -> str:
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}"


def _say_lost(loss: LeaseCompromise) -> None:
    complain(
        f"{loss.lock_file}: this run has lost its lock ({loss.reason}). Another run may have "
        "started in the same work_dir; stop one of them."
    )
