"""Compute a clip's timeline, the times at which its frames are on screen, from its timestamps.

The timeline determines a clip's length and sampling times, and is used by all decoders. Plausible
timestamps are used exactly, so clips with a variable or very low frame rate, such as webcam videos
and screen recordings, keep their true timing. Faulty timestamps are repaired. Repairs and unusual
timestamps are reported.

Shape letters: P packets in decoding order, N frames in display order.
"""

from dataclasses import dataclass

import numpy as np

from autox_video.core.durations import duration
from autox_video.video.files.video_file import MAX_FPS, MIN_FPS, USUAL_FPS

JUMP_SEC, JUMP_FRAMES, JUMP_SHARE = 60.0, 100.0, 0.5
"""Gaps between frames are treated as clock errors if each is longer than both JUMP_SEC seconds and
JUMP_FRAMES typical gaps, and together they exceed the share JUMP_SHARE of the clip. Real pauses are
assumed not to exceed all three limits."""

HELD_FRAMES, HELD_SHARE = 10.0, 1 / 4
"""A clip is reported if frames shown for more than HELD_FRAMES times the typical duration make up
more than the share HELD_SHARE of the clip's length."""

REPEATED_SHARE = 0.1
"""A clip is reported if more than this share of its frames repeat the previous timestamp."""

MOST_REORDERED, FEW_REORDERED = 16, 4
"""Maximum number of frames that are decoded before a frame but displayed after it. FEW_REORDERED
applies to files that claim not to reorder frames, and MOST_REORDERED to all others."""

TIME_TOLERANCE_SEC = 1e-6
"""Tolerance for rounding errors when comparing a frame's time with its number divided by fps."""

