"""The frame of every fault script: options, a folder for its runs, a verdict."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.runs import Place


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every script."""
    parser.add_argument("--seed", type=int, default=0, help="of the random instants and places")
    parser.add_argument(
        "--folder", type=Path, help="work in this new folder and keep it; default: a temporary one"
    )


@contextlib.contextmanager
def workplace(folder: Path | None, **keys: object) -> Iterator[Place]:
    """Yield a place for runs: in `folder`, which must not exist yet, or a temporary one.

    No run is left behind if the script is ended by SIGTERM.
    """
    before = signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        with _folder(folder) as root:
            yield Place(root, **keys)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True)
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="faults_") as name:
        yield Path(name)


def verdict(problems: list[str], bar: str) -> int:
    """Print the problems and whether the bar is met; return the exit code."""
    for problem in problems:
        print(f"problem: {problem}")
    print(f"bar: {bar}: {'missed' if problems else 'met'}", flush=True)
    return 1 if problems else 0
