"""Metrics of temporal localisation against published figures and the published implementations."""

import json

import numpy as np
import pytest

from autox_video.tasks.localisation.metrics import (
    Recording,
    average_precision,
    class_average_precision,
    edit_score,
    levenshtein,
    localisation_figures,
    localisation_intervals,
    segmental_f1,
    step_accuracy,
)
from autox_video.tasks.localisation.segments import BACKGROUND, Segments, segments_of_labels

NONE = Segments.of([])
A, B = 0, 1

# Predictions of BSN for two ActivityNet videos, with their true segments: test data of mmaction2.
WAKEBOARDING = [(11.5536552, 57.0680546), (68.6217098, 126.0398752), (135.4928658, 201.3136895)]
CLEANING_SHOES = [(21.3924805, 76.161)]
WAKEBOARDING_PREDICTED = [
    (0.0, 206.3465620, A, 0.6533445),
    (33.6434612, 206.3465620, A, 0.5620265),
    (148.0312293, 204.1036646, A, 0.4421495),
    (0.0, 123.3593577, A, 0.3128438),
    (67.2869224, 206.3465620, A, 0.2897575),
    (33.6434612, 125.6022551, A, 0.2849421),
    (0.0, 53.8295379, A, 0.1290551),
    (67.2869224, 123.3593577, A, 0.1261687),
    (100.9303836, 204.1036646, A, 0.1259174),
    (38.1292561, 53.8295379, A, 0.1044408),
]
CLEANING_SHOES_PREDICTED = [
    (21.2229658, 75.0383433, B, 0.5667441),
    (21.2229658, 43.9618577, B, 0.4146990),
    (0.0, 75.0383433, B, 0.2176800),
    (29.5605595, 70.4905649, B, 0.1080038),
]


def over_all(figure, recordings):
    """The metric when each recording is drawn once."""
    return figure(np.ones((1, recordings)))[0]


def mean_precision(truth, predicted, *thresholds):
    figure = average_precision(truth, predicted, thresholds=thresholds)
    return over_all(figure, len(truth)).tolist()


def f1_at(truth, predicted, *thresholds):
    return over_all(segmental_f1(truth, predicted, thresholds=thresholds), len(truth)).tolist()


# Mean average precision


def test_published_predictions_get_the_published_figures():
    truth = [
        Segments.of([(*times, A) for times in WAKEBOARDING]),
        Segments.of([(*times, B) for times in CLEANING_SHOES]),
    ]
    predicted = [Segments.of(WAKEBOARDING_PREDICTED), Segments.of(CLEANING_SHOES_PREDICTED)]
    found = mean_precision(truth, predicted, *np.linspace(0.5, 0.95, 10))
    # From mmaction2's own test of its evaluation.
    third = [0.71428571] * 3 + [0.6875] * 2 + [0.59722222] + [0.52083333] * 3 + [0.5]
    np.testing.assert_allclose(found, third, atol=1e-8)
    assert np.mean(found) == pytest.approx(0.6177579365079365, abs=1e-12)


def random_segments(rng, count, classes, *, scored):
    starts = rng.uniform(0, 60, size=count)
    lengths = rng.uniform(1, 12, size=count)
    labels = rng.randint(classes, size=count)
    scores = rng.uniform(size=count) if scored else np.ones(count)
    return Segments(starts, starts + lengths, labels, scores)


def mmaction2_precision(truth, predicted, thresholds, folder):
    """Mean average precision by mmaction2's port of ActivityNet's evaluation."""
    from mmaction.evaluation.functional.eval_detection import ActivityNetLocalization

    def rows(segments):
        columns = (segments.starts, segments.ends, segments.labels, segments.scores)
        return [
            {"segment": [start, end], "label": str(label), "score": score}
            for start, end, label, score in zip(*(c.tolist() for c in columns), strict=True)
        ]

    true, told = folder / "true.json", folder / "told.json"
    videos = {f"v_{i}": {"annotations": rows(part)} for i, part in enumerate(truth)}
    true.write_text(json.dumps(videos))
    told.write_text(json.dumps({"results": {str(i): rows(p) for i, p in enumerate(predicted)}}))
    return ActivityNetLocalization(str(true), str(told), np.array(thresholds)).evaluate()[0]


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_mmaction2(seed, tmp_path):
    rng = np.random.RandomState(seed)
    truth = [random_segments(rng, rng.randint(3, 25), 3, scored=False) for _ in range(6)]
    predicted = [random_segments(rng, rng.randint(0, 200), 3, scored=True) for _ in range(6)]
    thresholds = (0.1, 0.3, 0.5, 0.7)
    expected = mmaction2_precision(truth, predicted, thresholds, tmp_path)
    assert min(expected) > 0.001
    # mmaction2 rounds the IoU to float32.
    np.testing.assert_allclose(mean_precision(truth, predicted, *thresholds), expected, atol=1e-9)


