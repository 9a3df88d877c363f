"""When a decoded frame is on screen, where frames are decoded one after the other."""

import av

from autox_video.video.container.packet_count import Counted


class CountedClock:
    """Tells the time of frames of a clip that is counted, decoded from its start on."""

    def __init__(self, counted: Counted) -> None:
        self._starts, self._places = counted.timeline.starts, None
        if counted.num_packets is not None:
            self._places = counted.timeline.places(counted.num_packets)
        self._next, self._latest = 0, 0.0

    def second(self, frame: av.VideoFrame) -> float | None:
        """Give the time of a frame, seconds from the clip's first; None if it is not shown.

        Never earlier than that of the frame before.
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
    """Tells the time of frames of a large clip by their stamps.

    Args:
        tick_sec: seconds of a tick.
        nominal_fps: of frames without a sound stamp, which follow on the one before.
        origin: ticks of second 0; None for those of the first frame.
    """

    def __init__(self, tick_sec: float, nominal_fps: float, origin: float | None) -> None:
        self.origin = origin
        self._tick_sec, self._frame_ticks = tick_sec, 1 / nominal_fps / tick_sec
        self._last: float | None = None

    def second(self, frame: av.VideoFrame) -> float:
        """Give the time of a frame in seconds, never earlier than that of the frame before."""
        stamp = frame.pts
        if stamp is None or (self._last is not None and stamp < self._last):
            stamp = 0.0 if self._last is None else self._last + self._frame_ticks
        self._last = stamp
        if self.origin is None:
            self.origin = stamp
        return (stamp - self.origin) * self._tick_sec
