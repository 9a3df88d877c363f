"""The benchmark of localisation: bars, promises of validation, and the lines that are printed."""

import pytest

from benchmarks.localisation import BARS, SHOWN, Result, _segments, is_met, shown


def result(promised=0.85, low=0.78, **measured):
    test = dict.fromkeys(SHOWN, 0.9) | measured
    return Result(
        570.0,
        {
            **test,
            "intervals": {name: [low, 0.95] for name in SHOWN},
            "recordings": 6,
            "segments": 138,
            "validation": {
                "kept": "temporal_head",
                "temporal_head": dict.fromkeys(SHOWN, promised),
            },
        },
        dict.fromkeys(SHOWN, 0.5),
    )


@pytest.mark.parametrize(
    ("measured", "sets"),
    [
        ({}, ["events", "reversed"]),
        ({"mAP@0.5": 0.79}, ["reversed"]),
        ({"f1@50": 0.84}, ["reversed"]),
        ({"mAP@0.5": 0.69}, []),
        ({"mAP": 0.1}, ["events", "reversed"]),
    ],
)
def test_every_bar_of_a_set_counts(measured, sets):
    assert [name for name in BARS if is_met(name, result(**measured))] == sets


def test_a_promise_outside_the_interval_of_the_test_is_not_held():
    assert is_met("events", result(promised=0.95))
    assert not is_met("events", result(promised=0.96))
    assert not is_met("events", result(promised=0.77))


def test_the_lines_name_missed_bars_and_show_the_peer():
    lines = shown("events", 3, result(**{"f1@50": 0.8}))
    assert "seed 3" in lines[0] and "temporal_head" in lines[0]
    of_f1 = next(line for line in lines if "f1@50" in line)
    assert all(text in of_f1 for text in ("0.800", "0.500", "0.850", "missed", "held"))
    assert not any("met" in line for line in lines if "edit_score" in line)


def test_segments_are_read_from_the_results():
    records = [{"class": "b", "start": 1.0, "end": 2.5, "score": 1.0}]
    segments = _segments(records, ["a", "b"])
    assert (segments.starts[0], segments.ends[0], segments.labels[0]) == (1.0, 2.5, 1)
    assert len(_segments([], ["a"])) == 0
