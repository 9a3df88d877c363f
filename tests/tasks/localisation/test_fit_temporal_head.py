"""Training of the temporal head, on synthetic features whose steps are ambiguous."""

import time
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autox_video.core.errors import ListingError, NumbersError
from autox_video.tasks.localisation import fit_temporal_head as module
from autox_video.tasks.localisation.fit_temporal_head import (
    FitOptions,
    fit_temporal_head,
    learning_rate_factor,
)
from autox_video.tasks.localisation.metrics import localisation_figures
from autox_video.tasks.localisation.segments import BACKGROUND
from autox_video.tasks.localisation.temporal_head import TemporalHead
from tests.tasks.localisation.synthetic import (
    CLASSES,
    as_recording,
    stepwise_probabilities,
    synthetic,
)

SHORT = FitOptions(epochs=2)


@pytest.fixture
def few():
    """Four short recordings."""
    return synthetic(5, 4, seconds=20)


def fit(data, **options):
    given = {"classes": CLASSES, "seed": 0, "options": SHORT, **options}
    return fit_temporal_head(data.features, data.labels, **given)


def weights(fitted):
    return torch.cat([part.flatten() for part in fitted.head.state_dict().values()])


@pytest.mark.slow
def test_the_context_decides_where_single_steps_are_ambiguous():
    train, test = synthetic(1, 12, seconds=45), synthetic(2, 12, seconds=45)
    fitted = fit(train, options=FitOptions(epochs=40))
    stepwise = stepwise_probabilities(train, test.features)

    def figures(probabilities):
        pairs = zip(probabilities, test.labels, strict=True)
        return localisation_figures([as_recording(*pair) for pair in pairs])

    head = figures([fitted.head.probabilities(x) for x in test.features])
    baseline = figures(stepwise)
    assert head["f1@50"] > baseline["f1@50"] + 0.4
    assert head["mAP@0.5"] > baseline["mAP@0.5"] + 0.4


def test_the_same_seed_gives_the_same_head(few):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second, other = fit(few), fit(few), fit(few, seed=1)
    assert torch.equal(weights(first), weights(second))
    assert first.validation_loss == second.validation_loss
    assert not torch.equal(weights(first), weights(other))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_validation_recordings_are_not_trained_on(few):
    first = fit(few, validation=[1])
    changed = [x.copy() for x in few.features]
    changed[1] += 5
    few.features[1] = changed[1]
    second = fit(few, validation=[1], options=FitOptions(epochs=1))
    third = fit(few, validation=[1], options=FitOptions(epochs=1))
    assert torch.equal(second.head.mean, first.head.mean)
    assert torch.equal(weights(second), weights(third))
    assert first.validation_loss != second.validation_loss


def test_the_loss_is_that_of_the_best_epoch(few):
    fitted = fit(few, validation=[0, 2], options=FitOptions(epochs=6, patience=6))
    losses = []
    for row in (0, 2):
        scores = fitted.head.probabilities(few.features[row]).astype(float)
        scores = np.column_stack([scores, 1 - scores.sum(axis=1)])
        labels = few.labels[row]
        losses.append(-np.log(scores[np.arange(len(labels)), labels]))
    assert fitted.validation_loss == pytest.approx(np.concatenate(losses).mean(), rel=1e-3)
    assert 1 <= fitted.best_epoch <= fitted.epochs <= 6


def test_training_ends_when_the_loss_stops_falling(few):
    # Noise without events: the first epochs are the best.
    rng = np.random.default_rng(0)
    few.labels[:] = [rng.integers(-1, CLASSES, size=len(y)) for y in few.labels]
    fitted = fit(few, options=FitOptions(epochs=60, patience=2))
    assert fitted.epochs == fitted.best_epoch + 2 < 60


def test_a_time_limit_gives_a_head_with_its_loss(few):
    started = time.monotonic()
    fitted = fit(few, seconds_limit=0.0, options=FitOptions(epochs=1000))
    assert time.monotonic() - started < 30
    assert fitted.epochs == fitted.best_epoch == 1
    assert 0 < fitted.validation_loss < 10


def test_training_ends_when_epochs_get_slower_than_planned(few, monkeypatch):
    hours = iter([0.0] * 20 + [10.0] * 1000)
    clock = SimpleNamespace(monotonic=lambda: 3600 * next(hours))
    monkeypatch.setattr(module, "time", clock)
    fitted = fit(few, seconds_limit=3600.0, options=FitOptions(epochs=1000, patience=1000))
    assert fitted.epochs < 20


def test_the_schedule_ends_within_the_time_limit(few, monkeypatch):
    shares = []
    monkeypatch.setattr(
        module, "learning_rate_factor", lambda s: shares.append(s) or learning_rate_factor(s)
    )
    ticks = count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 100))
    fitted = fit(few, seconds_limit=1.0, options=FitOptions(epochs=100_000, patience=100_000))
    assert fitted.epochs < 100
    assert max(shares) > 0.3


@pytest.mark.parametrize(("share", "factor"), [(0.1, 1.0), (0.55, 0.5), (1.0, 0.0)])
def test_the_learning_rate_falls_along_a_cosine(share, factor):
    assert learning_rate_factor(share) == pytest.approx(factor)
    assert 0 < learning_rate_factor(0.0) < 0.2