def test_average_precision_by_hand():
    truth = [Segments.of([(0, 10, A), (20, 30, A)])]
    # Right, wrong, right: recall 1/2 at precision 1, recall 1 at precision 2/3.
    rows = [(0, 10, A, 0.9), (40, 50, A, 0.8), (20, 28, A, 0.7)]
    assert mean_precision(truth, [Segments.of(rows)], 0.5, 0.8) == pytest.approx([5 / 6, 5 / 6])
    assert mean_precision(truth, [Segments.of(rows)], 0.81) == [0.5]


def test_each_true_segment_is_found_once():
    truth = [Segments.of([(0, 10, A)])]
    twice = [Segments.of([(0, 10, A, 0.5), (0, 9, A, 0.9)])]
    assert mean_precision(truth, twice, 0.5) == [1.0]
    assert mean_precision(truth, twice, 0.95) == [0.5]
    # A second prediction takes the next best true segment.
    truth = [Segments.of([(0, 10, A), (2, 12, A)])]
    twice = [Segments.of([(0, 10, A, 0.9), (1, 10, A, 0.8)])]
    assert mean_precision(truth, twice, 0.5) == [1.0]


def test_predictions_of_other_recordings_and_classes_are_wrong_or_ignored():
    truth = [Segments.of([(0, 10, A)]), NONE]
    elsewhere = [NONE, Segments.of([(0, 10, A, 0.9)])]
    assert mean_precision(truth, elsewhere, 0.5) == [0.0]
    other_class = [Segments.of([(0, 10, A, 0.5), (0, 10, B, 0.9)]), NONE]
    assert mean_precision(truth, other_class, 0.5) == [1.0]
    assert list(class_average_precision(truth, other_class)) == [A]


def test_the_mean_is_over_the_classes_that_occur():
    truth = [Segments.of([(0, 10, A), (20, 30, 5)])]
    predicted = [Segments.of([(0, 10, A, 0.5)])]
    assert mean_precision(truth, predicted, 0.5) == [0.5]
    by_class = class_average_precision(truth, predicted, thresholds=(0.5,))
    assert {label: value.tolist() for label, value in by_class.items()} == {A: [1.0], 5: [0.0]}


def test_without_predictions_or_true_segments_precision_is_0():
    some = Segments.of([(0, 10, A)])
    assert mean_precision([some], [NONE], 0.5) == [0.0]
    assert mean_precision([NONE], [some], 0.5) == [0.0]
    assert mean_precision([NONE], [NONE], 0.5) == [0.0]


def test_equal_scores_are_one_point_of_the_curve():
    truth = [Segments.of([(0, 10, A)])]
    wrong_first, right_first = [(40, 50, A, 0.5), (0, 10, A, 0.5)], [(0, 10, A, 0.5)]
    right_first += [(40, 50, A, 0.5)]
    assert mean_precision(truth, [Segments.of(wrong_first)], 0.5) == [0.5]
    assert mean_precision(truth, [Segments.of(right_first)], 0.5) == [0.5]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_of_true_segments_with_equal_iou_the_earliest_is_matched(order):
    truth = [Segments.of([(0, 10, A), (4, 14, A)])[order]]
    predicted = [Segments.of([(2, 12, A, 0.9), (0, 9, A, 0.8)])]
    assert mean_precision(truth, predicted, 0.5) == [0.5]
    assert f1_at(truth, predicted, 0.5) == [0.5]


