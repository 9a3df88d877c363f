import pytest
import torch

from autox_video.backbones.backbone import Block
from autox_video.backbones.video_conv.model import VideoConv
from autox_video.backbones.video_swin.model import VideoSwin

SMALL_SWIN = {"embed_dims": 8, "depths": (1, 2, 1), "num_heads": (1, 2, 2)}
BACKBONES = {
    "conv": lambda **keys: VideoConv((8, 8, 8, 16), (1, 2, 1), **keys),
    "swin": lambda **keys: VideoSwin(SMALL_SWIN, **keys),
}


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


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("with_cp", [False, True])
def test_frozen_stages_have_no_gradient_and_stay_in_evaluation_mode(name, count, with_cp):
    torch.manual_seed(0)
    backbone = BACKBONES[name](frozen_stages=count, drop_path_rate=0.2, with_cp=with_cp)
    stages = backbone.stage_modules()
    assert len(stages) == 3
    backbone.eval().train()
    features = backbone(torch.rand(2, 3, 4, 32, 32))
    assert features.requires_grad == (count < 3)
    if features.requires_grad:
        features.sum().backward()
    seen = set()
    for number, modules in enumerate(stages):
        for module in modules:
            seen |= set(module.parameters())
            assert all(part.training == (number >= count) for part in module.modules())
            assert all((p.grad is not None) == (number >= count) for p in module.parameters())
    assert seen == set(backbone.parameters())


def test_frozen_stages_compute_as_in_evaluation():
    torch.manual_seed(0)
    clips = torch.rand(8, 3, 4, 32, 32)
    frozen = BACKBONES["swin"](frozen_stages=3, drop_path_rate=0.9).train()
    assert torch.equal(frozen(clips), frozen.eval()(clips))
