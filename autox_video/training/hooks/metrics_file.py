"""The file metrics.jsonl in the work dir, with one line per training summary or evaluation."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autox_video.core.errors import ResourceError
from autox_video.core.files import append_json_line, write_text
from autox_video.run.work_dir import METRICS

Event = dict[str, Any]
_TYPES = {"event": str, "epoch": int, "iter": int}
"""Required fields of an event and their types."""


class MetricsFile:
    """Appends events to metrics.jsonl; events that cannot be written wait for the next write."""

    def __init__(self, work_dir: str) -> None:
        self.path = Path(work_dir, METRICS)
        self.waiting: list[Event] = []

    def append(self, event: Event) -> str | None:
        """Write an event; return a message for the user on the first failure, otherwise None."""
        # JSON cannot represent NaN or infinity.
        self.waiting.append(
            {
                k: v if not isinstance(v, float) or math.isfinite(v) else None
                for k, v in event.items()
            }
        )
        try:
            while self.waiting:
                append_json_line(self.path, self.waiting[0])
                self.waiting.pop(0)
        except ResourceError as error:
            if len(self.waiting) == 1:
                return f"{error} Training continues; the lines will be written later."
        return None

    def drop_after(self, *, iteration: int, evaluated_epoch: int) -> None:
        """Remove incomplete lines and all events after the given step and evaluation."""
        there = [
            event
            for event in _events(self.path)
            if event["event"] != "end"
            and event["iter"] <= iteration
            and (event["event"] != "val" or event["epoch"] <= evaluated_epoch)
        ]
        if self.path.exists():
            lines = [json.dumps(event, ensure_ascii=False) + "\n" for event in there]
            write_text(self.path, "".join(lines))
        # Events that were waiting when the checkpoint was saved may be in the file by now.
        self.waiting = [event for event in self.waiting if event not in there]


def read_evaluations(work_dir: Path) -> list[Event]:
    """Return the epoch, iteration and metrics of each evaluation in a work dir, in file order.

    Raises:
        ResourceError: the file cannot be read.
    """
    return [event for event in _events(work_dir / METRICS) if event["event"] == "val"]


def _events(path: Path) -> Iterator[Event]:
    """Yield the events in a file, skipping lines that are incomplete or not events."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be read ({error.strerror}). Move the file away and try again."
        ) from error
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and {k: type(event.get(k)) for k in _TYPES} == _TYPES:
            yield event
