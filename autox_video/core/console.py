"""What the user sees: sentences and tables on a terminal, plain lines everywhere else."""

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

SILENCE_SEC = 15.0
"""Where no bar shows it, somebody says how far a job is once nothing was said for so long."""
_LOOK_EVERY_SEC = 1.0

_silent = False
_said_at = -SILENCE_SEC


def be_silent() -> None:
    """Show nothing more on stdout: another process speaks. Complaints are still printed."""
    global _silent
    _silent = True


def show_every_letter() -> None:
    """Escape letters that the terminal's encoding lacks, instead of failing on them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(sentence: str = "") -> None:
    """Print one line on stdout."""
    if not _silent:
        _print(printable(sentence), sys.stdout)


def complain(sentence: str) -> None:
    """Print one line on stderr."""
    _print(printable(sentence), sys.stderr)


def is_quiet(seconds: float = SILENCE_SEC) -> bool:
    """Whether nothing was said for some seconds."""
    return time.monotonic() - _said_at >= seconds


def _print(text: str, stream: TextIO) -> None:
    """Print text and a line break; where nobody reads any more, nobody is to be told."""
    global _said_at
    _said_at = time.monotonic()
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # As where `head` has seen enough: the job goes on, and what it still says is dropped.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def remark(sentence: str) -> None:
    """Print one line on stderr, where no other process says the same."""
    if not _silent:
        complain(sentence)


def printable(text: str) -> str:
    """The text with control characters escaped, so that a file name cannot steer the terminal.

    A line break is one of them: what a name says after it would pass for a sentence of ours.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table under a title; the last column takes what width is left.

    A cell that is a list has a line for each item.
    """
    if _silent:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    sheet = Table(title=title, title_justify="left", title_style="bold", expand=False)
    for name in columns:
        sheet.add_column(name, overflow="fold")
    for row in rows:
        sheet.add_row(*(escape(_cell(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, safe_box=True)
    with console.capture() as text:  # rich ends the process where nobody reads
        console.print(sheet)
    _print(text.get().removesuffix("\n"), sys.stdout)


def _cell(cell: object) -> str:
    lines = cell if isinstance(cell, list) else [cell]
    return "\n".join(printable(str(line)) for line in lines)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a job of `total` steps is: a bar on a terminal, lines now and then elsewhere.

    Gives a function that takes the number of steps done so far.
    """
    if _silent or not sys.stdout.isatty():
        with still_at_it(what) as note:
            yield lambda done: note(f"{done} of {total}")
        say(f"{what}: {total} done.")
        return
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    # Not a format for the column itself: braces in a name would be fields of it.
    text = TextColumn("{task.description}")
    with Progress(text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(escape(printable(what)), total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def still_at_it(what: str) -> Iterator[Callable[[str], None]]:
    """While the block works and nothing is said, say now and then that it does.

    Gives a function that takes how far it is, in words.
    """
    started, far, over = time.monotonic(), "", threading.Event()

    def note(words: str) -> None:
        nonlocal far
        far = f"{words}, "

    def tell() -> None:
        while not over.wait(_LOOK_EVERY_SEC):
            if is_quiet() and time.monotonic() - started >= SILENCE_SEC:
                say(f"{what}: {far}{time.monotonic() - started:.0f} s so far.")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield note
    finally:
        over.set()
        teller.join()
