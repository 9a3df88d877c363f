"""When each frame of a clip is on screen: one decision from its time stamps, faults repaired.

A clip's length, the times it is sampled at and all decoders go by this. Stamps that make sense are
followed to the letter, so that a variable frame rate, a slow webcam or a screen recording that
stands still keep their true times. What was repaired, and what is odd, is said in words.

Shape legend: P packets in order of decoding, N frames in order of display.
"""

from dataclasses import dataclass

import numpy as np

from autox_video.core.durations import duration
from autox_video.video.files.video_file import MAX_FPS, MIN_FPS, USUAL_FPS

JUMP_SEC, JUMP_FRAMES, JUMP_SHARE = 60.0, 100.0, 0.5
"""Gaps that are longer than this, and so many times as long as most, are faults of the clock where
together they take this share of the clip: real stillness is shorter, or a smaller part of it."""

HELD_FRAMES, HELD_SHARE = 10.0, 1 / 4
"""A clip is odd where frames that stay so many times as long as most do take this share of it."""

REPEATED_SHARE = 0.1
"""A clip is odd where a larger share of its frames has the same stamp as the frame before."""

MOST_REORDERED, FEW_REORDERED = 16, 4
"""How many frames that are decoded before another may be shown after it: in any coding, and where
other signs say that it should be none."""

TIME_TOLERANCE_SEC = 1e-6
"""N / fps in floating point may fall short of frame N's own time by this much."""

MISSING = np.iinfo(np.int64).min
"""Stands for a stamp that a packet does not have."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the packets of a clip say of time, (P,) each, in ticks.

    Attributes:
        shown_at: int64, when the frame comes on screen, MISSING where unsaid.
        decoded_at: int64, when it is decoded, MISSING where unsaid.
        durations: int64, how long the frame stays, 0 where unsaid.
        is_key: bool, whether decoding can start there.
        is_shown: bool, whether the frame comes on screen at all.
        stores_decoding: whether `decoded_at` is from the file, and not guessed.
        most_reordered: how many frames that are decoded before another may be shown after it.
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
    """The frames of a clip in order of display, of which there is at least one.

    Attributes:
        displayed: (N,) int64, the number of each frame's packet.
        starts: (N,) float64, seconds from the first frame on, never falling.
        seconds: length, > 0.
        odd: what was repaired or is odd about its times.
        in_stamp_order: whether frames are shown in the order of their stamps.
        follows_stamps: whether they are shown at the times of their stamps, too.
    """

    displayed: np.ndarray
    starts: np.ndarray
    seconds: float
    odd: tuple[str, ...] = ()
    in_stamp_order: bool = True
    follows_stamps: bool = True

    def on_screen(self, seconds: np.ndarray) -> np.ndarray:
        """Give the place in `displayed` of the frame on screen at each time, (T,) each."""
        return np.maximum(np.searchsorted(self.starts, seconds, side="right") - 1, 0)

    def places(self, packets: int) -> np.ndarray:
        """Give of each packet the place of its frame in `displayed`: (P,), -1 where not shown."""
        places = np.full(packets, -1, dtype=np.int64)
        places[self.displayed] = np.arange(len(self.displayed))
        return places

    def starts_of(self, numbers: np.ndarray) -> np.ndarray:
        """Give when frames start by their numbers, (T,); behind the end at the mean frame rate."""
        count = len(self.starts)
        starts = self.starts[np.minimum(numbers, count - 1).astype(np.int64)]
        return np.where(numbers < count, starts, numbers * (self.seconds / count))

    @property
    def is_even(self) -> bool:
        """Whether frame N starts at N / mean frame rate."""
        numbers = np.arange(len(self.starts))
        evenly = numbers * (self.seconds / len(self.starts))
        return bool(np.abs(self.starts - evenly).max() < TIME_TOLERANCE_SEC)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return self.displayed.nbytes + self.starts.nbytes


def lay_out(stamps: Stamps, *, tick_sec: float, nominal_fps: float) -> Timeline:
    """Decide when each frame of a clip is on screen.

    Args:
        stamps: what the packets say; at least one is shown.
        tick_sec: seconds of a tick.
        nominal_fps: frames per second where stamps do not tell.
    """
    is_missing = stamps.shown_at == MISSING
    if is_missing[stamps.is_shown].all():  # raw streams have no clock
        said = [f"its header gives {_rate(nominal_fps)}"] if _is_unusual(nominal_fps) else []
        return _evenly(np.flatnonzero(stamps.is_shown), nominal_fps, *said)
    shown_at = _filled(stamps.shown_at, is_missing, 1 / nominal_fps / tick_sec)
    displayed, last_of_clocks = _in_order(shown_at, stamps)
    moments = (shown_at[displayed] - shown_at[displayed[0]]) * tick_sec
    gaps = np.append(np.diff(moments), max(stamps.durations[displayed[-1]], 0) * tick_sec)
    gaps[last_of_clocks] = np.nan
    typical = _typical(gaps[:-1], gaps[-1] or 1 / nominal_fps)
    if not MIN_FPS <= 1 / typical <= MAX_FPS:
        instead = f"which is not believed: {_rate(nominal_fps)} are taken"
        return _evenly(
            displayed, nominal_fps, f"its time stamps give {_rate(1 / typical)}, {instead}"
        )
    mended, odd = _mended(gaps, typical, nominal_fps)
    follows_stamps = np.array_equal(mended[:-1], gaps[:-1])
    if not follows_stamps:
        moments = np.concatenate([[0.0], np.cumsum(mended[:-1])])
    seconds = float(moments[-1] + mended[-1])
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
    """Give stamps to the packets that have none: between those of their neighbours."""
    if not is_missing.any():
        return shown_at
    known, number = np.flatnonzero(~is_missing), np.arange(len(shown_at))
    filled = np.interp(number, known, shown_at[known])
    filled -= np.maximum(known[0] - number, 0) * frame_ticks
    filled += np.maximum(number - known[-1], 0) * frame_ticks
    return np.where(is_missing, np.rint(filled).astype(np.int64), shown_at)


# ---- order ----


def _in_order(shown_at: np.ndarray, stamps: Stamps) -> tuple[np.ndarray, np.ndarray]:
    """Give the packets that are shown in order of display, (N,), and the last places of clocks."""
    clock = _clocks(shown_at, stamps)
    order = np.lexsort((shown_at, clock))
    displayed = order[stamps.is_shown[order]]
    return displayed, np.flatnonzero(np.diff(clock[displayed]))


def _clocks(shown_at: np.ndarray, stamps: Stamps) -> np.ndarray:
    """Give the number of each packet's clock: a clip has one, joined recordings have several.

    A stamp may well go back, as frames are decoded early on which others lean. It does not at a key
    frame, nor where the time of decoding goes back too, nor over more frames than codings allow.
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
    """Give the least of so many stamps before each, MISSING where there are not so many."""
    padded = np.concatenate([np.full(count, MISSING), stamps])
    return np.lib.stride_tricks.sliding_window_view(padded, count)[:-1].min(axis=1)


