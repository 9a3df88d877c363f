"""Where training did harm: a table of courses."""

import pytest

from autox_video.plan.peak import peak_epoch

RISE = (0.2, 0.5, 0.7, 0.76, 0.75)
FALL = (*RISE, 0.66, 0.58, 0.52, 0.51, 0.51)


@pytest.mark.parametrize(
    ("scores", "clips", "peak"),
    [
        (RISE, 21, None),  # nothing fell
        (FALL, 21, 8),  # 0.74 around the fourth, 0.51 at the end, 0.1 is clear
        (FALL, 3, None),  # three clips cannot tell 0.74 from 0.51
        ((*RISE, 0.74, 0.72, 0.73), 48, None),  # within what 48 clips leave open
        ((*RISE, 0.74, 0.72, 0.73), 4000, 10),
        ((0.3, 0.3, 0.9, 0.3, 0.3, 0.3), 48, 4),
        ((0.5, 0.5, 0.58, 0.5, 0.5, 0.5), 48, None),  # one lucky evaluation
        ((1.0, 1.0, 1.0, 1.0), 48, None),
        ((1.0, 1.0, 1.0, 0.9, 0.9), 100, 2),  # near 1 an error is small, and not 0
        ((1.0, 1.0, 1.0, 1.0, 0.996), 100, None),
        ((0.9, 0.5, 0.1), 1000, None),  # too few evaluations
        ((), 10, None),
    ],
)
def test_the_peak_is_told_where_the_score_fell_clearly(scores, clips, peak):
    evaluations = [(2 * (at + 1), score) for at, score in enumerate(scores)]
    assert peak_epoch(evaluations, clips) == peak


def test_of_equal_peaks_the_first_is_taken():
    scores = (0.1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1)
    assert peak_epoch(list(enumerate(scores)), 50) == 2
