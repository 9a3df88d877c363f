"""Console output: plain lines, tables and a live progress line.

All output goes through the logger `autox_video`. Details are logged at DEBUG (to train.log, and to
the console if `verbose` is true), ordinary lines at INFO (to stdout), and warnings at WARNING (to
stderr).
"""

import logging
import os
import re
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from autox_video.core.durations import duration

LOGGER = "autox_video"
SILENCE_SEC = 10.0
"""If stdout is not a terminal, the activity is printed after this many seconds without output."""
DEFAULT_WIDTH = 80
MOST_WARNINGS = 5
"""Maximum number of kinds of warnings to print; warnings of further kinds are only counted."""
MOST_LOGGED = 20
"""Maximum number of warnings of one kind that are written to train.log without being printed."""
_LOOK_EVERY_SEC = 1.0
_BAR_WIDTH = 16

# The parts in which warnings of one kind may differ: quoted names, paths and numbers.
_NAMES = re.compile(r"`[^`]*`|\S*[\d/\\]\S*|\S+\.\w+")


class Detail(str):
    """An informational message in a list of warnings, such as a note on how clips were split."""


class Plain(logging.Formatter):
    """Formats each log record as one line, even if it contains a file name with a line break."""

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "is_table", False):
            return record.getMessage()
        return printable(record.getMessage())


class _Console(logging.Handler):
    """Prints log records to stdout, or warnings to stderr, wrapped to the width of the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(Plain())
        self.said_at = -SILENCE_SEC
        self.lost_stdout = False

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        self.said_at = time.monotonic()
        text = self.format(record)
        if not getattr(record, "is_table", False):
            text = _wrapped(text, width_of(stream), getattr(record, "indent", 0))
        try:
            print(text, file=stream, flush=True)
        except BrokenPipeError:
            # The reader has stopped reading, as with `| head`; the job continues without output.
            self.lost_stdout |= stream is sys.stdout
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


_console = _Console()
_log = logging.getLogger(LOGGER)
_log.addHandler(_console)
_log.setLevel(logging.DEBUG)
_log.propagate = False


@contextmanager
def showing(verbose: bool | str) -> Iterator[None]:
    """In the block, print everything (True), only warnings (False), or all but details ("auto")."""
    before = _console.level
    levels = {True: logging.DEBUG, False: logging.WARNING}
    _console.setLevel(levels.get(verbose, logging.INFO))
    try:
        yield
    finally:
        _console.setLevel(before)


def be_silent() -> None:
    """Log only warnings in this process from now on; the main process logs everything else."""
    _log.setLevel(logging.WARNING)


def is_silent() -> bool:
    """Return whether this process logs only warnings because it is not the main process."""
    return not _log.isEnabledFor(logging.INFO)


def shows_lines() -> bool:
    """Return whether `say` prints anything."""
    return not is_silent() and _console.level <= logging.INFO


def show_every_letter() -> None:
    """Make stdout escape characters that its encoding cannot represent, instead of failing."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(sentence: str = "", *, indent: int = 0) -> None:
    """Print one line to stdout; if the line is wrapped, indent continuation lines by `indent`."""
    _log.info("%s", sentence, extra={"indent": indent})


def say_detail(sentence: str) -> None:
    """Write one line to train.log, and also print the line if `verbose` is true."""
    _log.debug("%s", sentence)


def say_text(text: str) -> None:
    """Print text of several lines to stdout as it is, without wrapping or escaping it."""
    _log.info("%s", text.rstrip("\n"), extra={"is_table": True})


def complain(sentence: str) -> None:
    """Print one warning to stderr."""
    _log.warning("%s", sentence)


def warn_of(sentences: Iterable[str]) -> None:
    """Print one example per kind of warning about the clips, and the number of similar warnings.

    Warnings of the same kind differ only in names, paths and numbers. Some of the warnings that are
    not printed are written to train.log.
    """
    kinds: dict[str, list[str]] = {}
    for sentence in sentences:
        if isinstance(sentence, Detail):
            say_detail(sentence)
            continue
        kinds.setdefault(_NAMES.sub("", sentence), []).append(sentence)
    groups = list(kinds.values())
    for first, *others in groups[:MOST_WARNINGS]:
        more = f" (and {len(others)} more like this; `autox-video check` lists them all)"
        complain(first + more if others else first)
        for other in others[:MOST_LOGGED]:
            say_detail(other)
    left_out = [sentence for group in groups[MOST_WARNINGS:] for sentence in group]
    for sentence in left_out[:MOST_LOGGED]:
        say_detail(sentence)
    if left_out:
        complain(
            f"{len(left_out)} more warnings about the clips; `autox-video check` lists them all."
        )


def can_be_read() -> bool:
    """Return whether stdout is still open, as far as known; `| head` closes it early."""
    return not _console.lost_stdout


def is_quiet(seconds: float = SILENCE_SEC) -> bool:
    """Return whether nothing has been printed for at least this many seconds."""
    return time.monotonic() - _console.said_at >= seconds


def printable(text: str) -> str:
    """Escape control characters, so that a file name cannot send commands to the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def short_path(path: str | Path) -> str:
    """Return a path relative to the current folder, or unchanged if it is outside that folder."""
    path = Path(path)
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return getattr(sys.stdout, "rich_proxied_file", sys.stdout).isatty()


def width_of(stream) -> int | None:
    """Return a stream's width in columns, from $COLUMNS or the terminal; None if unknown."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    stream = getattr(stream, "rich_proxied_file", stream)  # while a live line is drawn
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except (OSError, ValueError):
        return DEFAULT_WIDTH


