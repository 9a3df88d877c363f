"""The temporal head: what its outputs depend on, and how they are scaled."""

import numpy as np
import pytest
import torch

from autox_video.tasks.localisation.temporal_head import DilatedLayers, TemporalHead


def random_head(*, exclusive=True, classes=3, **options):
    torch.manual_seed(0)
    return TemporalHead(5, classes, exclusive=exclusive, layers=3, width=8, **options).eval()


def test_padding_changes_nothing():
    head = random_head()
    long, short = torch.randn(5, 40), torch.randn(5, 23)
    padded = torch.nn.functional.pad(short, (0, 17), value=3.0)
    is_step = torch.ones(2, 1, 40)
    is_step[1, :, 23:] = 0
    together = head(torch.stack([long, padded]), is_step)
    for row, part in enumerate((long, short)):
        alone = head(part[None], torch.ones(1, 1, part.shape[1]))
        for stage, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(stage[row : row + 1, :, : part.shape[1]], expected)


def test_a_step_sees_as_many_steps_as_the_layers_say():
    torch.manual_seed(0)
    layers = DilatedLayers(5, 3, width=8, layers=3, dropout=0.0).eval()
    x = torch.randn(50, 5, 41)
    changed = x.clone()
    changed[:, :, 20] += 1
    is_step = torch.ones(50, 1, 41)
    difference = (layers(x, is_step) - layers(changed, is_step)).abs().amax(dim=(0, 1))
    assert torch.nonzero(difference).flatten().tolist() == list(range(20 - 7, 20 + 8))


def test_probabilities_of_exclusive_classes_leave_room_for_the_background():
    head = random_head()
    features = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    found = head.probabilities(features)
    logits = head(torch.tensor(features).T[None], torch.ones(1, 1, 30))[-1][0]
    expected = logits.softmax(dim=0)[:3].T.detach().numpy()
    assert found.shape == (30, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (found.sum(axis=1) < 1).all()


def test_probabilities_of_overlapping_classes_are_independent():
    head = random_head(exclusive=False)
    with torch.no_grad():
        head.refinements[-1].leave.bias += 10
    found = head.probabilities(np.zeros((30, 5)))
    assert found.shape == (30, 3)
    assert (found > 0.9).all()


def test_a_recording_without_steps_has_no_probabilities():
    assert random_head().probabilities(np.zeros((0, 5))).shape == (0, 3)


def test_features_are_standardised_by_those_of_training():
    head = random_head()
    features = [torch.randn(5, 30) * 4 + 7, torch.randn(5, 10) * 4 + 7]
    features[0][2], features[1][2] = 3.0, 3.0  # a channel that never changes
    head.standardise(features)
    every = torch.cat(features, dim=1)
    torch.testing.assert_close(head.mean, every.mean(dim=1, keepdim=True))
    expected = every.std(dim=1, keepdim=True, correction=0)
    expected[2] = 1
    torch.testing.assert_close(head.deviation, expected)
    assert np.isfinite(head.probabilities(every.T.numpy())).all()


@pytest.mark.parametrize("stages", [1, 3])
def test_weights_can_be_stored(stages):
    head, other = random_head(stages=stages), random_head(stages=stages)
    head.standardise([torch.randn(5, 30)])
    other.load_state_dict(head.state_dict())
    features = np.ones((9, 5))
    assert (other.probabilities(features) == head.probabilities(features)).all()
    assert len(head(torch.ones(1, 5, 9), torch.ones(1, 1, 9))) == stages