@pytest.mark.parametrize("seed", range(3))
def test_no_metric_depends_on_the_order_given(seed):
    rng = np.random.RandomState(seed)
    # Whole seconds and few scores give many ties.
    columns = [np.floor(rng.uniform(0, 20, size=60)), rng.randint(5, size=60)]
    labels, scores = rng.randint(2, size=60), rng.randint(3, size=60) / 2
    predicted = Segments(columns[0], columns[0] + columns[1], labels, scores)
    truth = predicted[rng.permutation(60)[:15]]
    truth = Segments(truth.starts + 1, truth.ends + 1, truth.labels, np.ones(15))
    figures = []
    for _ in range(4):
        shuffled = predicted[rng.permutation(60)], truth[rng.permutation(15)]
        steps = np.zeros(5)
        part = Recording(shuffled[1], shuffled[0], shuffled[0], steps, steps)
        other = Recording(truth, NONE, predicted, steps, steps)
        figures += [localisation_figures([part, other]), localisation_figures([other, part])]
    for found in figures[1:]:
        assert found == pytest.approx(figures[0], abs=1e-12)
    assert 0 < figures[0]["mAP"] < 1 and 0 < figures[0]["f1@50"] < 1


def test_segments_of_length_0_are_never_found():
    instant = Segments.of([(3, 3, A, 0.9)])
    assert mean_precision([instant], [instant], 0.1) == [0.0]
    assert f1_at([instant], [instant], 0.1) == [0.0]


def test_segments_beyond_the_end_count_as_they_are():
    truth = [Segments.of([(50, 60, A)])]
    beyond = [Segments.of([(50, 80, A, 0.9)])]
    assert mean_precision(truth, beyond, 0.3, 0.4) == [1.0, 0.0]
    assert mean_precision(truth, [beyond[0].clipped(60)], 0.4) == [1.0]


# Segmental F1 and edit score


def random_labels(seed):
    """True and predicted labels of six recordings: shifted by some steps, and with errors."""
    rng = np.random.RandomState(seed)
    pairs = []
    for _ in range(6):
        size = rng.randint(60, 200)
        truth = np.repeat(rng.randint(-1, 4, size=60), rng.randint(3, 20, size=60))[:size]
        shifted = np.roll(truth, rng.randint(-4, 5))
        wrong = rng.uniform(size=size) < 0.05
        pairs.append((truth, np.where(wrong, rng.randint(-1, 4, size=size), shifted)))
    return pairs


# Computed with MS-TCN's eval.py, as published in the package actseg 0.1.0: F1@10, 25, 50, edit.
MS_TCN_FIGURES = [
    (0, (-1,), [0.5673758865, 0.5531914894, 0.4539007092], 0.4867647449),
    (0, (), [0.5608465608, 0.5502645503, 0.4338624339], 0.4597644067),
    (1, (-1,), [0.7236842105, 0.6973684211, 0.5394736842], 0.5752472201),
    (1, (), [0.6979166667, 0.6666666667, 0.5104166667], 0.5574016563),
    (2, (-1,), [0.650887574, 0.5798816568, 0.3786982249], 0.5208412789),
    (2, (), [0.6502463054, 0.5911330049, 0.39408867], 0.5182679974),
]


@pytest.mark.parametrize(("seed", "background", "f1", "edit"), MS_TCN_FIGURES)
def test_f1_and_edit_score_are_those_of_ms_tcn(seed, background, f1, edit):
    pairs = random_labels(seed)
    truth, predicted = (
        [
            segments_of_labels(
                pair[side], np.arange(len(pair[side]) + 1) / 4, background=background
            )
            for pair in pairs
        ]
        for side in (0, 1)
    )
    np.testing.assert_allclose(f1_at(truth, predicted, 0.1, 0.25, 0.5), f1, atol=1e-9)
    assert over_all(edit_score(truth, predicted), 6) == pytest.approx(edit, abs=1e-9)


def test_f1_by_hand():
    truth = [Segments.of([(0, 10, A), (10, 20, B)])]
    # IoU 0.8 with A; the second A is nearest to the found one; a B of IoU 0.2.
    rows = [(0, 8, A), (8, 9, A), (18, 20, B)]
    assert f1_at(truth, [Segments.of(rows)], 0.1, 0.5) == pytest.approx([4 / 5, 2 / 5])


