"""Predict live sources, cameras and streams, in windows and with a bounded delay.

Shape letters: T frames, S side of a frame in pixels, K classes.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import av
import numpy as np

from autox_video.core.durations import duration
from autox_video.core.errors import VideoError
from autox_video.prediction.live.frames import (
    Backlog,
    Clip,
    ClipSampler,
    FrameCropper,
    Pacer,
    StreamClock,
)
from autox_video.prediction.live.source import (
    LONGEST_WAIT_SEC,
    OPEN_SEC,
    StreamFault,
    assumes_rate,
    comes_in_bursts,
    decoded,
    live_source,
)
from autox_video.prediction.video_prediction import rounded, rounded_seconds

RETRY_SHARE, RETRY_SEC = 0.25, (0.5, 30.0)
"""The wait before the next attempt to connect: a share of the outage so far, within limits."""
_LOOK_EVERY_SEC = 0.5
_JOIN_SEC = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class LiveWindow:
    """The newest frames of a live source, without a gap between them."""

    frames: np.ndarray
    """Frames (T, S, S, 3), uint8 RGB, cropped and scaled as in validation."""
    start: float
    """Start in seconds since the first frame of the source."""
    end: float
    """End in seconds since the first frame of the source."""
    captured_at: float
    """Wall-clock time (`time.time()`) when the newest frame arrived."""
    skipped: int = 0
    """Number of windows since the last one that were skipped because a newer one was complete."""


class LiveWindows:
    """Iterates over windows of a camera or stream; can be used as a context manager.

    A thread reads the source. If the consumer is slow, windows are skipped, so that the delay does
    not grow. If the connection breaks, it is restored; no window contains frames from both sides of
    a gap. The waits between attempts grow with the outage, from 0.5 s to 30 s.

    Args:
        source: `camera:0`, /dev/video0, or an address such as rtsp://...
        clip_len: frames per window.
        frame_interval_sec: seconds between frames.
        side: side of the frames in px.
        stride_sec: seconds between the starts of two windows, rounded to whole frame intervals.
        on_note: called with each message about the connection, also from the reading thread.
        max_seconds: stop after this time; None for no limit.
        give_up_sec: how long to wait for a source that sends nothing; None to connect once, and
            then to reconnect without limit.

    Raises:
        VideoError: while iterating: the source cannot be opened, or was silent for too long.
    """

    def __init__(
        self,
        source: str,
        *,
        clip_len: int,
        frame_interval_sec: float,
        side: int,
        stride_sec: float,
        on_note: Callable[[str], None],
        max_seconds: float | None = None,
        give_up_sec: float | None = None,
    ) -> None:
        self.skipped = 0
        """Number of windows skipped so far."""
        self._source = live_source(source)
        self._on_note, self._give_up_sec = on_note, give_up_sec
        self._max_seconds, self._stride_sec = max_seconds, stride_sec
        self._cropper, self._clock = FrameCropper(side), StreamClock()
        self._backlog, self._pacer = Backlog(), None
        step = max(1, round(stride_sec / frame_interval_sec))
        slots = clip_len, frame_interval_sec
        self._sampler = ClipSampler(*slots, step=step, crop=self._cropper)
        self._new = threading.Condition()
        self._latest: LiveWindow | None = None
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._has_begun, self._has_stamps = False, True
        self._last_frame, self._lost_at = 0.0, None
        self._reason = "nothing was received"
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "LiveWindows":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading; may be called more than once."""
        self._stop.set()
        if self._thread.is_alive():
            # A read that waits for data ends by itself, at the latest with the process.
            self._thread.join(_JOIN_SEC)

    # ---- the consumer ----

    def __iter__(self) -> Iterator[LiveWindow]:
        """Yield the newest window each time, until the time is up or `close` is called."""
        limit = self._max_seconds
        deadline = None if limit is None else time.monotonic() + limit
        if not self._thread.is_alive():
            self._last_frame = time.monotonic()
            self._thread.start()
        has_noted = False
        while (window := self._next(deadline)) is not None:
            taken = time.monotonic()
            yield window
            took = time.monotonic() - taken
            if took > self._stride_sec and not has_noted:
                has_noted = True
                self._note(
                    f"a prediction takes {took:.2f} s, longer than the stride of "
                    f"{self._stride_sec:.2f} s; windows in between are skipped"
                )

    def _next(self, deadline: float | None) -> LiveWindow | None:
        with self._new:
            while self._latest is None:
                self._check()
                left = _LOOK_EVERY_SEC if deadline is None else deadline - time.monotonic()
                if left <= 0 or self._stop.is_set():
                    return None
                self._new.wait(min(left, _LOOK_EVERY_SEC))
            if deadline is not None and time.monotonic() >= deadline:
                return None
            window, self._latest = self._latest, None
            return window

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        silent_sec, patience = time.monotonic() - self._last_frame, self._give_up_sec
        if patience is not None and silent_sec > patience:
            after = f"gave up after {duration(silent_sec)}"
            raise VideoError(f"{self._source.name}: {self._reason}; {after}.")

    # ---- the reading thread ----

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._receive()
                except StreamFault as fault:
                    self._lose(fault)
        except BaseException as error:  # noqa: BLE001 (raised where windows are consumed)
            self._error = error
        with self._new:
            self._new.notify()

    def _receive(self) -> None:
        """Read the source until `close` is called; raise StreamFault if the connection breaks."""
        with self._source.open(min(OPEN_SEC, self._give_up_sec or OPEN_SEC)) as container:
            stream = container.streams.best("video")
            self._cropper.restart(stream.sample_aspect_ratio)
            self._clock.restart()
            self._backlog.restart()
            self._has_stamps = not assumes_rate(container)
            self._pacer = Pacer() if comes_in_bursts(container) else None
            opened = time.monotonic()
            for packet, waited in self._source.packets(container, stream):
                now = time.monotonic()
                if self._stop.is_set():
                    return
                if now - max(opened, self._last_frame) > LONGEST_WAIT_SEC:
                    raise StreamFault("none of its frames can be decoded")
                if self._backlog.drops(packet.is_keyframe, now, waited):
                    stream.codec_context.flush_buffers()
                    continue
                for frame in decoded(packet):
                    self._add(frame, waited)

    def _add(self, frame: av.VideoFrame, waited: float) -> None:
        self._last_frame = arrived = time.monotonic()
        if self._has_stamps and frame.pts is None:
            self._has_stamps = False
            self._clock.restart()
        second, is_gap = self._clock.second(frame.time if self._has_stamps else arrived, arrived)
        if self._pacer is None:
            captured = self._backlog.captured(second, arrived, waited)
        else:
            self._stop.wait(self._pacer.wait_sec(second, arrived, after_gap=is_gap))
            captured = time.monotonic()
        is_gap |= self._backlog.has_dropped
        self._backlog.has_dropped = False
        if self._lost_at is not None:
            self._note(f"connected again after {duration(arrived - self._lost_at)}")
        self._lost_at, self._has_begun = None, True
        try:
            for clip in self._sampler.add(frame, second, captured, after_gap=is_gap):
                self._publish(clip)
        except av.error.FFmpegError as error:
            reason = f"its pixel format {frame.format.name} is not supported"
            raise VideoError(f"{self._source.name}: {reason}.") from error

    def _publish(self, clip: Clip) -> None:
        captured_at = time.time() - (time.monotonic() - clip.captured)
        with self._new:
            skipped = 0
            if self._latest is not None:
                skipped = self._latest.skipped + 1
                self.skipped += 1
            self._latest = LiveWindow(clip.frames, clip.start, clip.end, captured_at, skipped)
            self._new.notify()

    def _lose(self, fault: StreamFault) -> None:
        """Tell that the connection is lost, once, and wait before the next attempt."""
        self._reason = reason = str(fault)
        if self._lost_at is None:
            if not self._has_begun and self._give_up_sec is None:
                raise VideoError(f"{self._source.name}: {reason}.") from fault
            self._lost_at = self._last_frame
            self._note(f"{reason}; reconnecting")
        outage = time.monotonic() - self._lost_at
        self._stop.wait(min(max(RETRY_SHARE * outage, RETRY_SEC[0]), RETRY_SEC[1]))

    def _note(self, words: str) -> None:
        self._on_note(f"{self._source.name}: {words}.")


