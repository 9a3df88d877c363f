"""Where training did harm: a table of courses."""

import pytest

from autox_video.plan.peak import peak_epoch

RISE = (0.2, 0.5, 0.7, 0.76, 0.75)
FALL = (*RISE, 0.66, 0.58, 0.52, 0.51, 0.51)


@pytest.mark.parametrize(
    ("merits", "error", "peak"),
    [
        (RISE, 0.1, None),  # nothing fell
        (FALL, 0.1, 8),  # 0.737 around the fourth, 0.51 at the end
        (FALL, 0.25, None),
        ((*RISE, 0.74, 0.72, 0.73), 0.05, None),
        ((*RISE, 0.74, 0.72, 0.73), 0.01, 10),
        ((-0.3, -0.2, 0.9, -0.2, -0.3, -0.3), 0.1, 6),
        ((0.5, 0.5, 0.58, 0.5, 0.5, 0.5), 0.05, None),  # one lucky evaluation
        ((1.0, 1.0, 1.0, 1.0), 0.0, None),
        ((1.0, 1.0, 1.0, 0.9, 0.9), 0.05, 4),
        ((0.9, 0.5, 0.1), 0.01, None),  # too few evaluations
        ((), 0.1, None),
    ],
)
def test_the_peak_is_told_where_the_merit_fell_clearly(merits, error, peak):
    evaluations = [(2 * (at + 1), merit) for at, merit in enumerate(merits)]
    assert peak_epoch(evaluations, error=error) == peak


def test_of_equal_peaks_the_first_is_taken():
    merits = (0.1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1)
    assert peak_epoch(list(enumerate(merits)), error=0.1) == 2