def test_f1_sums_the_counts_over_recordings():
    one, two = Segments.of([(0, 10, A)]), Segments.of([(0, 10, A), (10, 20, B), (20, 30, A)])
    assert f1_at([one, two], [one, NONE], 0.5) == pytest.approx([2 / 5])
    assert f1_at([NONE], [one], 0.5) == [0.0]
    assert f1_at([one], [NONE], 0.5) == [0.0]
    assert f1_at([NONE], [NONE], 0.5) == [1.0]


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("kitten", "sitting", 3),
        ("intention", "execution", 5),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("ab", "ba", 2),
    ],
)
def test_levenshtein_of_known_words(first, second, distance):
    letters = [np.array([ord(letter) for letter in word], dtype=int) for word in (first, second)]
    assert levenshtein(*letters) == distance


def test_edit_score_is_a_mean_over_recordings():
    abab = Segments.of([(0, 1, A), (1, 2, B), (2, 3, A), (3, 4, B)])
    assert over_all(edit_score([abab, abab], [abab, abab[:2]]), 2) == pytest.approx(0.75)
    assert over_all(edit_score([abab, NONE], [NONE, NONE]), 2) == pytest.approx(0.5)


def test_step_accuracy_weighs_recordings_by_their_steps():
    first = (np.array([A, A, BACKGROUND]), np.array([A, B, BACKGROUND]))
    second = (np.array([B]), np.array([A]))
    assert over_all(step_accuracy([first, second]), 2) == pytest.approx(2 / 4)
    targets = (np.array([[1, 0], [0, 0]]), np.array([[1, 1], [0, 0]]))
    assert over_all(step_accuracy([targets]), 1) == pytest.approx(3 / 4)


# All metrics and their intervals


def recordings(seed, count):
    """Recordings of which each event is found with probability 1/2."""
    rng = np.random.RandomState(seed)
    parts = []
    for _ in range(count):
        truth = random_segments(rng, 8, 2, scored=False)
        told = truth[rng.uniform(size=8) < 0.5]
        told = Segments(told.starts, told.ends, told.labels, rng.uniform(size=len(told)))
        steps = rng.randint(2, size=(2, 50))
        parts.append(Recording(truth, told, told, *steps))
    return parts


def test_all_figures_have_an_interval_around_them():
    parts = recordings(0, 12)
    figures, intervals = localisation_figures(parts), localisation_intervals(parts)
    assert list(figures) == [
        *("mAP", "mAP@0.1", "mAP@0.2", "mAP@0.3", "mAP@0.4", "mAP@0.5", "mAP@0.6", "mAP@0.7"),
        *("f1@10", "f1@25", "f1@50", "edit_score", "step_accuracy"),
    ]
    assert figures["mAP"] == pytest.approx(np.mean([figures[f"mAP@0.{i}"] for i in range(1, 8)]))
    for name, (low, high) in intervals.items():
        assert 0 < low < figures[name] < high < 1, name


def test_a_draw_is_the_figure_of_its_recordings():
    parts = recordings(1, 4)
    drawn = [parts[0], parts[0], parts[0], parts[2]]
    truth = [[part.truth for part in some] for some in (parts, drawn)]
    told = [[part.timeline for part in some] for some in (parts, drawn)]
    draw = np.array([[3.0, 0, 1, 0]])
    for metric in (average_precision, segmental_f1, edit_score):
        found = metric(truth[0], told[0])(draw)[0]
        np.testing.assert_allclose(found, over_all(metric(truth[1], told[1]), 4), atol=1e-12)


@pytest.mark.slow
def test_intervals_cover_the_figure_of_many_recordings():
    expected = localisation_figures(recordings(1000, 400))
    names = ("mAP@0.5", "f1@50", "edit_score", "step_accuracy")
    covered = dict.fromkeys(names, 0)
    for seed in range(40):
        intervals = localisation_intervals(recordings(seed, 20))
        for name in names:
            covered[name] += intervals[name][0] <= expected[name] <= intervals[name][1]
    assert min(covered.values()) >= 34, covered


def test_a_single_recording_has_a_wide_interval():
    low, high = localisation_intervals(recordings(3, 1))["f1@50"]
    assert high - low > 0.5