@dataclass(frozen=True, slots=True, eq=False)
class StreamLine:
    """The prediction for one window of a live source."""

    start: float
    """Start in seconds since the first frame of the source."""
    end: float
    """End in seconds since the first frame of the source."""
    captured_at: float
    """Wall-clock time (`time.time()`) when the newest frame arrived."""
    class_name: str
    """The most probable class."""
    score: float
    """Its calibrated probability."""
    scores: np.ndarray
    """Calibrated probabilities (K,) of all classes."""
    delay_sec: float
    """Time from the arrival of the newest frame to the finished prediction."""
    skipped: int
    """Number of windows that were skipped before this one."""


def predict_stream(
    score: Callable[[np.ndarray], np.ndarray], windows: LiveWindows, classes: Sequence[str]
) -> Iterator[StreamLine]:
    """Yield a prediction for each window, as soon as it is known.

    Args:
        score: maps frames (1, T, S, S, 3) uint8 to calibrated probabilities (K,).
        windows: the windows of a live source.
        classes: names of the classes.
    """
    for window in windows:
        scores = np.asarray(score(window.frames[None]))
        best = int(np.argmax(scores))
        yield StreamLine(
            window.start,
            window.end,
            window.captured_at,
            classes[best],
            float(scores[best]),
            scores,
            max(0.0, time.time() - window.captured_at),
            window.skipped,
        )


def line_text(line: StreamLine) -> str:
    """Return a prediction as a line of text."""
    clock = datetime.fromtimestamp(line.captured_at)
    skipped = f", {line.skipped} skipped" if line.skipped else ""
    return (
        f"{clock:%H:%M:%S}  {line.start:.1f}-{line.end:.1f} s  {line.class_name} {line.score:.2f}"
        f"  (delay {line.delay_sec:.2f} s{skipped})"
    )


def line_record(line: StreamLine) -> dict[str, Any]:
    """Return a prediction as a record for a JSON-lines file."""
    clock = datetime.fromtimestamp(line.captured_at).astimezone()
    return {
        "start": rounded_seconds(line.start),
        "end": rounded_seconds(line.end),
        "time": clock.isoformat(timespec="milliseconds"),
        "class": line.class_name,
        "score": rounded([line.score])[0],
        "scores": rounded(line.scores),
        "delay_sec": rounded_seconds(line.delay_sec),
        "skipped": line.skipped,
    }
