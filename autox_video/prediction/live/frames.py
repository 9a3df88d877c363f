"""From the frames of a live stream to clips: times, gaps, sampling and cropping.

Shape letters: T frames, S side of a frame in pixels.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import av
import numpy as np

from autox_video.data.loading.transforms import CropClips
from autox_video.video.container.orientation import Orientation, orientation_of, pixel_aspect
from autox_video.video.container.timeline import TIME_TOLERANCE_SEC
from autox_video.video.decoders.frame_rgb import WORTH_SCALING, RgbConverter, scaled_size

GAP_SEC, GAP_FRAMES = 1.0, 5.0
"""Frames are missing where a frame lasts longer than both GAP_SEC and GAP_FRAMES usual frames."""
CLOCK_JUMP_SEC = 60.0
"""A timestamp that is this much ahead of the wall clock comes from a new clock."""
LATE_SEC, CATCH_UP_SEC = 2.0, 2.0
"""Packets are dropped if decoding stays LATE_SEC behind for CATCH_UP_SEC, and for about as long."""
WAITED_SEC = 0.008
"""If the reader had to wait this long for a packet, the packet has only just arrived."""
PLAYING_SPEED = 1.25
"""Speed at which a stream is played that arrives in bursts, as with HLS."""
_USUAL_OF = 25  # number of frames from which the usual duration of a frame is taken


class StreamClock:
    """Maps timestamps to seconds since the first frame of the stream, and finds gaps.

    After a gap that the timestamps do not measure (a new connection, a clock that was set), the
    wall clock tells how long it took.
    """

    def __init__(self) -> None:
        self._started: float | None = None
        self._second = 0.0
        self._usual: deque[float] = deque(maxlen=_USUAL_OF)
        self.restart()

    def restart(self) -> None:
        """Begin again with new timestamps, as on a new connection."""
        self._stamp: float | None = None
        self._arrived = 0.0

    def second(self, stamp: float, arrived: float) -> tuple[float, bool]:
        """Return the time of a frame, and whether frames are missing between it and the last one.

        Args:
            stamp: timestamp in seconds, on a clock of the stream.
            arrived: time of arrival in seconds, on a clock of this machine.
        """
        if self._started is None:
            self._started = arrived
        last, waited = self._stamp, arrived - self._arrived
        step = 0.0 if last is None else stamp - last
        is_new_clock = last is None or step < -GAP_SEC or step - waited > CLOCK_JUMP_SEC
        is_gap = is_new_clock or step > self._longest()
        if is_new_clock:
            self._second = max(self._second, arrived - self._started)
        else:  # slightly decreasing timestamps are errors
            self._second += max(step, 0.0)
            self._usual.append(max(step, 0.0))
        self._stamp = stamp if is_new_clock else max(stamp, last)
        self._arrived = arrived
        return self._second, is_gap

    def _longest(self) -> float:
        """Return the longest duration of a frame that is not taken for a gap."""
        return max(GAP_SEC, GAP_FRAMES * (median(self._usual) if self._usual else 0.0))


class Backlog:
    """Estimates when frames were captured, and tells which packets to drop to keep up.

    A packet that the reader had to wait for has just been captured, unless the wait was so long
    that the packet may have been held up. Until the reader waits again, the timestamps tell how far
    it is behind.
    """

    def __init__(self) -> None:
        self.has_dropped = False
        """Whether packets were dropped since this was last set to False."""
        self.restart()

    def restart(self) -> None:
        """Begin again, as on a new connection."""
        self._ahead: float | None = None  # clock of this machine minus that of the stream
        self._late_since: float | None = None
        self._dropping_since: float | None = None
        self._has_waited = False

    def captured(self, second: float, arrived: float, waited: float) -> float:
        """Return when a frame was captured, on the clock of `arrived`; at most `arrived`.

        Args:
            second: time of the frame in the stream.
            arrived: when the frame was decoded.
            waited: how long the reader waited for the frame's packet.
        """
        if self._ahead is None or WAITED_SEC <= waited < GAP_SEC:
            self._ahead = arrived - second
        captured = min(arrived, self._ahead + second)
        if arrived - captured <= LATE_SEC:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = arrived
        return captured

    def drops(self, is_key: bool, now: float, waited: float) -> bool:
        """Return whether to drop a packet; after a drop, decoding starts again at a key frame."""
        if self._dropping_since is None:
            if self._late_since is None or now - self._late_since <= CATCH_UP_SEC:
                return False
            self._dropping_since = now
        self._has_waited |= waited >= WAITED_SEC
        if is_key and (self._has_waited or now - self._dropping_since > CATCH_UP_SEC):
            self.restart()
            return False
        self.has_dropped = True
        return True


class Pacer:
    """Plays frames that arrive in bursts, a little faster than in real time, to keep up."""

    def __init__(self) -> None:
        self._second, self._due = 0.0, 0.0

    def wait_sec(self, second: float, now: float, *, after_gap: bool) -> float:
        """Return how long to wait before the frame at a time in the stream is played, >= 0."""
        due = now if after_gap else self._due + (second - self._second) / PLAYING_SPEED
        self._second, self._due = second, max(due, now)
        return self._due - now


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip of a stream."""

    frames: np.ndarray
    """Frames (T, S, S, 3), uint8."""
    start: float
    end: float
    captured: float
    """When the last frame was captured, on the clock of this machine."""


