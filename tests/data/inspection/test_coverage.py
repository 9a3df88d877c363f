"""How much of long clips is looked at."""

import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.inspection.coverage import mean_rounds, notes_on_long_clips
from autox_video.video.sampling import rounds_of, seen_share


def facts(*seconds):
    return [ClipFacts(10, 25.0, s, 64, 48, "h264", None if s else "broken") for s in seconds]


def split_of(*seconds):
    names = [f"{number}.mp4" for number in range(len(seconds))]
    return ClipTable(names, facts=facts(*seconds))


@pytest.mark.parametrize(
    ("seconds", "span_sec", "num_clips", "rounds"),
    [
        (0.5, 2.0, 1, 1),
        (2.0, 2.0, 1, 1),
        (2.5, 2.0, 1, 1),  # four fifths are enough: of nominally the same length
        (2.51, 2.0, 1, 2),
        (10.0, 2.0, 1, 4),
        (10.0, 2.0, 4, 1),
        (10.1, 2.0, 4, 2),
        (167.0, 2.2, 1, 16),
        (167.0, 8.0, 4, 4),
        (1e5, 0.1, 3, 5),
        (1e5, 0.1, 99, 1),
    ],
)
def test_a_longer_video_is_looked_at_more_often_up_to_a_limit(seconds, span_sec, num_clips, rounds):
    assert rounds_of(seconds, span_sec, num_clips=num_clips) == rounds


def test_the_share_that_is_seen():
    assert seen_share(167.0, 2.2, clips=16) == pytest.approx(16 * 2.2 / 167)
    assert seen_share(2.0, 8.0, clips=1) == 1.0


def test_the_mean_over_the_clips_that_can_be_read():
    assert mean_rounds(facts(2.0, 2.0, 10.0, 0.0), 2.0, num_clips=1) == 2.0
    assert mean_rounds((), 2.0, num_clips=1) == 1.0


def test_nothing_is_said_of_ordinary_clips():
    splits = {"train": split_of(999.0), "val": split_of(2.0, 2.4, 0.0), "test": split_of(25.0)}
    assert notes_on_long_clips(splits, 2.0, num_clips=1) == []
    assert notes_on_long_clips({"val": split_of(2.0)}, 2.0, num_clips=1) == []


def test_where_nothing_but_a_head_is_learnt_training_sees_the_middle_too():
    splits = {"train": split_of(2.0, 40.0), "val": split_of(2.0, 10.0)}
    (told,) = notes_on_long_clips(splits, 2.0, num_clips=1, probes=True)
    assert "The probe is trained on the middle 2 s" in told
    assert "5.0% of 1.mp4, which lasts 40 s" in told
    (told,) = notes_on_long_clips({"val": splits["val"]}, 2.0, num_clips=1, probes=True)
    assert "Validation" in told


def test_validation_and_testing_say_what_they_leave_out():
    splits = {"val": split_of(2.0, 10.0), "test": split_of(2.0, 50.0, 400.0)}
    validation, testing = notes_on_long_clips(splits, 2.0, num_clips=1)
    assert "middle 2 s" in validation
    assert "80% of 1 clip (only 20.0% of 1.mp4, which lasts 10 s)" in validation
    assert "at most 16 segments of 2 s" in testing
    assert "80% of 2 clips (only 8.0% of 2.mp4, which lasts 6 min 40 s)" in testing
    assert "`seen`" in testing
