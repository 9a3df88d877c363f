"""Where training did harm: a table of courses."""

import pytest

from autox_video.metrics.peak import peak_epoch

RISE = (0.2, 0.5, 0.7, 0.76, 0.75)
FALL = (*RISE, 0.66, 0.58, 0.52, 0.51, 0.51)


@pytest.mark.parametrize(
    ("merits", "clips", "peak"),
    [
        (RISE, 25, None),  # nothing fell
        (FALL, 25, 8),  # 0.737 around the fourth, 0.513 at the end; 25 clips leave 0.1 open
        (FALL, 4, None),
        ((*RISE, 0.74, 0.72, 0.73), 100, None),
        ((*RISE, 0.74, 0.72, 0.73), 2500, 10),
        ((-0.3, -0.2, 0.9, -0.2, -0.3, -0.3), 25, 6),
        ((0.5, 0.5, 0.58, 0.5, 0.5, 0.5), 100, None),  # one lucky evaluation
        ((1.0, 1.0, 1.0, 1.0), 10_000, None),
        ((1.0, 1.0, 1.0, 0.9, 0.9), 100, 4),
        ((0.9, 0.5, 0.1), 10_000, None),  # too few evaluations
        ((), 25, None),
    ],
)
def test_the_peak_is_told_where_the_merit_fell_clearly(merits, clips, peak):
    evaluations = [(2 * (at + 1), merit) for at, merit in enumerate(merits)]
    assert peak_epoch(evaluations, clips) == peak


def test_of_equal_peaks_the_first_is_taken():
    merits = (0.1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1)
    assert peak_epoch(list(enumerate(merits)), 25) == 2