class ClipSampler:
    """Collects the frames of clips, one from the middle of each slot, as in training.

    Slots of `frame_interval_sec` seconds follow one another from the first frame after each gap. A
    frame is on screen until the next one starts, so a slot is filled when the next frame is known.

    Args:
        clip_len: frames per clip.
        frame_interval_sec: seconds between frames.
        step: number of slots between the starts of two clips.
        crop: turns a decoded frame into pixels (S, S, 3); it is called only for sampled frames.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval_sec: float,
        *,
        step: int,
        crop: Callable[[av.VideoFrame], np.ndarray],
    ) -> None:
        self._interval, self._step, self._crop = frame_interval_sec, step, crop
        self._ring: deque[np.ndarray] = deque(maxlen=clip_len)
        self._origin, self._slot = 0.0, 0
        self._shown: tuple[av.VideoFrame, float] | None = None

    def add(
        self, frame: av.VideoFrame, second: float, captured: float, *, after_gap: bool
    ) -> Iterator[Clip]:
        """Add the next frame, and yield the clips that are complete."""
        if after_gap or self._shown is None:
            self._ring.clear()
            self._origin, self._slot = second, 0
        elif self._middle() < second:
            pixels = self._crop(self._shown[0])
            while self._middle() < second:
                self._ring.append(pixels)
                self._slot += 1
                if self._is_complete():
                    yield self._clip()
        self._shown = frame, captured

    def _middle(self) -> float:
        return self._origin + (self._slot + 0.5) * self._interval + TIME_TOLERANCE_SEC

    def _is_complete(self) -> bool:
        length = self._ring.maxlen
        return self._slot >= length and (self._slot - length) % self._step == 0

    def _clip(self) -> Clip:
        end = self._origin + self._slot * self._interval
        start = end - self._ring.maxlen * self._interval
        return Clip(np.stack(self._ring), start, end, self._shown[1])


class FrameCropper:
    """Crops the centre of decoded frames and scales it, exactly as for a file in validation."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.restart(None)
        self._converter, self._crop = RgbConverter(), CropClips(side, "centre")

    def restart(self, pixel_ratio: Fraction | None) -> None:
        """Begin again with the aspect ratio of another connection's pixels."""
        self._pixel_ratio = pixel_ratio
        self._orientation: Orientation | None = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Return the pixels (S, S, 3), uint8, of a frame.

        Raises:
            av.error.FFmpegError: the pixel format is not supported.
        """
        if self._orientation is None:
            # Reading a frame's side data keeps the frame in memory until garbage is collected.
            self._orientation = orientation_of(frame)
        width, height = max(1, round(frame.width * pixel_aspect(self._pixel_ratio))), frame.height
        is_large = min(width, height) >= WORTH_SCALING * self.side
        size = scaled_size(width, height, self.side if is_large else None)
        pixels = self._converter.convert(frame, size, self._orientation)
        return self._crop.transform({"imgs": [pixels], "clip_len": 1})["inputs"][0, 0]
