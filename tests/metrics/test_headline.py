"""Which score of a model is shown first."""

from dataclasses import asdict

import pytest

from autox_video.automl.leaderboard import Row, show_leaderboard
from autox_video.metrics.headline import cross_validated, headline, row_fields, said
from autox_video.metrics.intervals import wilson_interval

IN_FOLDS = cross_validated(0.7857, 0.52, 0.92, 14)


def figures(clips, **more):
    return {"top1": 1 / 6, "loss": 1.0, "clips": clips, **more}


@pytest.mark.parametrize(
    ("clips", "more", "on"),
    [
        (6, IN_FOLDS, "cross-validation"),
        (29, IN_FOLDS, "cross-validation"),
        (30, IN_FOLDS, "validation"),
        (6, {}, "validation"),
    ],
)
def test_few_validation_clips_come_second_to_cross_validation(clips, more, on):
    found = headline(figures(clips, **more))
    assert found.scored_on == on
    if on == "validation":
        expected = (1 / 6, *wilson_interval(clips / 6, clips), clips)
    else:
        expected = (0.7857, 0.52, 0.92, 14)
    assert (found.score, found.low, found.high, found.clips) == pytest.approx(expected)


def test_the_user_is_told_both_or_how_few_clips_there_are():
    sentence = said(figures(6, **IN_FOLDS))
    assert sentence.startswith("cross-validated top-1 0.79 (95% interval 0.52 to 0.92, 14")
    assert "validation 0.17, only 6 clips" in sentence
    low, high = wilson_interval(1, 6)
    interval = f"95% interval {low:.2f} to {high:.2f}"
    assert said(figures(6)) == f"validation top-1 0.17 ({interval}, 6 clips)"
    assert said({"mAP": 0.5, "loss": 1.0, "clips": 6}) == "validation mAP 0.50 (6 clips)"


def test_classes_that_count_alike():
    balanced = figures(6, balanced_accuracy=0.25, effective_clips=4.0)
    assert headline(balanced).score == 0.25
    assert headline(balanced).low == pytest.approx(wilson_interval(1, 4)[0])


def test_the_leaderboard_shows_the_same(capsys):
    few, many = figures(6, **IN_FOLDS), figures(40, **IN_FOLDS)
    rows = [
        Row(name, "probe", "descriptors", 2, 32, **row_fields(each, {"lr": 1}))
        for name, each in (("few", few), ("many", many), ("alone", figures(6)))
    ]
    assert [row.scored_on for row in rows] == ["cross-validation", "validation", "validation"]
    assert rows[0].score == headline(few).score and rows[1].score == 1 / 6
    assert rows[0].config == {"lr": 1, "validation_clips": 6, "validation_score": 0.166667}
    assert asdict(rows[1])["config"] == {"lr": 1, "validation_clips": 40}
    show_leaderboard(rows)
    out = capsys.readouterr().out
    assert out.index("0.79 (") < out.index("(validation 0.17,")
    assert "(6 clips)" in out and "40 clips" not in out
