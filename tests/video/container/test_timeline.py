"""When frames are on screen: true times where stamps make sense, even ones where they do not."""

import re

import numpy as np
import pytest

from autox_video.video.container.timeline import MISSING, MOST_REORDERED, Stamps, lay_out

MS = 1e-3
HOUR_MS = 3_600_000
SAMPLES = 16
UNEVEN = 0.25 + 1 / SAMPLES
"""How far from its even place, as a part of the frames, a sample may be in a clip that is not said
to be odd: what is true of a clip may stand still for a while."""


def stamps(
    shown_at, *, decoded_at=None, last=40, keys=(0,), shown=None, reorders=False, stores=True
):
    """Make Stamps; None stands for a stamp that is missing."""
    count = len(shown_at)
    at = np.array([MISSING if stamp is None else stamp for stamp in shown_at], dtype=np.int64)
    durations = np.zeros(count, dtype=np.int64)
    durations[[at.argmax(), -1]] = last
    return Stamps(
        at,
        np.full(count, MISSING) if decoded_at is None else np.array(decoded_at, dtype=np.int64),
        durations,
        np.isin(np.arange(count), keys),
        np.ones(count, dtype=bool) if shown is None else np.array(shown),
        stores_decoding=stores,
        most_reordered=MOST_REORDERED if reorders else 0,
    )


def laid_out(shown_at, *, tick_sec=MS, fps=25.0, **more):
    return lay_out(stamps(shown_at, **more), tick_sec=tick_sec, nominal_fps=fps)


def starts_ms(timeline):
    return [round(start * 1000) for start in timeline.starts]


EVEN = list(range(0, 2400, 40))

# ---- what makes sense is followed to the letter ----

SOUND = {
    "constant": (EVEN, {}),
    "negative start": ([-80, -40, 0, 40], {}),
    "start at ten hours": ([36_000_000, 36_000_040, 36_000_080], {}),
    "variable": ([0, 10, 60, 120, 130, 250, 290], {"last": 100}),
    "1 frame in 10 s": (list(range(0, 200_000, 10_000)), {"last": 10_000}),
    "half a frame a second": (list(range(0, 60_000, 2_000)), {"last": 2_000}),
    "500 frames a second": (list(range(0, 120, 2)), {"last": 2}),
    "slides of minutes in an hour": (
        sorted({*range(0, 3_600_000, 100)} - {*range(600_000, 900_000, 100)}),
        {"last": 100},
    ),
    "one frame": ([0], {}),
    "two frames": ([0, 40], {}),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_stamps_are_true_times_and_nothing_is_odd(kind):
    shown_at, more = SOUND[kind]
    timeline = laid_out(shown_at, **more)
    assert starts_ms(timeline) == [stamp - shown_at[0] for stamp in shown_at]
    assert timeline.seconds == pytest.approx(
        (shown_at[-1] - shown_at[0] + more.get("last", 40)) * MS
    )
    assert timeline.odd == () and timeline.follows_stamps and timeline.in_stamp_order


def test_stillness_of_20_s_keeps_its_time_but_is_told():
    still = [*range(0, 1200, 40), *range(21_200, 22_400, 40)]
    timeline = laid_out(still)
    assert starts_ms(timeline) == still
    assert timeline.seconds == pytest.approx(22.4)
    assert timeline.follows_stamps
    assert timeline.odd == ("frame 30 stays on screen for 20 s of 22.4 s",)


def test_frames_are_shown_in_the_order_of_their_stamps():
    timeline = laid_out([0, 120, 40, 80, 240, 160, 200], reorders=True)
    assert timeline.displayed.tolist() == [0, 2, 3, 1, 5, 6, 4]
    assert starts_ms(timeline) == list(range(0, 280, 40))
    assert timeline.odd == ()


@pytest.mark.parametrize("gap_ms", [40, 20_000])
def test_a_frame_that_many_lean_on_is_no_new_clock(gap_ms):
    # 16 frames between two others, decoded behind both, the second shown after a long stillness.
    between = [40 * number for number in range(1, 17)]
    last = between[-1] + gap_ms
    timeline = laid_out([0, last, *between], decoded_at=range(18), reorders=True)
    assert starts_ms(timeline) == [0, *between, last]
    assert timeline.in_stamp_order


def test_frames_that_are_cut_off_are_not_shown():
    timeline = laid_out([-80, -40, 0, 40], shown=[False, False, True, True])
    assert timeline.displayed.tolist() == [2, 3]
    assert starts_ms(timeline) == [0, 40]
    assert timeline.places(4).tolist() == [-1, -1, 0, 1]


def test_on_screen_is_the_last_that_began():
    timeline = laid_out([100, 300, 200], reorders=True)
    places = timeline.on_screen(np.array([0.0, 0.09, 0.1, 0.199, 0.2, 5.0]))
    assert places.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("shown_at", "last", "is_even"),
    [
        (EVEN, 40, True),
        ([36_000_000, 36_000_040], 40, True),
        ([5], 40, True),
        (EVEN, 80, False),  # every frame is behind its place at the mean rate
        ([0, 33, 67, 100], 33, False),  # 30 frames/s in milliseconds
        ([0, 40, 90, 120], 40, False),
    ],
)
def test_frames_of_an_even_clip_start_at_their_number_over_the_rate(shown_at, last, is_even):
    assert laid_out(shown_at, last=last).is_even is is_even


