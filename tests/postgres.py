"""A PostgreSQL server of one's own in a folder that goes away, for tests."""

import glob
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DRIVERS = ("psycopg", "psycopg2")


def _binary(name: str) -> str | None:
    places = [os.environ["PATH"], *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join(places))


def _dialect() -> str | None:
    found = next(filter(importlib.util.find_spec, DRIVERS), None)
    return found and f"postgresql+{found}"


@contextmanager
def postgres() -> Iterator[str]:
    """Give the address of a new, empty database; skips where PostgreSQL or its driver is missing.

    The server refuses to run as root: then it runs as nobody.
    """
    initdb, control, dialect = _binary("initdb"), _binary("pg_ctl"), _dialect()
    if initdb is None or control is None:
        pytest.skip("PostgreSQL is not installed (the package postgresql)")
    if dialect is None:
        pytest.skip("no driver for PostgreSQL is installed (the package psycopg[binary])")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = "nobody" if os.getuid() == 0 else None
    data, log = folder / "data", folder / "log"
    as_user = {"user": user} if user else {}
    if user:
        shutil.chown(folder, user)
    quiet = {"check": True, "capture_output": True, "cwd": folder, "timeout": 120, **as_user}
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    try:
        subprocess.run([initdb, "-D", data, "-U", "tester", "-A", "trust", "-N"], **quiet)
        start = [control, "-D", data, "-l", log, "-o", options, "-w", "start"]
        subprocess.run(start, **{**quiet, "capture_output": False})
        yield f"{dialect}://tester:secret@/postgres?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            subprocess.run([control, "-D", data, "-m", "immediate", "-w", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)