def _wrapped(text: str, width: int | None, indent: int) -> str:
    if width is None or len(text) <= width:
        return text
    lines = textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * indent,
        # A path that is cut in two can't be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    detail: bool = False,
    lines: bool = True,
) -> None:
    """Print a table under a title, no wider than the terminal.

    Args:
        title: text to print above the table.
        columns: column headings.
        rows: the cells of each row; a cell that is a list is printed with one line per item.
        detail: whether to print the table only if `verbose` is true, like `say_detail`.
        lines: whether to draw lines between columns, which takes two more characters per column.
    """
    if is_silent():
        return
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    look = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    look = {} if lines else look
    sheet = Table(title=escape(printable(title)), title_justify="left", expand=False, **look)
    for name in columns:
        sheet.add_column(name, overflow="fold")
    for row in rows:
        cells = (cell if isinstance(cell, list) else [cell] for cell in row)
        sheet.add_row(*(escape("\n".join(printable(str(c)) for c in cell)) for cell in cells))
    width = width_of(sys.stdout) or DEFAULT_WIDTH
    console = Console(width=width, highlight=False, safe_box=True, force_terminal=False)
    with console.capture() as text:  # on a closed pipe, rich would end the process
        console.print(sheet)
    drawn = "\n".join(line.rstrip() for line in text.get().rstrip("\n").split("\n"))
    _log.log(logging.DEBUG if detail else logging.INFO, "%s", drawn, extra={"is_table": True})


class Activity:
    """Shows the current activity in a live line on a terminal, or else in occasional lines.

    Args:
        text: the current activity.
        total: number of steps in the whole job; None if unknown.
        tells_time: whether lines end with the elapsed time if stdout is not a terminal.
    """

    _drawn: "Activity | None" = None
    """The activity shown in the live line; only one live line can be shown at a time."""

    def __init__(self, text: str, total: int | None = None, *, tells_time: bool = True) -> None:
        self.text, self.done, self.tells_time = text, 0, tells_time
        self.started, self._over, self._teller = time.monotonic(), threading.Event(), None
        self.is_live = shows_lines() and is_terminal()
        self._bar = None
        if self.is_live and Activity._drawn is None:
            Activity._drawn, self._bar = self, _live_bar(total)
            self._bar.start()
            self.show(text)
        elif shows_lines() and not self.is_live:
            self._teller = threading.Thread(target=self._tell, daemon=True)
            self._teller.start()

    def show(self, text: str | None = None, done: float | None = None) -> None:
        """Update the displayed text and the number of completed steps."""
        self.text = self.text if text is None else text
        self.done = self.done if done is None else done
        if self._bar:
            width = (width_of(sys.stdout) or DEFAULT_WIDTH) - _BAR_WIDTH - 2
            line = printable(self.text)
            line = line if len(line) <= width else f"{line[: width - 3]}..."
            self._bar.update(self._bar.task_ids[0], completed=self.done, description=line)

    def close(self) -> None:
        """Remove the live line from the terminal and stop printing."""
        self._over.set()
        if self._bar:
            self._bar.stop()
            Activity._drawn = self._bar = None
        if self._teller:
            self._teller.join()
            self._teller = None

    def _tell(self) -> None:
        while not self._over.wait(_LOOK_EVERY_SEC):
            if is_quiet() and time.monotonic() - self.started >= SILENCE_SEC:
                so_far = f", {duration(time.monotonic() - self.started)} so far"
                say(f"{self.text}{so_far if self.tells_time else ''}")
                _console.said_at = time.monotonic()


def _live_bar(total: int | None):
    """Return a one-line progress bar that stays below other output and vanishes when stopped."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    bar = Progress(
        *(BarColumn(bar_width=_BAR_WIDTH), text),
        transient=True,
        refresh_per_second=4,
        # Otherwise, rich would write warnings to stdout.
        redirect_stderr=sys.stderr.isatty(),
    )
    bar.add_task("", total=total)
    return bar


@contextmanager
def progress(what: str, total: int, *, start: int = 0) -> Iterator[Callable[[float], None]]:
    """Show the progress of a job with `total` steps, of which `start` are done before it begins.

    Yields a function to call with the number of steps completed so far. If that is a fraction, the
    share of the whole job is shown.
    """
    activity = Activity(what, total)

    def show(done: float) -> None:
        left_text = ""
        if activity.is_live and start < done < total:
            took = time.monotonic() - activity.started
            left_text = f", {duration(took / (done - start) * (total - done))} left"
        so_far = f"{int(done)} of {total}" if done == int(done) else f"{done / total:.1%}"
        activity.show(f"{what}: {so_far}{left_text}", done)

    try:
        yield show
    finally:
        activity.close()
    say_detail(f"{what}: {total} done, {duration(time.monotonic() - activity.started)}.")


@contextmanager
def working_on(what: str) -> Iterator[Callable[[str], None]]:
    """Show the progress of the work in the `with` block.

    Yields a function to call with a short description of the progress.
    """
    activity = Activity(what)
    try:
        yield lambda words: activity.show(f"{what}: {words}")
    finally:
        activity.close()
