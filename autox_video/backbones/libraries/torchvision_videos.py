"""The backbone family `torchvision:NAME`: the video models in torchvision.

Shape letters: B clips, L tokens, C channels, T frames, H and W height and width, T', H' and W' time
steps, rows and columns of the feature map.
"""

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from mmaction.registry import MODELS
from torch import Tensor, nn
from torchvision.models import WeightsEnum, video
from torchvision.models.video.mvit import PositionalEncoding
from torchvision.ops import StochasticDepth

from autox_video.backbones.libraries.cost import cost_of
from autox_video.backbones.libraries.library_backbone import LibraryBackbone, State
from autox_video.backbones.libraries.positions import resized_grid
from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError

LARGE_MILLIONS = 20
"""Model size, in millions of parameters, above which dropout is used before the head."""
_HEADS = ("fc", "classifier", "head")
"""Possible names of the classification head in torchvision's video models."""
_SPATIAL, _TEMPORAL = "pos_encoding.spatial_pos", "pos_encoding.temporal_pos"


@MODELS.register_module()
class TorchvisionVideos(LibraryBackbone):
    """A torchvision video model without the final pooling and the head.

    MViT's own head uses only the class token, so that token is appended to the channels at every
    position.

    Args:
        name: name of the model in torchvision.
        side: height and width of the input in px, used only by MViT.
        frames: number of frames, used only by MViT.
        drop_path_rate: drop-path rate of the last block, for models with stochastic depth.
        options: see LibraryBackbone.
    """

    def __init__(
        self,
        name: str,
        *,
        side: int | None = None,
        frames: int | None = None,
        drop_path_rate: float = 0.0,
        **options: Any,
    ) -> None:
        net = torchvision.models.get_model(name, weights=None)
        for head in _HEADS:
            if hasattr(net, head):
                setattr(net, head, nn.Identity())
        if isinstance(net, video.MViT):
            _resize(net, frames, side)
        _set_drop_path(net, drop_path_rate)
        super().__init__(net, **options)

    def features(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""
        return _FEATURES[type(self.net)](self.net, x)

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return a file's tensors without the head, with MViT's position embeddings resized."""
        heads = tuple(f"{head}." for head in _HEADS)
        own = {name: tensor for name, tensor in state.items() if not name.startswith(heads)}
        if _SPATIAL in own and isinstance(self.net, video.MViT):
            positions = self.net.pos_encoding
            own[_SPATIAL] = resized_grid(own[_SPATIAL], positions.spatial_pos)
            own[_TEMPORAL] = resized_grid(own[_TEMPORAL], positions.temporal_pos, dims=1)
        return own


def _of_resnet(net: video.VideoResNet, x: Tensor) -> Tensor:
    x = net.stem(x)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
    return x


def _of_s3d(net: video.S3D, x: Tensor) -> Tensor:
    return net.features(x)


def _of_swin(net: video.SwinTransformer3d, x: Tensor) -> Tensor:
    x = net.features(net.pos_drop(net.patch_embed(x)))
    return net.norm(x).permute(0, 4, 1, 2, 3)


def _of_mvit(net: video.MViT, x: Tensor) -> Tensor:
    x = net.pos_encoding(net.conv_proj(x).flatten(2).transpose(1, 2))
    size = (net.pos_encoding.temporal_size, *net.pos_encoding.spatial_size)
    for block in net.blocks:
        x, size = block(x, size)
    token, x = net.norm(x).transpose(1, 2).split([1, math.prod(size)], dim=2)
    x = x.unflatten(2, size)
    return torch.cat([x, token[..., None, None].expand_as(x)], 1)


_FEATURES = {
    video.VideoResNet: _of_resnet,
    video.S3D: _of_s3d,
    video.SwinTransformer3d: _of_swin,
    video.MViT: _of_mvit,
}


def _set_drop_path(net: nn.Module, rate: float) -> None:
    """Set drop-path rates that rise linearly from 0 to `rate`, as in torchvision."""
    drops = [module for module in net.modules() if isinstance(module, StochasticDepth)]
    for number, module in enumerate(drops):
        module.p = rate * number / (len(drops) - 1)


def _resize(net: video.MViT, frames: int | None, side: int | None) -> None:
    """Replace MViT's position embeddings to fit another input size.

    torchvision's builders do not support other input sizes. The relative positions of MViTv2 stay
    unchanged, since the forward pass interpolates them.
    """
    old = net.pos_encoding
    time, rows, columns = old.temporal_size, *old.spatial_size
    if frames is not None:
        time = math.ceil(frames / net.conv_proj.stride[0])
    if side is not None:
        rows, columns = (math.ceil(side / stride) for stride in net.conv_proj.stride[1:])
    if (time, rows, columns) == (old.temporal_size, *old.spatial_size):
        return
    channels, is_relative = len(old.class_token), old.spatial_pos is None
    net.pos_encoding = PositionalEncoding(channels, (rows, columns), time, is_relative)
    for weights in net.pos_encoding.parameters():
        nn.init.trunc_normal_(weights, std=0.02)


@BACKBONES.register_family("torchvision")
def spec(name: str) -> BackboneSpec:
    """Return the spec of a torchvision video model.

    The clip size, frame rate and normalisation are the values published with the weights.

    Raises:
        ConfigError: torchvision has no such video model.
    """
    published = _weights(name)
    preset, rate, frames = published.transforms(), *_sampling(published)
    side = preset.crop_size[0]
    cost = cost_of(lambda: TorchvisionVideos(name, frames=frames, side=side), (frames, side, side))
    with torch.device("meta"):
        net = torchvision.models.get_model(name, weights=None)
    return BackboneSpec(
        module=__name__,
        config={"type": "TorchvisionVideos", "name": name},
        **cost.as_fields(),
        resolution=side,
        is_library=True,
        frames=frames if isinstance(net, video.MViT) else None,
        frames_per_sec=rate,
        span_sec=frames / rate,
        drop_path=max((m.p for m in net.modules() if isinstance(m, StochasticDepth)), default=0.0),
        head_dropout=0.5 if cost.parameters_millions > LARGE_MILLIONS else 0.0,
        mean=tuple(255 * value for value in preset.mean),
        std=tuple(255 * value for value in preset.std),
    )


def _weights(name: str) -> WeightsEnum:
    """Return torchvision's description of a model's weights, which includes the input format.

    Raises:
        ConfigError: torchvision has no such video model.
    """
    names = torchvision.models.list_models(module=video)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean torchvision:{near[0]}?" if near else ""
        known = ", ".join(names)
        raise ConfigError(
            f"backbone: torchvision has no video model {name}; its video models: {known}.{hint}"
        )
    return torchvision.models.get_model_weights(name).DEFAULT


def _sampling(published: WeightsEnum) -> tuple[float, int]:
    """Return the frame rate and the number of frames with which the accuracy was measured."""
    described = published.meta["_docs"]
    rate = re.search(r"frame_rate=([0-9.]+)", described)
    frames = re.search(r"clip_len=([0-9]+)", described)
    assert rate and frames, f"the weights of {published} no longer give their frame rate"
    per_sec = float(rate[1])
    return int(per_sec) if per_sec.is_integer() else per_sec, int(frames[1])
