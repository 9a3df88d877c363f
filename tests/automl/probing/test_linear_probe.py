"""Linear heads: minima of what they say they minimise."""

import math

import numpy as np
import pytest
import torch

from autox_video.automl.probing.linear_probe import LinearHead, fit_linear, fit_path, folded
from autox_video.automl.probing.samples import Samples, Scale, class_weights, scale_of
from autox_video.tasks.task import TASKS


def samples(clips=60, classes=3, channels=8, views=2, task="single_label", seed=0):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(clips) % classes
    tokens = torch.randn(clips, views, 1, channels, generator=draw) * 3 + 5
    tokens[range(clips), :, 0, labels] += 3
    targets = torch.eye(classes)[labels]
    if task == "multi_label":
        targets = ((targets + targets.roll(1, 0)) > 0).float()
    return Samples(tokens, targets, TASKS[task])


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_gradient_is_zero_for_each_fold_and_decay(task):
    data = samples(task=task)
    kept = torch.ones(2, 60)
    kept[1, ::4] = 0
    features = scale_of(data.mean_features).apply(data.mean_features)
    seen = []

    def check(number, weight, bias):
        weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        for fold in range(2):
            losses = data.loss(features @ weight[fold] + bias[fold], data.targets[:, None])
            mean = (losses.mean(1) * kept[fold]).sum() / kept[fold].sum()
            value = mean + 0.5 * (0.1, 0.01)[number] * weight[fold].square().sum()
            gradients = torch.autograd.grad(value, (weight, bias))
            assert max(float(g[fold].abs().max()) for g in gradients) < 2e-3
        seen.append(number)

    fit_path(data, kept, (0.1, 0.01), check)
    assert seen == [0, 1]


def test_with_fewer_samples_than_channels_the_minimum_is_the_same():
    few = samples(clips=12, channels=40, views=1)
    doubled = few.select(list(range(12)) * 5)  # as many samples as channels: nothing is reduced
    for decay in (1.0, 0.01):
        one, other = (fit_linear(s, torch.ones(len(s)), decay) for s in (few, doubled))
        torch.testing.assert_close(one.weight, other.weight, atol=2e-3, rtol=0)
        torch.testing.assert_close(one.bias, other.bias, atol=2e-2, rtol=0)


def test_a_strong_decay_leaves_the_shares_of_the_classes():
    data = samples(classes=3).select(list(range(0, 60, 3)) + list(range(1, 30, 3)))
    head = fit_linear(data, torch.ones(len(data)), 1e6)
    shares = [20 / 30, 10 / 30]
    found = data.probabilities(head.logits(data.tokens[:, 0]).numpy())[:, :2]
    assert found == pytest.approx(np.broadcast_to(shares, found.shape), abs=2e-3)


def test_balanced_classes_count_alike():
    data = samples(classes=3).select(list(range(0, 60, 3)) + list(range(1, 30, 3)))
    weights = class_weights(data.targets)
    assert float(weights[:20].sum()) == pytest.approx(float(weights[20:].sum()))
    head = fit_linear(data, weights, 1e6)
    found = data.probabilities(head.logits(data.tokens[:, 0]).numpy())[:, :2]
    assert found == pytest.approx(np.full(found.shape, 0.5), abs=2e-3)


def test_the_folded_head_says_the_same_of_features_as_they_are():
    weight, bias = torch.randn(8, 3), torch.randn(3)
    scale = Scale(torch.randn(8) * 10, torch.rand(8) + 0.1)
    head, raw = folded(weight, bias, scale), torch.randn(5, 1, 8)
    expected = scale.apply(raw[:, 0]) @ weight + bias
    torch.testing.assert_close(head.logits(raw), expected, rtol=1e-4, atol=1e-3)
    assert head.state()["fc_cls.weight"].shape == (3, 8)


def test_a_channel_that_never_changes_does_no_harm():
    data = samples()
    data.tokens[..., 5] = 2.0
    head = fit_linear(data, torch.ones(60), 0.01)
    assert isinstance(head, LinearHead)
    assert all(map(math.isfinite, head.weight.flatten().tolist()))


def test_unseen_classes_and_a_fold_without_clips_do_no_harm():
    data = samples()
    kept = torch.zeros(2, 60)
    kept[0, ::3] = 1
    fit_path(data, kept, (0.1,), lambda _, w, b: all(t.isfinite().all() for t in (w, b)) or 1 / 0)
