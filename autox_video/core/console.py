"""What the user sees: sentences and tables on a terminal, plain lines everywhere else.

Sentences are records of the logger `autox_video`; tables and bars are drawn by rich.
"""

import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

SILENCE_SEC = 15.0
"""Where no bar shows it, somebody says how far a job is once nothing was said for so long."""
_LOOK_EVERY_SEC = 1.0


class _Escaped(logging.Formatter):
    """One line for each record: what a name says after a line break would pass for one of ours."""

    def format(self, record: logging.LogRecord) -> str:
        return record.msg if getattr(record, "is_drawing", False) else printable(str(record.msg))


class _Console(logging.Handler):
    """Prints what is said on stdout, and warnings on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Escaped())
        self.said_at = -SILENCE_SEC

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        self.said_at = time.monotonic()
        try:
            print(self.format(record), file=stream, flush=True)
        except BrokenPipeError:
            # As where `head` has seen enough: the job goes on, and what it still says is dropped.
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


_console = _Console()
_log = logging.getLogger("autox_video")
_log.addHandler(_console)
_log.setLevel(logging.INFO)
_log.propagate = False


def be_silent() -> None:
    """Show nothing more on stdout: another process speaks. Complaints are still printed."""
    _log.setLevel(logging.WARNING)


def is_silent() -> bool:
    """Whether another process speaks."""
    return not _log.isEnabledFor(logging.INFO)


def show_every_letter() -> None:
    """Escape letters that the terminal's encoding lacks, instead of failing on them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(sentence: str = "") -> None:
    """Print one line on stdout."""
    _log.info(sentence)


def complain(sentence: str) -> None:
    """Print one line on stderr."""
    _log.warning(sentence)


def is_quiet(seconds: float = SILENCE_SEC) -> bool:
    """Whether nothing was said for some seconds."""
    return time.monotonic() - _console.said_at >= seconds


def printable(text: str) -> str:
    """The text with control characters escaped, so that a file name cannot steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table under a title; the last column takes what width is left.

    A cell that is a list has a line for each item.
    """
    if is_silent():
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    sheet = Table(title=title, title_justify="left", title_style="bold", expand=False)
    for name in columns:
        sheet.add_column(name, overflow="fold")
    for row in rows:
        cells = (cell if isinstance(cell, list) else [cell] for cell in row)
        sheet.add_row(*(escape("\n".join(printable(str(c)) for c in lines)) for lines in cells))
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, safe_box=True)
    with console.capture() as text:  # rich ends the process where nobody reads
        console.print(sheet)
    _log.info(text.get().removesuffix("\n"), extra={"is_drawing": True})


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a job of `total` steps is: a bar on a terminal, lines now and then elsewhere.

    Gives a function that takes the number of steps done so far.
    """
    if is_silent() or not sys.stdout.isatty():
        with still_at_it(what) as note:
            yield lambda done: note(f"{done} of {total}")
        say(f"{what}: {total} done.")
        return
    from rich import progress as bars
    from rich.markup import escape

    columns = (
        bars.TextColumn("{task.description}"),  # braces in a name would be fields of the format
        *(bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn()),
    )
    with bars.Progress(*columns) as bar:
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