MISSING = np.iinfo(np.int64).min
"""Value that represents a missing timestamp."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """Timestamps of a clip's packets, in ticks, as arrays of shape (P,).

    Attributes:
        shown_at: int64, presentation time (PTS); MISSING if unknown.
        decoded_at: int64, decoding time (DTS); MISSING if unknown.
        durations: int64, display duration of the frame; 0 if unknown.
        is_key: bool, whether decoding can start at the packet.
        is_shown: bool, whether the frame is displayed.
        stores_decoding: whether `decoded_at` comes from the file rather than being estimated.
        most_reordered: maximum number of frames that are decoded before a frame but displayed after
            it.
    """

    shown_at: np.ndarray
    decoded_at: np.ndarray
    durations: np.ndarray
    is_key: np.ndarray
    is_shown: np.ndarray
    stores_decoding: bool
    most_reordered: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of a clip (at least one) in display order, and their times.

    Attributes:
        displayed: packet number of each frame, (N,) int64.
        starts: start time of each frame in seconds, (N,) float64; sorted, beginning at 0.
        seconds: length of the clip in seconds, > 0.
        odd: clauses that describe repairs and unusual timestamps.
        in_stamp_order: whether frames are displayed in the order of their timestamps.
        follows_stamps: whether each frame is displayed at the time given by its timestamp.
    """

    displayed: np.ndarray
    starts: np.ndarray
    seconds: float
    odd: tuple[str, ...] = ()
    in_stamp_order: bool = True
    follows_stamps: bool = True

    def on_screen(self, seconds: np.ndarray) -> np.ndarray:
        """Return the index in `displayed` of the frame on screen at each of the times (T,)."""
        return np.maximum(np.searchsorted(self.starts, seconds, side="right") - 1, 0)

    def places(self, packets: int) -> np.ndarray:
        """Return the index (P,) in `displayed` of each packet; -1 if its frame is not displayed."""
        places = np.full(packets, -1, dtype=np.int64)
        places[self.displayed] = np.arange(len(self.displayed))
        return places

    def starts_of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the start times of the given frame numbers (T,), extrapolating past the end."""
        count = len(self.starts)
        starts = self.starts[np.minimum(numbers, count - 1).astype(np.int64)]
        return np.where(numbers < count, starts, numbers * (self.seconds / count))

    @property
    def is_even(self) -> bool:
        """Whether the frames are evenly spaced at the mean frame rate."""
        numbers = np.arange(len(self.starts))
        evenly = numbers * (self.seconds / len(self.starts))
        return bool(np.abs(self.starts - evenly).max() < TIME_TOLERANCE_SEC)

    @property
    def nbytes(self) -> int:
        """Memory used, in bytes."""
        return self.displayed.nbytes + self.starts.nbytes


def lay_out(stamps: Stamps, *, tick_sec: float, nominal_fps: float) -> Timeline:
    """Return the timeline of a clip.

    Args:
        stamps: timestamps of the packets, at least one of which is displayed.
        tick_sec: seconds per tick.
        nominal_fps: frame rate to use if the timestamps do not give one.
    """
    is_missing = stamps.shown_at == MISSING
    if is_missing[stamps.is_shown].all():  # raw streams have no timestamps
        said = [f"its header gives {_rate(nominal_fps)}"] if _is_unusual(nominal_fps) else []
        return _evenly(np.flatnonzero(stamps.is_shown), nominal_fps, *said)
    shown_at = _filled(stamps.shown_at, is_missing, 1 / nominal_fps / tick_sec)
    displayed, last_of_clocks = _in_order(shown_at, stamps)
    moments = (shown_at[displayed] - shown_at[displayed[0]]) * tick_sec
    gaps = np.append(np.diff(moments), max(stamps.durations[displayed[-1]], 0) * tick_sec)
    gaps[last_of_clocks] = np.nan
    typical = _typical(gaps[:-1], gaps[-1] or 1 / nominal_fps)
    if not MIN_FPS <= 1 / typical <= MAX_FPS:
        said = f"its timestamps give an implausible {_rate(1 / typical)}"
        return _evenly(displayed, nominal_fps, f"{said}; {_rate(nominal_fps)} is used instead")
    repaired, odd = _repaired(gaps, typical, nominal_fps)
    follows_stamps = np.array_equal(repaired[:-1], gaps[:-1])
    if not follows_stamps:
        moments = np.concatenate([[0.0], np.cumsum(repaired[:-1])])
    seconds = float(moments[-1] + repaired[-1])
    return Timeline(
        displayed,
        moments,
        seconds,
        tuple(odd),
        in_stamp_order=not len(last_of_clocks),
        follows_stamps=follows_stamps,
    )


def _rate(fps: float) -> str:
    return f"{fps:.0f} frames/s" if fps >= 100 else f"{fps:.3g} frames/s"


def _is_unusual(fps: float) -> bool:
    return not USUAL_FPS[0] <= fps <= USUAL_FPS[1]


def _evenly(displayed: np.ndarray, fps: float, *odd: str) -> Timeline:
    moments = np.arange(len(displayed)) / fps
    seconds = len(displayed) / fps
    return Timeline(displayed, moments, seconds, odd, in_stamp_order=False, follows_stamps=False)


def _filled(shown_at: np.ndarray, is_missing: np.ndarray, frame_ticks: float) -> np.ndarray:
    """Return the timestamps, with missing ones interpolated from their neighbours."""
    if not is_missing.any():
        return shown_at
    known, number = np.flatnonzero(~is_missing), np.arange(len(shown_at))
    filled = np.interp(number, known, shown_at[known])
    filled -= np.maximum(known[0] - number, 0) * frame_ticks
    filled += np.maximum(number - known[-1], 0) * frame_ticks
    return np.where(is_missing, np.rint(filled).astype(np.int64), shown_at)


# ---- order ----


def _in_order(shown_at: np.ndarray, stamps: Stamps) -> tuple[np.ndarray, np.ndarray]:
    """Return displayed packets (N,) in display order, and the last index before each new clock."""
    clock = _clocks(shown_at, stamps)
    order = np.lexsort((shown_at, clock))
    displayed = order[stamps.is_shown[order]]
    return displayed, np.flatnonzero(np.diff(clock[displayed]))


def _clocks(shown_at: np.ndarray, stamps: Stamps) -> np.ndarray:
    """Return the clock number of each packet; a file made of joined recordings has several.

    Timestamps also decrease where frames are reordered. A decrease in the timestamps starts a new
    clock only if it occurs at a key frame, if the decoding time decreases too, or if it spans more
    frames than codecs can reorder.
    """
    starts = np.zeros(len(shown_at), dtype=np.int64)
    is_back = shown_at < np.maximum.accumulate(shown_at)
    if not is_back.any():
        return starts
    decoded_at, known = stamps.decoded_at, stamps.decoded_at != MISSING
    is_suspect = np.append(False, known[1:] & known[:-1] & (decoded_at[1:] < decoded_at[:-1]))
    if not stamps.stores_decoding:
        is_suspect &= shown_at < _least_before(shown_at, FEW_REORDERED + 1)
    is_suspect |= stamps.is_key
    reach = stamps.most_reordered + 1
    before = _least_before(shown_at, reach)
    if (is_back & (is_suspect | (shown_at < before))).any():
        first, latest = 0, shown_at[0]
        for number, stamp in enumerate(shown_at):
            if stamp < latest and (
                is_suspect[number] or (number - first >= reach and stamp < before[number])
            ):
                starts[number], first, latest = 1, number, stamp
            latest = max(latest, stamp)
    return np.cumsum(starts)


def _least_before(stamps: np.ndarray, count: int) -> np.ndarray:
    """Return the minimum of the `count` values preceding each value; MISSING if there are fewer."""
    padded = np.concatenate([np.full(count, MISSING), stamps])
    return np.lib.stride_tricks.sliding_window_view(padded, count)[:-1].min(axis=1)


# ---- gaps ----


def _typical(gaps: np.ndarray, otherwise: float) -> float:
    """Return the typical display duration of a frame, in seconds."""
    known = gaps[gaps > 0]
    return float(np.median(known)) if len(known) else otherwise


def _repaired(gaps: np.ndarray, typical: float, nominal_fps: float) -> tuple[np.ndarray, list[str]]:
    """Return display durations without clock errors, and clauses that describe unusual gaps.

    Args:
        gaps: display durations (N,) in seconds; NaN for the last frame before another clock starts.
            The last duration is 0 if the file does not give it.
        typical: typical display duration of a frame, in seconds.
        nominal_fps: frame rate according to the header.
    """
    repaired, odd = gaps.copy(), []
    if repaired[-1] <= 0:
        is_likely = typical / HELD_FRAMES < 1 / nominal_fps < typical * HELD_FRAMES
        repaired[-1] = 1 / nominal_fps if is_likely else typical
    if len(restarts := np.flatnonzero(np.isnan(repaired))):
        repaired[restarts] = typical
        place = _place(restarts)
        odd.append(f"its timestamps go back {place}; the parts were joined")
    if (repeated := np.count_nonzero(repaired == 0)) > REPEATED_SHARE * len(repaired):
        odd.append(f"{repeated} of its {len(repaired)} frames have duplicate timestamps")
    _spread(repaired)
    typical = float(np.median(repaired[:-1] if len(repaired) > 1 else repaired))
    if _is_unusual(1 / typical):
        odd.append(f"its timestamps give {_rate(1 / typical)}")
    if len(jumps := _jumps(repaired, typical)):
        odd.append(_say_jumps(repaired, jumps))
        repaired[jumps] = typical
    held = repaired > HELD_FRAMES * typical
    if repaired[held].sum() > HELD_SHARE * repaired.sum():
        numbers, share = np.flatnonzero(held) + 1, f"{repaired[held].sum():.3g} s of"
        who = f"{len(numbers)} of its {len(repaired)} frames stay"
        who = f"frame {numbers[0]} stays" if len(numbers) == 1 else who
        odd.append(f"{who} on screen for {share} {repaired.sum():.3g} s")
    return repaired, odd


def _spread(gaps: np.ndarray) -> None:
    """Divide the display time evenly among frames with equal timestamps, in place."""
    if not (gaps == 0).any():
        return
    gaps[-1] *= len(gaps) - np.flatnonzero(np.append(1.0, gaps[:-1]))[-1]  # the last run's time
    run = np.cumsum(np.append(True, gaps[:-1] != 0)) - 1
    gaps[:] = (np.bincount(run, gaps) / np.bincount(run))[run]


def _jumps(gaps: np.ndarray, typical: float) -> np.ndarray:
    """Return the indices of the gaps that are clock errors."""
    found = np.flatnonzero(gaps > max(JUMP_SEC, JUMP_FRAMES * typical))
    return found if gaps[found].sum() > JUMP_SHARE * gaps.sum() else found[:0]


def _say_jumps(gaps: np.ndarray, jumps: np.ndarray) -> str:
    first = jumps[0]
    if first == len(gaps) - 1:
        return f"its last frame lasts {duration(gaps[first])} and is cut to the typical length"
    return f"its timestamps jump by {duration(gaps[first])} {_place(jumps)}; the gap is closed"


def _place(frames: np.ndarray) -> str:
    more = f" and {len(frames) - 1} others" if len(frames) > 2 else ""
    more = f" and frame {frames[1] + 1}" if len(frames) == 2 else more
    return f"after frame {frames[0] + 1}{more}"
