"""The backbone class of the family `mmaction2:NAME`.

Shape letters: B clips, C channels, T frames, H and W height and width, T', H' and W' time steps,
rows and columns of the feature map.
"""

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmaction.registry import MODELS
from mmcv.cnn.bricks import DropPath
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d, layer_norm
from torch.overrides import TorchFunctionMode

from autox_video.backbones.libraries.library_backbone import LibraryBackbone, Parts, State
from autox_video.backbones.libraries.positions import resized_grid
from autox_video.backbones.lora import reset_adapters
from autox_video.core.errors import ConfigError

FRAME_KEYS = ("num_segments", "num_frames", "t_size")
"""Constructor arguments that fix the number of frames."""
SIDE_KEYS = ("input_resolution", "spatial_size")
"""Constructor arguments that fix the height and width of the input in px."""
_PLANNED = ("frozen_stages", "norm_eval", "bn_frozen", "partial_bn", "with_cp")
"""Keys to remove from a config, because the plan sets these options."""
_OFF = ("pretrained2d", "clip_pretrained")
"""Arguments to set to False, since by default they make `init_weights` load a file."""
_LATER = {
    "TimeSformer": ("transformer_layers", "norm"),
    "UniFormer": (
        *("blocks1", "patch_embed2", "blocks2", "patch_embed3", "blocks3", "patch_embed4"),
        *("blocks4", "norm"),
    ),
}
"""Submodules, in forward order, of classes that register their submodules in a different order."""
_C3D_CLIP = (16, 112)
"""Frame count and side length (in px) of the only input that C3D's linear layers accept."""


@MODELS.register_module()
class Mmaction2Model(LibraryBackbone):
    """The backbone and the neck of an mmaction2 recogniser.

    If the recogniser's own head uses only a class token or another vector that represents the whole
    clip, that vector is appended to the channels at every position.

    Args:
        backbone: the `backbone` entry of the recogniser's config.
        neck: the `neck` entry of the recogniser's config, if there is one.
        sees_images: whether the backbone takes separate frames (B T, 3, H, W) instead of clips.
        side: height and width of the input in px, for classes with a fixed input size.
        frames: number of frames, for classes that require a fixed number.
        drop_path_rate: drop-path rate of the last block, for models with stochastic depth.
        options: see LibraryBackbone.

    Raises:
        ConfigError: the model does not support the given number of frames or input size.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        *,
        neck: Mapping[str, Any] | None = None,
        sees_images: bool = False,
        side: int | None = None,
        frames: int | None = None,
        drop_path_rate: float = 0.0,
        **options: Any,
    ) -> None:
        kind = backbone["type"]
        _check_size(kind, backbone, frames, side)
        entry = _adapted(backbone, frames, side, drop_path_rate)
        parts = {"backbone": _build(entry, "BN2d" if sees_images else "BN3d")}
        if neck:
            parts["neck"] = _build(neck, "BN3d")
            parts["neck"].aux_head = None  # used only for a loss in mmaction2's own training
        _reorder(parts["backbone"], _LATER.get(kind, ()))
        if kind == "TimeSformer":
            _set_drop_path(parts["backbone"], drop_path_rate)
        super().__init__(_Chosen(parts, kind, sees_images=sees_images), **options)

    @property
    def name(self) -> str:
        """The class name of the backbone, for use in messages."""
        return self.net.kind

    def init_weights(self) -> None:
        """Initialise the weights as mmaction2 does when there is no pretrained file."""
        for part in self.net.values():
            part.init_weights()
        reset_adapters(self.net)  # mmaction2 initialises every linear layer

    def features(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""
        backbone = self.net["backbone"]
        if self.net.kind in _MAPS:
            return _MAPS[self.net.kind](backbone, x)
        found = backbone(x.transpose(1, 2).flatten(0, 1) if self.net.sees_images else x)
        maps = list(found) if isinstance(found, list | tuple) else [found]
        if self.net.sees_images:
            maps = [m.unflatten(0, (len(x), -1)).transpose(1, 2).contiguous() for m in maps]
        features = self.net["neck"](maps)[0] if "neck" in self.net else maps[-1]
        return features if features.dim() == 5 else features[..., None, None, None]

    def parts(self) -> Parts:
        """Return the network's parts in forward order, each with a flag that is true for blocks."""
        if self.net.kind == "ResNet3dSlowFast":
            return _parts_of_pathways(self.net["backbone"])
        return super().parts()

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return a file's tensors without the head, with the position embeddings resized."""
        own = {n: t for n, t in state.items() if n.startswith(("backbone.", "neck."))}
        wanted = self.net.state_dict()
        for name, resize in _POSITIONS.get(self.net.kind, {}).items():
            if name in own:
                own[name] = resize(own[name], wanted[name], self.net["backbone"])
            elif name in dict(self.net.named_buffers()):  # a fixed table
                own[name] = wanted[name]
        return own


