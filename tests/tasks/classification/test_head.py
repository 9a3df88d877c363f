import math

import pytest
import torch
from mmaction.models.heads import I3DHead
from mmaction.structures import ActionDataSample

from autox_video.tasks.classification.head import ClipHead


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


def soft(labels):
    found = []
    for label in labels:
        sample = ActionDataSample()
        sample.gt_label = torch.tensor([label])
        found.append(sample)
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels_share_the_loss(smoothing):
    head = ClipHead(num_classes=3, in_channels=8, label_smooth_eps=smoothing)
    scores = torch.randn(2, 3)
    whole = [head.loss_by_feat(scores, samples([i, i]))["loss_cls"] for i in range(3)]
    mixed = head.loss_by_feat(scores, soft([[0.7, 0.3, 0.0]] * 2))
    assert torch.allclose(mixed["loss_cls"], 0.7 * whole[0] + 0.3 * whole[1], atol=1e-6)
    expected = float((scores.argmax(1) == 0).float().mean())
    assert float(mixed["top1_acc"]) == pytest.approx(expected)


def test_several_classes_at_once_have_a_probability_each():
    head = ClipHead(num_classes=3, in_channels=8, task="multi_label")
    scores = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 0.5]])
    losses = head.loss_by_feat(scores, soft([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    p = 1 / (1 + (-scores).exp())
    target = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    assert torch.allclose(losses["loss_cls"], expected)
    assert "top1_acc" not in losses
    (clip,) = head.predict_by_feat(scores, samples([0]))
    assert torch.allclose(clip.pred_output, p.mean(0))


def test_logits_hold_what_probabilities_round_away():
    """Over two views of a clip: the logarithm of the mean probability, however small that is."""
    head = ClipHead(num_classes=2, in_channels=8)
    scores = torch.tensor([[300.0, 0.0], [200.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    clips = head.predict_by_feat(scores, samples([0, 0]))
    assert clips[0].pred_output[1].item() == pytest.approx(-200 - math.log(2), rel=1e-6)
    mean = scores[2:].softmax(1).mean(0)
    torch.testing.assert_close(clips[1].pred_output.exp(), mean)


def test_balanced_logits_do_not_favour_common_classes():
    """Where nothing tells nine clips of one class from one of another, both get half."""
    scores = torch.zeros(10, 2, requires_grad=True)
    labels = samples([0] * 9 + [1])
    head = ClipHead(num_classes=2, in_channels=8, class_clips=[9, 1])
    head.loss_by_feat(scores, labels)["loss_cls"].backward()
    assert torch.allclose(scores.grad.sum(0), torch.zeros(2), atol=1e-6)
    plain = torch.zeros(10, 2, requires_grad=True)
    ClipHead(num_classes=2, in_channels=8).loss_by_feat(plain, labels)["loss_cls"].backward()
    assert torch.allclose(plain.grad.sum(0), torch.tensor([-0.4, 0.4]))
    assert set(head.state_dict()) == {"fc_cls.weight", "fc_cls.bias"}


def test_balance_with_a_class_without_clips():
    head = ClipHead(num_classes=3, in_channels=8, class_clips=[4, 0, 4])
    loss = head.loss_by_feat(torch.zeros(2, 3), samples([0, 2]))["loss_cls"]
    assert torch.allclose(loss, -torch.tensor(4 / 8.5).log())
