"""The log file train.log, which contains every log line of a run with its date and time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autox_video.core.console import LOGGER, Plain
from autox_video.core.errors import AutoXVideoError, ResourceError


@contextmanager
def log_file(path: Path) -> Iterator[logging.Handler]:
    """Append log lines, Python's warnings and any error to a file while the `with` block runs.

    Yields the log handler, which other loggers can use too. If blocks are nested, log lines go only
    to the file of the outer block.

    Raises:
        ResourceError: the file cannot be opened.
    """
    log = logging.getLogger(LOGGER)
    outer = next((handler for handler in log.handlers if isinstance(handler, LogFile)), None)
    if outer is not None and outer.path == path:
        yield outer
        return
    handler = LogFile(path)
    try:
        if outer is not None:
            yield handler
            return
        with _told_to(handler, log):
            yield handler
    finally:
        handler.close()


@contextmanager
def _told_to(handler: logging.Handler, log: logging.Logger) -> Iterator[None]:
    of_python = logging.getLogger("py.warnings")
    for logger in (log, of_python):
        logger.addHandler(handler)
    propagates, of_python.propagate = of_python.propagate, False
    logging.captureWarnings(True)
    try:
        yield
    except BaseException as error:
        handler.handle(_record_of(error))
        raise
    finally:
        logging.captureWarnings(False)
        of_python.propagate = propagates
        for logger in (log, of_python):
            logger.removeHandler(handler)


def _record_of(error: BaseException) -> logging.LogRecord:
    """Return a log record for an error; the traceback is included only for unexpected errors."""
    is_mistake = isinstance(error, AutoXVideoError) or not isinstance(error, Exception)
    text = type(error).__name__
    if isinstance(error, AutoXVideoError):
        text = " ".join(error.problems)
    trace = None if is_mistake else (type(error), error, error.__traceback__)
    return logging.LogRecord(LOGGER, logging.ERROR, "", 0, "%s", (text,), trace)


class LogFile(logging.StreamHandler):
    """Appends log records to a file, and ignores write errors such as a full disk.

    LogFile is not a FileHandler, because mmengine also writes to the file of every FileHandler and
    fails if a file is not writable.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise ResourceError(f"{path}: cannot be written ({error.strerror}).") from error
        super().__init__(file)
        self.path = path
        self.setFormatter(_Timed("%(asctime)s %(levelname)s %(message)s"))

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            self.stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass


class _Timed(logging.Formatter):
    """Adds date and time to log lines, and escapes control characters in this package's lines."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == LOGGER and not record.exc_info:
            record = logging.makeLogRecord({**record.__dict__, "msg": Plain().format(record)})
            record.args = ()
        return super().format(record)
