"""Where a run must end to stay within its time, as a table of cases."""

import pytest

from autox_video.training.deadline import EarlySteps, End, Pace

WHOLE = End(epochs=8, last_step=80)


def at(step, early=EarlySteps()):  # noqa: B008 (it is frozen)
    """A run of ten steps in an epoch, each of a second, and an evaluation of three every other."""
    return Pace(step, step // 10, 10, 2, step_sec=1.0, evaluation_sec=3.0, early=early)


@pytest.mark.parametrize(
    ("step", "end", "seconds"),
    [
        (0, WHOLE, 80 + 4 * 3),
        (40, WHOLE, 40 + 2 * 3),
        (75, WHOLE, 5 + 3),
        (0, End(3, 25), 25 + 2 * 3),
        (80, WHOLE, 0),
    ],
)
def test_what_is_needed(step, end, seconds):
    assert at(step).needed_sec(end) == seconds


@pytest.mark.parametrize(
    ("step", "left_sec", "end"),
    [
        (0, 92.0, WHOLE),
        (0, 91.9, End(7, 70)),
        (0, 50.0, End(4, 40)),
        (0, 13.0, End(1, 10)),
        (0, 9.5, End(1, 6)),  # in the middle of the only epoch
        (0, 0.0, End(1, 1)),  # one step is always made
        (0, -5.0, End(1, 1)),
        (40, 20.0, End(5, 50)),
        (40, 8.0, End(5, 45)),
        (40, 3.5, End(4, 40)),  # no step more
        (44, -1.0, End(5, 44)),
        (44, 6.0, End(5, 47)),
    ],
)
def test_the_last_end_that_can_be_reached(step, left_sec, end):
    assert at(step).end_in_time(WHOLE, left_sec) == end


def test_what_was_cut_stays_cut():
    cut = End(5, 46)
    assert at(43).end_in_time(cut, 1e9) == cut
    assert at(43).end_in_time(cut, 5.0) == End(5, 45)


@pytest.mark.parametrize("left_sec", [x / 3 for x in range(0, 300, 7)])
def test_no_end_needs_more_than_there_is(left_sec):
    end = at(0).end_in_time(WHOLE, left_sec)
    assert at(0).needed_sec(end) <= max(left_sec, 1.0 + 3.0)


@pytest.mark.parametrize(
    ("start", "stop", "worth"),
    [(0, 40, 10.0), (0, 80, 50.0), (30, 50, 12.5), (40, 80, 40.0), (50, 50, 0.0), (9, 3, 0.0)],
)
def test_quick_steps_count_for_less(start, stop, worth):
    assert EarlySteps(0.5, 0.25).worth(start, stop, 80) == worth


def test_more_epochs_fit_where_the_first_steps_are_quick():
    early = EarlySteps(0.5, 0.5)
    assert at(0, early).needed_sec(WHOLE) == 20 + 40 + 4 * 3
    assert at(0, early).end_in_time(WHOLE, 72.0) == WHOLE
    # An earlier end moves the border between quick and other steps.
    assert at(0, early).end_in_time(WHOLE, 71.0) == End(7, 70)
    assert at(60, early).end_in_time(WHOLE, 22.9) == End(7, 70)