class _Chosen(nn.ModuleDict):
    """A backbone and an optional neck, under the names used in mmaction2's recognisers."""

    def __init__(self, parts: dict[str, nn.Module], kind: str, *, sees_images: bool) -> None:
        super().__init__(parts)
        self.kind, self.sees_images = kind, sees_images


def _check_size(kind: str, entry: Mapping[str, Any], frames: int | None, side: int | None) -> None:
    """Raise ConfigError if a class does not support the number of frames or the input size."""
    if kind == "ResNet3dSlowFast" and frames and frames % entry.get("resample_rate", 8):
        raise ConfigError(
            f"clip_len: this SlowFast network takes a multiple of {entry.get('resample_rate', 8)} "
            f"frames, not {frames}."
        )
    if kind == "TimeSformer" and side and side % entry["patch_size"]:
        raise ConfigError(
            f"resolution: this TimeSformer takes a multiple of {entry['patch_size']} px, "
            f"not {side}."
        )
    if kind == "C3D" and (frames or 16, side or 112) != _C3D_CLIP:
        raise ConfigError(
            f"clip_len, resolution: C3D only takes 16 frames of 112 px, not {frames} of {side} px."
        )


def _adapted(
    entry: Mapping[str, Any], frames: int | None, side: int | None, drop_path_rate: float
) -> dict[str, Any]:
    """Return a config entry with the plan's values for the arguments that the class accepts."""
    known, kind = arguments_of(entry["type"]), entry["type"]
    changes: dict[str, Any] = {"pretrained": None, "return_feat_map": True}
    changes |= dict.fromkeys(_OFF, False)
    if frames is not None:
        changes |= dict.fromkeys(FRAME_KEYS, frames)
    if side is not None:
        changes["input_resolution"] = side
        # The other classes interpolate their position embeddings themselves.
        changes |= {"img_size": side} if kind == "TimeSformer" else {}
    changes |= dict.fromkeys(("drop_path_rate", "backbone_drop_path_rate"), drop_path_rate)
    return {**entry, **{key: value for key, value in changes.items() if key in known}}


def arguments_of(kind: str) -> set[str]:
    """Return the names of the constructor arguments of a class and its base classes."""
    bases = [base for base in MODELS.get(kind).__mro__ if "__init__" in vars(base)]
    return {name for base in bases for name in inspect.signature(base.__init__).parameters}


def _build(entry: Mapping[str, Any], norm: str) -> nn.Module:
    """Build a module without loading weights or synchronising batch norms."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)  # some constructors log every layer
    try:
        with DefaultScope.overwrite_default_scope("mmaction"), _MetaDevice():
            return MODELS.build(_cleaned(entry, norm))
    finally:
        logging.disable(before)


def _cleaned(value: Any, norm: str) -> Any:
    """Return a copy of a nested config without pretrained files or the keys in `_PLANNED`."""
    if isinstance(value, Mapping):
        kept = {k: _cleaned(v, norm) for k, v in value.items() if k not in _PLANNED}
        kept |= {"pretrained": None} if "pretrained" in kept else {}
        return {**kept, "type": norm} if kept.get("type") == "SyncBN" else kept
    if isinstance(value, list | tuple):
        return type(value)(_cleaned(part, norm) for part in value)
    return value


class _MetaDevice(TorchFunctionMode):
    """Allow constructors that read tensor values to run on the meta device.

    Some constructors read drop-path rates from a tensor, and TANet reads the mean of its weights.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.linspace:
            return func(*args, **{**kwargs, "device": "cpu"})
        if func is Tensor.cpu and args[0].is_meta:
            return torch.zeros(args[0].shape, device="cpu")
        return func(*args, **kwargs)


def _reorder(module: nn.Module, names: tuple[str, ...]) -> None:
    """Move the named submodules to the end of a module, in the given order."""
    for name in names:
        part = getattr(module, name)
        delattr(module, name)
        setattr(module, name, part)


def _set_drop_path(module: nn.Module, rate: float) -> None:
    """Scale the drop-path rates so that the highest one is `rate`."""
    drops = [part for part in module.modules() if isinstance(part, DropPath)]
    highest = max(drop.drop_prob for drop in drops)
    for drop in drops:
        drop.drop_prob *= rate / highest


