import pytest
import torch

from autox_video.backbones.drop_path import add_branch


@pytest.mark.parametrize("whole_batch", [False, True])
def test_each_clip_has_its_branch_or_not_and_the_mean_stays(whole_batch):
    torch.manual_seed(0)
    x = torch.zeros(4000, 2, 3)
    got = add_branch(x, lambda x: x + 3, drop_path=0.25, whole_batch=whole_batch)
    assert set(got.flatten().tolist()) == {0.0, 4.0}
    assert (got == got[:, :1, :1]).all()
    assert got.mean().item() == pytest.approx(3.0, abs=0.1)


def test_without_drop_path_it_is_a_sum():
    x = torch.ones(2, 3)
    assert torch.equal(add_branch(x, lambda x: 2 * x, drop_path=0.0, whole_batch=False), 3 * x)


def test_weights_of_a_branch_that_no_clip_takes_have_a_gradient_of_zero():
    weight = torch.ones((), requires_grad=True)
    got = add_branch(torch.ones(2, 3), lambda x: x * weight, drop_path=1 - 1e-9, whole_batch=False)
    got.sum().backward()
    assert weight.grad.item() == 0
    assert torch.equal(got, torch.ones(2, 3))