def test_starts_of_frames_by_number():
    timeline = laid_out([0, 40, 90, 120], last=80)
    starts = timeline.starts_of(np.array([0, 2, 3, 4, 6, np.inf]))
    assert starts == pytest.approx([0, 0.09, 0.12, 0.2, 0.3, np.inf])


# ---- faults of the clock ----

FAULTS = {
    "jump of a day": ([t + (95_443_717 if t >= 800 else 0) for t in EVEN], {}, r"by 26 h .* 20;"),
    "jump of two minutes": ([t + (120_000 if t >= 800 else 0) for t in EVEN], {}, "by 2 min"),
    "two jumps": (
        [t + HOUR_MS * ((t >= 800) + (t >= 1600)) for t in EVEN],
        {},
        "by 1 h 00 min after frame 20 and frame 40; the gap is closed",
    ),
    "jump after the first": ([0, *(t + HOUR_MS for t in EVEN[1:])], {}, "after frame 1;"),
    "last frame for an hour": (EVEN, {"last": HOUR_MS}, "last frame lasts 1 h 00 min"),
    "jump back": ([t - (700 if t >= 800 else 0) for t in EVEN], {}, "go back after frame 20;"),
    "jump back by a frame": ([t - (80 if t >= 800 else 0) for t in EVEN], {}, "after frame 20;"),
    "joined": ([t % 800 for t in EVEN], {}, "go back after frame 20 and frame 40"),
    "joined at key frames": (
        [t % 400 for t in EVEN],
        {"keys": range(0, 60, 10), "reorders": True},
        "go back after frame 10 and 4 others",
    ),
    "joined, decoding tells": (
        [t % 400 for t in EVEN],
        {"decoded_at": [t % 400 for t in EVEN], "reorders": True},
        "go back after frame 10 and 4 others",
    ),
    "jump back, guesses of decoding tell": (
        [t - (300 if t >= 800 else 0) for t in EVEN],
        {"decoded_at": [t - (300 if t >= 800 else 0) for t in EVEN], "reorders": True, "stores": 0},
        "go back after frame 20;",
    ),
    "joined, decoding does not tell": (
        [t % 1200 for t in EVEN],
        {"reorders": True},
        "go back after frame 30;",
    ),
    "one clock for all": ([7] * 60, {}, "59 of its 60 frames have duplicate timestamps"),
    "whole seconds": ([t // 1000 * 1000 for t in EVEN], {}, "frames have duplicate time"),
    "pairs": ([t // 80 * 80 for t in EVEN], {}, "30 of its 60 frames have duplicate time"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_are_repaired_and_told(kind):
    shown_at, more, said = FAULTS[kind]
    timeline = laid_out(shown_at, **more)
    assert timeline.displayed.tolist() == list(range(60))
    assert starts_ms(timeline) == EVEN
    assert timeline.seconds == pytest.approx(2.4)
    (odd,) = timeline.odd
    assert re.search(said, odd)
    assert not timeline.follows_stamps or kind == "last frame for an hour"


@pytest.mark.parametrize(
    ("rate", "is_believed", "is_odd"),
    [
        (0.001, True, True),
        (0.02, True, True),
        (0.1, True, False),
        (25, True, False),
        (960, True, False),
        (2_000, True, True),
        (50_000, True, True),
        (2_000_000, False, True),
        (1e-5, False, True),
    ],
)
def test_rates_out_of_range(rate, is_believed, is_odd):
    tick = 1 / rate / 10
    timeline = laid_out(range(0, 600, 10), last=10, tick_sec=tick)
    fps = rate if is_believed else 25
    np.testing.assert_allclose(timeline.starts, np.arange(60) / fps, atol=1e-12)
    assert timeline.seconds == pytest.approx(60 / fps)
    assert bool(timeline.odd) == is_odd


def test_raw_streams_without_a_clock_have_the_rate_of_their_header():
    timeline = laid_out([None] * 10, fps=50.0)
    assert starts_ms(timeline) == list(range(0, 200, 20))
    assert (timeline.seconds, timeline.odd) == (0.2, ())


def test_missing_stamps_lie_between_their_neighbours():
    timeline = laid_out([None, 40, None, None, 160, None])
    assert starts_ms(timeline) == list(range(0, 240, 40))


@pytest.mark.parametrize(("unsaid", "seconds"), [(25.0, 2.4), (1.0, 2.4), (1e4, 2.4)])
def test_a_last_frame_without_a_duration_stays_as_long_as_is_likely(unsaid, seconds):
    assert laid_out(EVEN, last=0, fps=unsaid).seconds == pytest.approx(seconds)


# ---- any stamps at all ----


def made(rng):
    """Give stamps of a clip as a camera writes them, and then as faults leave them."""
    count = int(rng.integers(20, 400))
    step = int(rng.choice([1, 4, 33, 40, 2000]))
    times = np.arange(count) * step + int(rng.integers(-1000, 10**6))
    order = np.arange(count)
    if reorders := bool(rng.integers(2)):  # two frames between others, decoded behind them
        order[1 : 1 + 3 * ((count - 1) // 3)] = (
            order[1 : 1 + 3 * ((count - 1) // 3)].reshape(-1, 3)[:, [2, 0, 1]].reshape(-1)
        )
    place = int(rng.integers(1, count))
    last = step
    fault = rng.choice(["none", "jump", "back", "joined", "last", "equal", "lost", "outlier"])
    if fault == "jump":
        times[place:] += int(10 ** rng.uniform(1, 9))
    elif fault == "back":
        times[place:] -= int(step * rng.uniform(1, 3 * count))
    elif fault == "joined":
        times[place:] -= times[place] - times[0]
    elif fault == "last":
        last = int(10 ** rng.uniform(1, 9))
    elif fault == "equal":
        times = times // (step * 7) * (step * 7)
    elif fault == "outlier" and place < count - 1:
        times[place] += int(10 ** rng.uniform(1, 9))
    shown_at = times[order].tolist()
    if fault == "lost":
        shown_at = [None if rng.random() < 0.3 else stamp for stamp in shown_at]
    # What a container that stores times of decoding has: they rise with the clock.
    decoded_at = np.maximum.accumulate(times) if fault == "none" else times
    keys = {0, *(order[place : place + 1].tolist() if fault == "joined" else ())}
    stores = bool(rng.integers(2)) and fault != "lost"
    return fault, {
        "shown_at": shown_at,
        "decoded_at": decoded_at if stores and not reorders else None,
        "last": last,
        "keys": sorted(keys),
        "reorders": reorders,
    }


@pytest.mark.parametrize("seed", range(40))
def test_samples_are_spread_over_the_frames_or_the_clip_is_said_to_be_odd(seed):
    rng = np.random.default_rng(seed)
    shares = (np.arange(SAMPLES) + 0.5) / SAMPLES
    for _ in range(25):
        fault, given = made(rng)
        timeline = laid_out(**given)
        count = len(timeline.displayed)
        assert sorted(timeline.displayed.tolist()) == list(range(count))
        assert timeline.starts[0] == 0 and (np.diff(timeline.starts) >= 0).all()
        assert timeline.seconds > timeline.starts[-1]
        seen = timeline.on_screen(shares * timeline.seconds) / count
        if not timeline.odd:
            assert np.abs(seen - shares).max() <= UNEVEN, (fault, given)
        if fault == "none":
            times = np.sort(given["shown_at"])
            np.testing.assert_allclose(timeline.starts, (times - times[0]) * MS)
            assert timeline.odd == ()
