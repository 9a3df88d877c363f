"""Greedy selection of the members of an ensemble, compared with values calculated by hand."""

import numpy as np
import pytest

from autox_video.automl.ensembles.greedy_selection import Labelled, choose_mixture, unseen_outputs
from autox_video.tasks.task import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]


def clips_of(labels, classes=2, task=SINGLE, **options):
    targets = np.eye(classes, dtype=np.float32)[labels]
    return Labelled(targets, np.arange(len(labels)), task, **options)


def logs(*probabilities):
    """The outputs (1, 1, n, 2) of a model that gives the first class these probabilities."""
    p = np.array(probabilities)
    return np.log(np.stack([p, 1 - p], -1))[None, None]


def test_models_that_err_on_different_clips_are_averaged():
    labels = [0] * 4 + [1] * 4
    right, wrong = 0.9, 0.4
    first = logs(right, right, right, wrong, 1 - right, 1 - right, 1 - right, 1 - wrong)
    second = logs(wrong, right, right, right, 1 - wrong, 1 - right, 1 - right, 1 - right)
    noise = logs(*[0.5] * 8)
    outputs = np.concatenate([first, second, noise])
    clips = clips_of(labels)
    mixture = choose_mixture(outputs, clips)
    assert mixture.shares.tolist() == [0.5, 0.5, 0.0]
    assert clips.score(first[0]) == clips.score(second[0]) == 0.75
    assert clips.score(mixture.outputs(outputs)) == 1.0


def test_a_mixture_is_the_mean_of_probabilities_after_their_temperatures():
    first, second = logs(0.8, 0.3), logs(0.4, 0.9)
    mixture = choose_mixture(np.concatenate([first, second]), clips_of([0, 1]))
    softened = [
        np.exp(one[0, 0] / t) / np.exp(one[0, 0] / t).sum(-1, keepdims=True)
        for one, t in zip((first, second), mixture.temperatures, strict=True)
    ]
    wanted = np.average(softened, axis=0, weights=mixture.shares)
    found = np.exp(mixture.outputs(np.concatenate([first, second])))[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_a_useless_model_gets_no_share():
    draw = np.random.default_rng(0)
    labels = draw.integers(2, size=60)
    good = np.where(labels == 0, 0.9, 0.1)
    outputs = np.concatenate([logs(*good), logs(*(1 - good))])
    assert choose_mixture(outputs, clips_of(labels)).shares.tolist() == [1.0, 0.0]


def test_unseen_outputs_use_mixtures_chosen_on_other_clips():
    """A model that is right on some groups only is not trusted where it was not seen."""
    labels = np.array([0, 1] * 10)
    draw = np.random.default_rng(1)
    outputs = np.concatenate([logs(*draw.uniform(size=20)) for _ in range(30)])
    clips = clips_of(labels)
    chosen = choose_mixture(outputs, clips)
    optimistic = clips.figures(chosen.outputs(outputs))["loss"]
    honest = clips.figures(unseen_outputs(outputs, clips))["loss"]
    assert honest > optimistic + 0.05


def test_outputs_of_several_labels_are_averaged_as_probabilities():
    targets = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=np.float32)
    clips = Labelled(targets, np.arange(4), MULTI)
    first = np.abs(targets - 0.1)[None, None]
    second = np.full((1, 1, 4, 2), 0.5)
    outputs = np.concatenate([first, second]).astype(np.float64)
    mixture = choose_mixture(outputs, clips)
    assert mixture.shares.tolist() == [1.0, 0.0] and mixture.temperatures.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(mixture.outputs(outputs), first[0], rtol=1e-6)
    assert clips.score(first[0]) == pytest.approx(1.0)


def test_balanced_classes_count_equally():
    labels = [0] * 18 + [1] * 2
    common = logs(*[0.9] * 18, *[0.9] * 2)
    rare = logs(*[0.45] * 18, *[0.1] * 2)
    outputs = np.concatenate([common, rare])
    shares = [
        choose_mixture(outputs, clips_of(labels, balanced=balanced)).shares[1]
        for balanced in (False, True)
    ]
    assert shares[1] > shares[0]


def test_a_small_gain_may_be_chance():
    labels = [0] * 50 + [1] * 50
    single = np.full(100, 0.6)
    single[50:] = 0.4
    single[:20] = 0.4  # 20 wrong
    one_more, many_more = single.copy(), single.copy()
    one_more[0] = 0.6
    many_more[:8] = 0.6
    clips = clips_of(labels)
    better = [clips.is_clearly_better(logs(*p)[0], logs(*single)[0]) for p in (one_more, many_more)]
    assert better == [True, True]
    swapped = many_more.copy()
    swapped[30:37] = 0.4  # 8 more right, 7 more wrong
    assert not clips.is_clearly_better(logs(*swapped)[0], logs(*single)[0])
    assert not clips.is_clearly_better(logs(*single)[0], logs(*single)[0])
