"""Where a run must end to stay within its time, as a table of cases."""

import pytest

from autox_video.planning.cutting import Early, End, Place, end_in_time, needed_sec, steps_worth

START = Place(step=0, epoch=0, steps_in_epoch=10, interval=2)
WHOLE = End(epochs=8, last_step=80)


@pytest.mark.parametrize(
    ("place", "end", "seconds"),
    [
        (START, WHOLE, 80 + 4 * 3),
        (Place(40, 4, 10, 2), WHOLE, 40 + 2 * 3),
        (Place(75, 7, 10, 2), WHOLE, 5 + 3),
        (START, End(3, 25), 25 + 2 * 3),
        (Place(80, 8, 10, 2), WHOLE, 0),
    ],
)
def test_what_is_needed(place, end, seconds):
    assert needed_sec(place, end, 1.0, 3.0) == seconds


@pytest.mark.parametrize(
    ("place", "left_sec", "end"),
    [
        (START, 92.0, WHOLE),
        (START, 91.9, End(7, 70)),
        (START, 50.0, End(4, 40)),
        (START, 13.0, End(1, 10)),
        (START, 9.5, End(1, 6)),  # in the middle of the only epoch
        (START, 0.0, End(1, 1)),  # one step is always made
        (START, -5.0, End(1, 1)),
        (Place(40, 4, 10, 2), 20.0, End(5, 50)),
        (Place(40, 4, 10, 2), 8.0, End(5, 45)),
        (Place(40, 4, 10, 2), 3.5, End(4, 40)),  # no step more
        (Place(44, 4, 10, 2), -1.0, End(5, 44)),
        (Place(44, 4, 10, 2), 6.0, End(5, 47)),
    ],
)
def test_the_last_end_that_can_be_reached(place, left_sec, end):
    assert end_in_time(place, WHOLE, 1.0, 3.0, left_sec=left_sec) == end


def test_what_was_cut_stays_cut():
    cut = End(5, 46)
    assert end_in_time(Place(43, 4, 10, 2), cut, 1.0, 3.0, left_sec=1e9) == cut
    assert end_in_time(Place(43, 4, 10, 2), cut, 1.0, 3.0, left_sec=5.0) == End(5, 45)


@pytest.mark.parametrize("left_sec", [x / 3 for x in range(0, 300, 7)])
def test_no_end_needs_more_than_there_is(left_sec):
    end = end_in_time(START, WHOLE, 1.0, 3.0, left_sec=left_sec)
    assert needed_sec(START, end, 1.0, 3.0) <= max(left_sec, 1.0 + 3.0)


@pytest.mark.parametrize(
    ("start", "stop", "worth"),
    [(0, 40, 10.0), (0, 80, 50.0), (30, 50, 12.5), (40, 80, 40.0), (50, 50, 0.0), (9, 3, 0.0)],
)
def test_quick_steps_count_for_less(start, stop, worth):
    assert steps_worth(start, stop, 80, Early(0.5, 0.25)) == worth


def test_more_epochs_fit_where_the_first_steps_are_quick():
    early = Early(0.5, 0.5)
    assert needed_sec(START, WHOLE, 1.0, 3.0, early) == 20 + 40 + 4 * 3
    assert end_in_time(START, WHOLE, 1.0, 3.0, left_sec=72.0, early=early) == WHOLE
    # An earlier end moves the border between quick and other steps.
    assert end_in_time(START, WHOLE, 1.0, 3.0, left_sec=71.0, early=early) == End(7, 70)
    late = Place(60, 6, 10, 2)
    assert end_in_time(late, WHOLE, 1.0, 3.0, left_sec=22.9, early=early) == End(7, 70)
