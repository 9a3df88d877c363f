"""The attentive head."""

import pytest
import torch
import torch.nn.functional as F

from autox_video.automl.probing.attentive_probe import AttentiveHead
from autox_video.tasks.classification.attentive_head import AttentiveClipHead, pool, pooled_tokens


def test_tokens_are_means_of_the_map():
    features = torch.randn(2, 5, 4, 6, 6)
    tokens = pooled_tokens(features, (4, 2, 2))
    assert tokens.shape == (2, 1 + 16, 5)
    torch.testing.assert_close(tokens[:, 0], features.mean((2, 3, 4)))
    torch.testing.assert_close(tokens[:, 1 + 5], features[:, :, 1, :3, 3:].mean((2, 3)))


@pytest.mark.parametrize(("size", "grid"), [((5, 7, 6), (2, 3, 4)), ((1, 2, 3), (2, 2, 2))])
def test_cells_that_do_not_divide_the_map_are_torchs(size, grid):
    features = torch.randn(2, 3, *size)
    cells = pooled_tokens(features, grid)[:, 1:]
    expected = F.adaptive_avg_pool3d(features, grid).flatten(2).transpose(1, 2)
    torch.testing.assert_close(cells, expected)


def test_without_a_query_all_cells_count_alike():
    tokens = torch.randn(2, 1 + 3, 5)
    found = pool(tokens, torch.zeros(2, 5), torch.zeros(2, 3)).unflatten(1, (3, 5))
    torch.testing.assert_close(found[:, 0], tokens[:, 0])
    torch.testing.assert_close(found[:, 1], tokens[:, 1:].mean(1))


def test_a_place_can_be_all_that_counts():
    tokens = torch.randn(2, 1 + 3, 5)
    place = torch.tensor([[0.0, 100.0, 0.0]])
    found = pool(tokens, torch.zeros(1, 5), place).unflatten(1, (2, 5))
    torch.testing.assert_close(found[:, 1], tokens[:, 2])


def test_the_head_takes_the_tensors_of_a_probe_and_says_the_same():
    head = AttentiveClipHead(3, 5, grid=(2, 2, 2), queries=4).eval()
    probe = AttentiveHead(torch.randn(4, 5), torch.randn(4, 8), torch.randn(25, 3), torch.randn(3))
    head.load_state_dict(probe.state())
    features = torch.randn(2, 5, 4, 6, 6)
    expected = probe.logits(pooled_tokens(features, (2, 2, 2)))
    torch.testing.assert_close(head(features), expected)


def test_it_learns():
    head = AttentiveClipHead(3, 5, grid=(2, 2, 2))
    head(torch.randn(2, 5, 4, 6, 6)).sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in head.parameters())