@pytest.mark.slow
def test_classes_can_overlap(few):
    # Class 1 occurs whenever class 0 does, and elsewhere.
    targets = [np.stack([x[:, 0] > 1, x[:, 0] > 0], axis=1).astype(np.int8) for x in few.features]
    fitted = fit_temporal_head(
        few.features, targets, classes=2, seed=0, options=FitOptions(epochs=25)
    )
    found = np.concatenate([fitted.head.probabilities(x) for x in few.features])
    wanted = np.concatenate(targets)
    assert found.shape == wanted.shape
    assert ((found > 0.5) == wanted).mean() > 0.85
    assert (found.sum(axis=1) > 1).any()


def test_at_least_two_recordings_are_needed(few):
    with pytest.raises(ListingError, match="at least 2 recordings"):
        fit(few[:1])
    with pytest.raises(ListingError, match="0 for validation"):
        fit(few, validation=[])
    assert fit(few[:2]).epochs == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_must_be_finite(few, bad):
    few.features[2][7, 3] = bad
    with pytest.raises(NumbersError, match="recording 2"):
        fit(few)


def test_a_loss_that_is_not_finite_is_an_error(few):
    with pytest.raises(NumbersError, match="not a finite number"):
        fit(few, options=FitOptions(epochs=2, learning_rate=1e30))


def test_long_recordings_are_cut_for_training_only(few, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_CROP", 32)
    sizes = []
    forward = TemporalHead.forward

    def recorded(self, x, is_step):
        sizes.append((self.training, x.shape[2]))
        return forward(self, x, is_step)

    monkeypatch.setattr(TemporalHead, "forward", recorded)
    fit(few, validation=[1])
    assert 32 < max(size for training, size in sizes if training) <= 32 * 1.29
    assert {size for training, size in sizes if not training} == {len(few.labels[1])}


def test_recordings_are_stretched_with_their_labels():
    steps = torch.arange(200.0)
    features, targets = torch.stack([steps, -steps]), (steps > 80).long()
    draw = torch.Generator().manual_seed(0)
    sizes = []
    for _ in range(50):
        stretched, labels = module._stretch(features, targets, draw)
        size = stretched.shape[1]
        sizes.append(size)
        centres = ((torch.arange(size) + 0.5) * 200 / size - 0.5).clamp(0, 199)
        torch.testing.assert_close(stretched[0], centres)
        torch.testing.assert_close(stretched[1], -centres)
        assert ((centres.round() > 80) == labels).all()
    assert min(sizes) >= 155 and max(sizes) <= 257
    assert min(sizes) < 170 and max(sizes) > 240
    overlapping = module._stretch(features, torch.stack([targets, 1 - targets]), draw)[1]
    assert (overlapping.sum(dim=0) == 1).all()
    assert module._stretch(features[:, :1], targets[:1], draw)[0].shape[1] == 1


def test_the_smoothing_loss_is_the_squared_change_of_log_probabilities():
    head = TemporalHead(3, 2, exclusive=True)
    data = module._Data([torch.zeros(3, 4)], [torch.zeros(4, dtype=torch.long)])
    training = module._Fit(head, data, data, SHORT, 0.0)
    probabilities = torch.tensor([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [1e-9, 0.9, 0.1], [1, 1, 1]])
    batch = module._Batch(torch.zeros(1, 3, 4), torch.zeros(1, 4), torch.tensor([[[1.0, 1, 1, 0]]]))
    logs = probabilities.log()
    # Changes over 4 count as 4, and padding does not count.
    expected = (np.log(0.5) ** 2 + np.log(5) ** 2 + 4**2 + np.log(1.8) ** 2) / (3 * 2)
    found = training._roughness(logs.T[None] + 7, batch)
    assert float(found) == pytest.approx(0.15 * expected, rel=1e-4)


def test_rare_classes_weigh_more():
    head = TemporalHead(3, 2, exclusive=True)
    targets = [torch.tensor([0] * 4 + [1] * 16 + [2] * 80)]
    found = module._class_weights(targets, head)
    roots = np.array([0.04, 0.16, 0.8]) ** -0.5
    np.testing.assert_allclose(found, roots / (roots * [0.04, 0.16, 0.8]).sum(), rtol=1e-6)
    overlapping = TemporalHead(3, 2, exclusive=False)
    found = module._class_weights([torch.tensor([[1.0, 0, 0, 0, 0], [1, 1, 1, 1, 0]])], overlapping)
    np.testing.assert_allclose(found, [2.0, 0.5], rtol=1e-6)


@pytest.mark.parametrize("exclusive", [True, False])
def test_weights_are_undone_in_probabilities(exclusive):
    """Without information in the features, the probabilities are the shares of the classes."""
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(400, 2)) * 0.01 for _ in range(4)]
    labels = [np.where(rng.uniform(size=400) < 0.1, 0, BACKGROUND) for _ in range(4)]
    if not exclusive:
        labels = [(part == 0)[:, None].astype(int) for part in labels]
    fitted = fit_temporal_head(
        features, labels, classes=1, seed=0, validation=[3], options=FitOptions(epochs=12)
    )
    found = np.concatenate([fitted.head.probabilities(part) for part in features])
    assert found.mean() == pytest.approx(0.1, abs=0.03)
    assert abs(float(fitted.head.log_weights[0]) - float(fitted.head.log_weights[-1])) == (
        pytest.approx(np.log(9) / 2 if exclusive else 0, abs=0.2)
    )


def test_a_class_without_steps_gets_no_infinite_weight(few):
    few.labels[:] = [np.where(y == 2, BACKGROUND, y) for y in few.labels]
    assert np.isfinite(fit(few).validation_loss)
