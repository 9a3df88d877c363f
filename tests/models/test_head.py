import autox_video.mm_compat  # noqa: F401

import pytest
import torch
from mmaction.models.heads import I3DHead
from mmaction.structures import ActionDataSample

from autox_video.models.head import ClipHead


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_top1_are_those_of_mmaction2(smoothing):
    options = {"num_classes": 5, "in_channels": 8, "label_smooth_eps": smoothing}
    scores, labels = torch.randn(7, 5), [0, 1, 2, 3, 4, 0, 1]
    ours = ClipHead(**options).loss_by_feat(scores, samples(labels))
    stock = I3DHead(**options).loss_by_feat(scores, samples(labels))
    assert torch.allclose(ours["loss_cls"], stock["loss_cls"])
    assert torch.allclose(ours["top1_acc"].double(), stock["top1_acc"].double())


def test_a_batch_of_one():
    losses = ClipHead(num_classes=2, in_channels=8).loss_by_feat(
        torch.tensor([[0.0, 0.0]]), samples([1])
    )
    assert torch.allclose(losses["loss_cls"], torch.tensor(2.0).log())
