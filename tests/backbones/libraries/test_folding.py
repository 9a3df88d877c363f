"""Folding batch norms into convolutions does not change the features."""

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from autox_video.backbones.libraries.folding import folded
from autox_video.backbones.libraries.fused_convolutions import Flipped, FusedConvolution
from autox_video.backbones.libraries.library_backbone import FrameBackbone
from autox_video.backbones.libraries.timm_images import TimmImages


def trained_norms(backbone):
    """Give the batch norms random statistics, as after training."""
    torch.manual_seed(0)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return backbone.eval()


@pytest.mark.parametrize("name", ["resnet10t", "test_efficientnet"])
def test_features_stay_the_same_with_fewer_batch_norms(name):
    backbone = trained_norms(TimmImages(name))
    clips = torch.randn(2, 3, 2, 64, 64)
    fast = folded(backbone, clips[:1])
    assert fast is not backbone
    counts = [
        sum(isinstance(module, nn.BatchNorm2d) for module in each.modules())
        for each in (backbone, fast)
    ]
    assert counts[1] <= counts[0] / 3
    with torch.inference_mode():
        torch.testing.assert_close(fast(clips), backbone(clips), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet10t", "test_efficientnet", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("side", [64, 65])
def test_convolutions_are_fused_with_their_activations(name, side):
    """An odd side changes how Conv2dSame pads."""
    backbone = trained_norms(TimmImages(name))
    clips = torch.randn(2, 3, 2, side, side)
    fast = folded(backbone, clips[:1])
    fused = [each for each in fast.modules() if isinstance(each, FusedConvolution)]
    if side == 64:
        assert len(fused) > 10
        assert isinstance(fast, Flipped) == name.startswith("tf_")
        pads = [each for each in fast.modules() if isinstance(each, Conv2dSame)]
        assert not pads and any("hardtanh" in each.options for each in fused) == ("lite" in name)
    with torch.inference_mode():
        found, wanted = fast(clips), backbone(clips)
    assert (found - wanted).norm() < 1e-3 * wanted.norm()


def test_fused_convolutions_compute_in_the_precision_of_the_backbone():
    backbone = trained_norms(TimmImages("resnet10t", precision="bfloat16"))
    clips = torch.randn(2, 3, 2, 64, 64)
    fast = folded(backbone, clips[:1])
    fused = [each for each in fast.modules() if isinstance(each, FusedConvolution)]
    assert fused and all(each.weight.dtype == torch.bfloat16 for each in fused)
    with torch.inference_mode():
        found, wanted = fast(clips), backbone(clips)
    assert found.dtype == torch.float32
    assert (found - wanted).norm() < 0.03 * wanted.norm()


def test_the_backbone_itself_stays_as_it_is():
    backbone = trained_norms(TimmImages("resnet10t", precision="bfloat16"))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    fast = folded(backbone, torch.randn(1, 3, 2, 64, 64))
    assert backbone.state_dict().keys() == before.keys()
    assert all(torch.equal(t, before[name]) for name, t in backbone.state_dict().items())
    assert backbone.dtype == torch.bfloat16
    assert all(each.dtype == torch.bfloat16 for each in fast.modules() if hasattr(each, "dtype"))


class _OtherOrder(nn.Module):
    """A network that defines its convolution first but applies its batch norm first."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.conv(self.norm(x))


class _Frames(FrameBackbone):
    def frame_features(self, images):
        return self.net(images)


def test_a_network_with_another_order_is_not_folded():
    backbone = trained_norms(_Frames(_OtherOrder()))
    assert folded(backbone, torch.randn(1, 3, 2, 16, 16)) is backbone
