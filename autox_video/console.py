"""What the user sees: sentences and tables on a terminal, plain lines everywhere else."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

_silent = False


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
        print(printable(sentence), flush=True)


def complain(sentence: str) -> None:
    """Print one line on stderr."""
    print(printable(sentence), file=sys.stderr, flush=True)


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
    # Not written by rich, which ends the process where nobody reads.
    with console.capture() as text:
        console.print(sheet)
    print(text.get(), end="", flush=True)


def _cell(cell: object) -> str:
    lines = cell if isinstance(cell, list) else [cell]
    return "\n".join(printable(str(line)) for line in lines)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a job of `total` steps is: a bar on a terminal, a line at its end elsewhere.

    Gives a function that takes the number of steps done so far.
    """
    if _silent or not sys.stdout.isatty():
        yield _show_nothing
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


def _show_nothing(done: int) -> None:
    """Stand in for a bar where there is no terminal."""