# ---- gaps ----


def _typical(gaps: np.ndarray, otherwise: float) -> float:
    """Give how long most frames stay on screen, in seconds."""
    known = gaps[gaps > 0]
    return float(np.median(known)) if len(known) else otherwise


def _mended(gaps: np.ndarray, typical: float, nominal_fps: float) -> tuple[np.ndarray, list[str]]:
    """Give how long each frame stays on screen, without faults of the clock, and what was odd.

    Args:
        gaps: (N,) seconds; NaN for the last frame of a clock that is followed by another; the last
            is 0 where the file does not say.
        typical: seconds that most of them take.
        nominal_fps: frames per second by the header.
    """
    mended, odd = gaps.copy(), []
    if mended[-1] <= 0:
        is_likely = typical / HELD_FRAMES < 1 / nominal_fps < typical * HELD_FRAMES
        mended[-1] = 1 / nominal_fps if is_likely else typical
    if len(restarts := np.flatnonzero(np.isnan(mended))):
        mended[restarts] = typical
        place = _place(restarts)
        odd.append(f"its clock goes back {place}; what comes then is made to follow on")
    if (repeated := np.count_nonzero(mended == 0)) > REPEATED_SHARE * len(mended):
        odd.append(f"{repeated} of its {len(mended)} frames have the time stamp of another")
    _spread(mended)
    typical = float(np.median(mended[:-1] if len(mended) > 1 else mended))
    if _is_unusual(1 / typical):
        odd.append(f"its time stamps give {_rate(1 / typical)}")
    if len(jumps := _jumps(mended, typical)):
        odd.append(_say_jumps(mended, jumps))
        mended[jumps] = typical
    held = mended > HELD_FRAMES * typical
    if mended[held].sum() > HELD_SHARE * mended.sum():
        numbers, share = np.flatnonzero(held) + 1, f"{mended[held].sum():.3g} s of its"
        who = f"{len(numbers)} of its {len(mended)} frames stay"
        who = f"its frame {numbers[0]} stays" if len(numbers) == 1 else who
        odd.append(f"{who} on screen for {share} {mended.sum():.3g} s")
    return mended, odd


def _spread(gaps: np.ndarray) -> None:
    """Share the time of frames with equal stamps among them, all of which the last one has."""
    if not (gaps == 0).any():
        return
    gaps[-1] *= len(gaps) - np.flatnonzero(np.append(1.0, gaps[:-1]))[-1]  # none follows them
    run = np.cumsum(np.append(True, gaps[:-1] != 0)) - 1
    gaps[:] = (np.bincount(run, gaps) / np.bincount(run))[run]


def _jumps(gaps: np.ndarray, typical: float) -> np.ndarray:
    """Give the places of gaps that are no time that passed."""
    found = np.flatnonzero(gaps > max(JUMP_SEC, JUMP_FRAMES * typical))
    return found if gaps[found].sum() > JUMP_SHARE * gaps.sum() else found[:0]


def _say_jumps(gaps: np.ndarray, jumps: np.ndarray) -> str:
    first = jumps[0]
    if first == len(gaps) - 1:
        return f"its last frame lasts {duration(gaps[first])}, which is cut to that of the others"
    return f"its clock jumps by {duration(gaps[first])} {_place(jumps)}; the gap is closed"


def _place(frames: np.ndarray) -> str:
    more = f" and {len(frames) - 1} others" if len(frames) > 2 else ""
    more = f" and frame {frames[1] + 1}" if len(frames) == 2 else more
    return f"after frame {frames[0] + 1}{more}"