def _of_slowfast(net: nn.Module, x: Tensor) -> Tensor:
    """Concatenate both pathways' feature maps, with as many time steps as the slow pathway."""
    slow, fast = net(x)
    return torch.cat([adaptive_avg_pool3d(fast, slow.shape[2:]), slow], 1)


def _of_mvit(net: nn.Module, x: Tensor) -> Tensor:
    found = net(x)[-1]
    return _with_vector(*found) if isinstance(found, list) else found


def _of_timesformer(net: nn.Module, x: Tensor) -> Tensor:
    tokens, _ = _output_of(net.norm, net, x)
    rows, columns = (n // p for n, p in zip(x.shape[3:], net.patch_embed.patch_size, strict=True))
    patches = tokens[:, 1:].unflatten(1, (rows, columns, -1))
    return _with_vector(patches.permute(0, 4, 3, 1, 2), tokens[:, 0])


def _of_vision_transformer(net: nn.Module, x: Tensor) -> Tensor:
    found = net(x)
    if net.fc_norm is None:
        return found
    # The library normalises the mean of the tokens; here each token is normalised, since the head
    # may do more than average.
    return net.fc_norm(found.movedim(1, -1)).movedim(-1, 1)


def _of_uniformerv2(net: nn.Module, x: Tensor) -> Tensor:
    """Return the normalised patch tokens with the global block's output appended."""
    tokens, vector = _output_of(net.transformer.resblocks[-1], net, x)
    patches = layer_norm(tokens[1:], tokens.shape[-1:]).unflatten(1, (len(x), -1))
    side = math.isqrt(len(patches))
    return _with_vector(patches.permute(1, 3, 2, 0).unflatten(3, (side, side)), vector)


_MAPS: Mapping[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "ResNet3dSlowFast": _of_slowfast,
    "MViT": _of_mvit,
    "TimeSformer": _of_timesformer,
    "VisionTransformer": _of_vision_transformer,
    "UniFormerV2": _of_uniformerv2,
}


def _output_of(part: nn.Module, net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output of one module in a network and the output of the whole network."""
    outputs: list[Tensor] = []
    hook = part.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        last = net(x)
    finally:
        hook.remove()
    return outputs[0], last


def _with_vector(features: Tensor, vector: Tensor) -> Tensor:
    """Return a feature map (B, C, ...) with a vector (B, C) appended at every position."""
    vector = vector[..., None, None, None].expand(-1, -1, *features.shape[2:])
    return torch.cat([features, vector], 1)


def _parts_of_pathways(net: nn.Module) -> Parts:
    """Return the parts of SlowFast, alternating between blocks of the slow and fast pathways."""
    slow, fast = net.slow_path, net.fast_path
    parts: Parts = [(slow.conv1, False), (fast.conv1, False)]
    parts += [(slow.conv1_lateral, False)] if slow.lateral else []
    for number, layer in enumerate(slow.res_layers):
        pathways = list(getattr(slow, layer)), list(getattr(fast, layer))
        for index in range(max(map(len, pathways))):
            parts += [(blocks[index], True) for blocks in pathways if index < len(blocks)]
        if slow.lateral and number < len(slow.lateral_connections):
            parts.append((getattr(slow, slow.lateral_connections[number]), False))
    return parts


def _resized_image(published: Tensor, wanted: Tensor, net: nn.Module) -> Tensor:
    """Resize position embeddings (..., 1 + H' W', C) of a class token and a square grid."""
    return resized_grid(published, wanted, prefix=1)


def _resized_times(published: Tensor, wanted: Tensor, net: nn.Module) -> Tensor:
    return resized_grid(published, wanted, dims=1)


def _resized_clip(published: Tensor, wanted: Tensor, net: nn.Module) -> Tensor:
    """Resize position embeddings (1, T' H' W', C) to another number of time steps."""
    area = math.prod(net.grid_size)
    return resized_grid(
        published.unflatten(1, (-1, area)).flatten(2),
        wanted.unflatten(1, (-1, area)).flatten(2),
        dims=1,
    ).view_as(wanted)


_POSITIONS: Mapping[str, Mapping[str, Callable[[Tensor, Tensor, nn.Module], Tensor]]] = {
    "TimeSformer": {"backbone.pos_embed": _resized_image, "backbone.time_embed": _resized_times},
    "UniFormerV2": {"backbone.positional_embedding": _resized_image},
    "VisionTransformer": {"backbone.pos_embed": _resized_clip},
}
"""For each class, the tensors that depend on the clip size, with functions that resize them."""
