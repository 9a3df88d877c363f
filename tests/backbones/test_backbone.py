import pytest
import torch

from autox_video.backbones.backbone import Block


def block(drop_path, *, whole_batch=False):
    made = Block(drop_path).train()
    made.whole_batch = whole_batch
    return made


@pytest.mark.parametrize("whole_batch", [False, True])
def test_each_clip_has_its_branch_or_not_and_the_mean_stays(whole_batch):
    torch.manual_seed(0)
    x = torch.zeros(4000, 2, 3)
    got = block(0.25, whole_batch=whole_batch).add(x, lambda x: x + 3)
    assert set(got.flatten().tolist()) == {0.0, 4.0}
    assert (got == got[:, :1, :1]).all()
    assert got.mean().item() == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("block", [block(0.0), block(0.5).eval()])
def test_without_drop_path_it_is_a_sum(block):
    x = torch.ones(2, 3)
    assert torch.equal(block.add(x, lambda x: 2 * x), 3 * x)


def test_weights_of_a_branch_that_no_clip_takes_have_a_gradient_of_zero():
    weight = torch.ones((), requires_grad=True)
    got = block(1 - 1e-9).add(torch.ones(2, 3), lambda x: x * weight)
    got.sum().backward()
    assert weight.grad.item() == 0
    assert torch.equal(got, torch.ones(2, 3))
