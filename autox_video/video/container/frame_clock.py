"""Compute the display times of frames that are decoded sequentially."""

import av

from autox_video.video.container.packet_count import Counted


class CountedClock:
    """Computes the display times of frames whose packets were counted before decoding."""

    def __init__(self, counted: Counted) -> None:
        self._starts, self._places = counted.timeline.starts, None
        if counted.num_packets is not None:
            self._places = counted.timeline.places(counted.num_packets)
        self._next, self._latest = 0, 0.0

    def second(self, frame: av.VideoFrame) -> float | None:
        """Return a frame's display time in seconds from the first; None if it is not displayed.

        Times never decrease.
        """
        place = self._next
        if self._places is not None and frame.opaque is not None:
            place = int(self._places[frame.opaque])
            if place < 0:
                return None
        place = min(place, len(self._starts) - 1)
        self._next = place + 1
        self._latest = max(self._latest, float(self._starts[place]))
        return self._latest


class StampClock:
    """Computes the display times of a large clip's frames from their timestamps.

    Args:
        tick_sec: seconds per tick.
        nominal_fps: frame rate used to replace missing or decreasing timestamps.
        origin: timestamp of time 0, in ticks; None to use the first frame's timestamp.
    """

    def __init__(self, tick_sec: float, nominal_fps: float, origin: float | None) -> None:
        self.origin = origin
        self._tick_sec, self._frame_ticks = tick_sec, 1 / nominal_fps / tick_sec
        self._last: float | None = None

    def second(self, frame: av.VideoFrame) -> float:
        """Return a frame's display time in seconds; successive times never decrease."""
        stamp = frame.pts
        if stamp is None or (self._last is not None and stamp < self._last):
            stamp = 0.0 if self._last is None else self._last + self._frame_ticks
        self._last = stamp
        if self.origin is None:
            self.origin = stamp
        return (stamp - self.origin) * self._tick_sec
