"""The second job: what is refused."""

import math
from pathlib import Path

import pytest

from autox_video.core.errors import CheckpointError, ListingError
from autox_video.evaluation.results import Prediction
from autox_video.jobs.test import _refuse_all_unreadable, _refuse_no_numbers


def test_scores_that_are_no_numbers_are_the_weights_fault():
    predictions = [
        Prediction("a.mp4", 0, (0.5, 0.5)),
        Prediction("b.mp4", 0, (math.nan, math.nan)),
        Prediction("bad.mp4", 0, None, "cut off"),
    ]
    _refuse_no_numbers(predictions[::2], Path("best.pth"))
    with pytest.raises(CheckpointError, match=r"best\.pth: .* for 1 of 3 clips, such as b\.mp4"):
        _refuse_no_numbers(predictions, Path("best.pth"))


def test_where_no_clip_can_be_read_there_are_no_results():
    bad = [Prediction(f"{n}.mp4", 0, None, "cut off") for n in range(4)]
    _refuse_all_unreadable([*bad, Prediction("a.mp4", 0, (0.5, 0.5))])
    with pytest.raises(ListingError, match=r"None of the 4 .* no results are written: cut off;"):
        _refuse_all_unreadable(bad)
