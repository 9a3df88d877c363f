"""Probes: settings chosen and scored by clips that were not learnt from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from autox_video.automl.probing import attentive_probe, crossval
from autox_video.automl.probing.attentive_probe import fit_heads
from autox_video.automl.probing.crossval import (
    ATTENTIVE,
    LINEAR,
    ORDERED,
    POOLS,
    cross_validate,
    make_folds,
)
from autox_video.automl.probing.samples import Samples, TooSlowError
from autox_video.tasks.task import TASKS


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(attentive_probe, "STEPS", 60)


def data(signal, clips=60, classes=3, *, channels=8, cells=4, task="single_label"):
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(clips) % classes
    tokens = torch.randn(clips, 1, cells, channels, generator=draw) + 1
    signal(tokens, labels)
    tokens = torch.cat([tokens.mean(2, keepdim=True), tokens], 2)
    targets = torch.eye(classes)[labels]
    if task == "multi_label":
        targets[:, 0] = 1 - targets[:, 0]
    return Samples(tokens.half(), targets, TASKS[task])


def everywhere(tokens, labels):
    tokens[range(len(labels)), :, :, labels] += 3


def in_order(tokens, labels):
    """Two classes have the same parts, in another order; their means are alike."""
    sign = torch.where(labels == 0, 1.0, -1.0)[:, None]
    tokens[:, :, 0, 0] += 4 * sign
    tokens[:, :, 3, 0] -= 4 * sign


def nowhere(tokens, labels):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_what_is_there_is_found(pool, task):
    samples = data(everywhere, task=task)
    scored = cross_validate(samples, pool, make_folds(samples, range(60)))
    assert scored.score > 0.9 and 0 < scored.low <= scored.score <= scored.high <= 1
    figures = crossval.measure(samples, crossval.fit_on_all(samples, scored.setting))
    assert figures["clips"] == 60
    assert figures[TASKS[task].main_score(balanced=False)] > 0.95


@pytest.mark.parametrize("pool", POOLS)
def test_nothing_is_found_where_nothing_is(pool):
    samples = data(nowhere, clips=90)
    scored = cross_validate(samples, pool, make_folds(samples, range(90)))
    assert scored.score < 0.5 and scored.low < 0.37


def test_the_order_of_events_is_not_in_the_mean():
    samples = data(in_order, classes=2)
    folds = make_folds(samples, range(60))
    assert cross_validate(samples, LINEAR, folds).score < 0.7
    assert cross_validate(samples, ORDERED, folds).score > 0.95


def test_copies_in_one_group_do_not_help():
    samples = data(nowhere, clips=30, channels=64)
    twice = samples.select(list(range(30)) * 2)
    grouped = cross_validate(twice, LINEAR, make_folds(twice, list(range(30)) * 2))
    leaking = cross_validate(twice, LINEAR, make_folds(twice, range(60)))
    assert grouped.score < 0.55 < leaking.score


def test_balanced_classes_are_tried_where_they_differ_much():
    even = data(everywhere)
    assert {s.balanced for s in crossval.settings_of(even, LINEAR)} == {False}
    uneven = even.select([n for n in range(60) if n % 3 == 0 or n < 15])
    assert {s.balanced for s in crossval.settings_of(uneven, LINEAR)} == {False}
    several = replace(uneven, task=TASKS["multi_label"])
    assert {s.balanced for s in crossval.settings_of(several, LINEAR)} == {False, True}
    judged_alike = replace(uneven, balanced=True)
    assert {s.balanced for s in crossval.settings_of(judged_alike, LINEAR)} == {False, True}
    scored = cross_validate(judged_alike, LINEAR, make_folds(judged_alike, range(len(uneven))))
    assert scored.score > 0.9


@pytest.mark.slow
def test_what_is_rare_and_hard_to_tell_is_not_given_up_where_classes_count_alike():
    def hardly(tokens, labels):
        tokens[range(len(labels)), :, :, labels] += 0.35

    every = data(hardly, clips=400, classes=2)
    uneven = every.select([n for n in range(400) if n % 2 == 0 or n < 40])
    folds = make_folds(uneven, range(len(uneven)))
    plain = cross_validate(uneven, LINEAR, folds)
    alike = cross_validate(replace(uneven, balanced=True), LINEAR, folds)
    assert not plain.setting.balanced and plain.score > 0.85  # 200 of 220 clips are of one class
    assert alike.setting.balanced and 0.55 < alike.score < 0.85
    # As sure as about 73 clips that weigh alike: 2^2 / (1/200 + 1/20).
    assert alike.high - alike.low > 1.5 * (plain.high - plain.low)


@pytest.mark.parametrize("pool", POOLS)
def test_a_single_head_says_what_it_said_among_others(pool):
    samples = data(everywhere)
    weights = torch.ones(2, 60)
    weights[1, ::2] = 0
    if pool == ATTENTIVE:
        rates, decays = torch.tensor([0.01, 0.003]), torch.tensor([0.1, 0.0])
        heads = fit_heads(samples, weights, rates, decays)
        tokens = samples.tokens[:, 0]
        for number in range(2):
            expected = heads.logits(heads.standardised(tokens))[number]
            torch.testing.assert_close(
                heads.single(number).logits(tokens), expected, rtol=1e-3, atol=1e-3
            )
        alone = fit_heads(samples, weights[1:], rates[1:], decays[1:])
        torch.testing.assert_close(alone.weight[0], heads.weight[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pool", POOLS)
def test_heads_that_would_take_too_long_are_left(pool):
    samples = data(everywhere)
    with pytest.raises(TooSlowError):
        cross_validate(samples, pool, make_folds(samples, range(60)), seconds=0.0)


def test_of_settings_as_good_the_one_of_least_loss_is_taken():
    ranks = [(0.50, -3.0), (0.48, -1.0), (0.47, -2.0), (0.30, -0.5)]
    assert crossval._best(ranks, clips=100) == 1  # a standard error is 0.05
    assert crossval._best(ranks, clips=100_000) == 0
    assert crossval._best([(1.0, -0.2), (0.99, -0.1)], clips=100) == 0


def test_the_choice_itself_is_scored(monkeypatch):
    """Of many settings that guess, the best looks good by chance; its score must not."""
    samples = data(nowhere, clips=40, classes=2)
    folds = make_folds(samples, range(40))[:1]
    draw = np.random.default_rng(0)
    found = draw.random((50, 1, 40, 2)).astype(np.float32)
    found /= found.sum(-1, keepdims=True)
    settings = [crossval.Setting(LINEAR, float(n)) for n in range(50)]
    scored = crossval._choose(settings, found, samples, folds)
    looks = max(crossval._mean_rank(each, samples)[0] for each in found)
    assert looks > 0.65 and scored.score < looks - 0.1
