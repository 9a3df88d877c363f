"""The backbone family `timm:NAME`: all image models in timm, applied to the frames of a clip.

Shape letters: N images, L tokens, C channels, H' and W' rows and columns of the feature map.
"""

import difflib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import timm
import torch
from mmaction.registry import MODELS
from timm.models import _efficientnet_blocks as efficientnet
from timm.models import convnext, regnet, resnet
from torch import Tensor, nn

from autox_video.backbones.libraries.cost import cost_of
from autox_video.backbones.libraries.library_backbone import FrameBackbone, State
from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError

FRAMES = 8
LARGE_MILLIONS = 20
"""Model size, in millions of parameters, above which dropout and stochastic depth are used."""
_MERGED = ("token", "map", "")
"""Values of `global_pool` for which the head does not average the patch tokens."""
_FIRST_LAYERS = {
    efficientnet.InvertedResidual: ("conv_pw",),
    efficientnet.UniversalInvertedResidual: ("dw_start", "pw_exp"),
    efficientnet.EdgeResidual: ("conv_exp",),
    efficientnet.DepthwiseSeparableConv: ("conv_dw",),
    resnet.BasicBlock: ("conv1",),
    resnet.Bottleneck: ("conv1",),
    regnet.Bottleneck: ("conv1",),
    convnext.ConvNeXtBlock: ("conv_dw",),
}
"""Possible names of the first layer of each block type's residual branch, in forward order."""


@MODELS.register_module()
class TimmImages(FrameBackbone):
    """A backbone that applies a timm image model to each frame of a clip.

    If the model's own head uses more than the mean of the feature map, such as a class token, the
    head's output before the classifier is appended to the channels at every position.

    Args:
        name: name of the model in timm, with or without a tag.
        side: height and width of the input in px, for models with a fixed input size.
        frames: ignored, since each frame is processed separately.
        drop_path_rate: drop-path rate, for models with stochastic depth.
        options: see LibraryBackbone.
    """

    def __init__(
        self,
        name: str,
        *,
        side: int | None = None,
        frames: int = FRAMES,
        drop_path_rate: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(_create(name, side, drop_path_rate), **options)
        self.appends = _head_does_more(self.net)

    def frame_features(self, images: Tensor) -> Tensor:
        """Return feature maps (N, C, H', W') of images (N, 3, H, W)."""
        found = self.net.forward_features(images)
        maps = _as_map(self.net, found, images)
        if not self.appends:
            return maps
        pooled = self.net.forward_head(found, pre_logits=True)
        return torch.cat([maps, pooled[..., None, None].expand(-1, -1, *maps.shape[2:])], 1)

    def shifted_layers(self) -> list[nn.Module]:
        """Return the first layer of each residual branch of a convolutional network.

        The list is empty if the network has no blocks of a known type.
        """
        layers = []
        for block in self.net.modules():
            names = next((n for kind, n in _FIRST_LAYERS.items() if isinstance(block, kind)), ())
            branch = [getattr(block, name) for name in names]
            branch = [layer for layer in branch if not isinstance(layer, nn.Identity)]
            if branch and getattr(block, "has_skip", True):
                layers.append(branch[0])
        return layers

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return the tensors of a published file under timm's names, without the classifier."""
        if "_conv_stem.weight" in state:
            state = _from_efficientnet_pytorch(self.net, state)
        heads = self.net.pretrained_cfg.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else heads
        return {n: t for n, t in state.items() if not n.startswith(tuple(f"{h}." for h in heads))}


def _create(name: str, side: int | None, drop_path_rate: float) -> nn.Module:
    """Return the model without pretrained weights and without a classifier."""
    keys: dict[str, Any] = {"pretrained": False, "num_classes": 0}
    if drop_path_rate:
        keys["drop_path_rate"] = drop_path_rate
    built = side is not None and side != _input_size(name)
    for extra in ({"dynamic_img_size": True}, {"img_size": side}) if built else ():
        try:
            return timm.create_model(name, **keys, **extra)
        except TypeError:  # the model does not accept this argument
            continue
    return timm.create_model(name, **keys)


def _input_size(name: str) -> int:
    return timm.get_pretrained_cfg(name).input_size[-1]


def _as_map(net: nn.Module, found: Tensor, images: Tensor) -> Tensor:
    """Convert an output in any of timm's formats to a feature map (N, C, H', W')."""
    if found.dim() == 3:
        tokens = found[:, getattr(net, "num_prefix_tokens", 0) :]
        patch = net.patch_embed.patch_size
        rows, columns = (n // p for n, p in zip(images.shape[2:], patch, strict=True))
        if rows * columns != tokens.shape[1]:  # the model merges patches later on
            rows = columns = round(tokens.shape[1] ** 0.5)
        return tokens.transpose(1, 2).unflatten(2, (rows, columns))
    if getattr(net, "output_fmt", "NCHW") == "NHWC":
        return found.permute(0, 3, 1, 2)
    return found


def _head_does_more(net: nn.Module) -> bool:
    """Return whether the head does more than average the feature map."""
    head = getattr(net, "head", None)
    layers = [getattr(net, "fc_norm", None), getattr(net, "attn_pool", None)]
    layers += [getattr(head, name, None) for name in ("norm", "pre_logits", "flatten_norm")]
    wider = getattr(net, "head_hidden_size", net.num_features) != net.num_features
    merged = getattr(net, "num_prefix_tokens", 0) and net.global_pool in _MERGED
    return bool(wider or merged or any(sum(1 for _ in m.parameters()) for m in layers if m))


def _from_efficientnet_pytorch(net: nn.Module, state: Mapping[str, Tensor]) -> State:
    """Give timm's names to the tensors of a file from the package EfficientNet-PyTorch.

    The package and timm name the tensors differently but keep them in the same order.
    """
    pairs = zip(net.state_dict().items(), state.items(), strict=False)
    return {ours: tensor for (ours, _), (_, tensor) in pairs}


@BACKBONES.register_family("timm")
def spec(name: str) -> BackboneSpec:
    """Return the spec of a timm model.

    Raises:
        ConfigError: timm has no image model with this name.
    """
    if not timm.is_model(name):
        similar = difflib.get_close_matches(name, timm.list_models(), n=3)
        near = ", ".join(f"timm:{each}" for each in similar)
        hint = f" Did you mean {near}?" if near else ""
        raise ConfigError(f"backbone: timm has no model {name}.{hint}")
    published = timm.get_pretrained_cfg(name)
    side = published.input_size[-1]
    keys = {"type": "TimmImages", "name": name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cost = cost_of(lambda: TimmImages(name, side=side), (FRAMES, side, side))
    drops = "drop_path_rate" in _arguments(name) and cost.parameters_millions > LARGE_MILLIONS
    return BackboneSpec(
        module=__name__,
        config=keys,
        **cost.as_fields(),
        resolution=side,
        is_library=True,
        drop_path=0.1 if drops else 0.0,
        head_dropout=0.5 if cost.parameters_millions > LARGE_MILLIONS else 0.0,
        mean=tuple(255 * value for value in published.mean),
        std=tuple(255 * value for value in published.std),
    )


def _arguments(name: str) -> set[str]:
    """Return the names of a model's constructor arguments."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    return set(inspect.signature(type(model).__init__).parameters)
