"""Backbones that wrap video models and image encoders from transformers.

Shape letters: B clips, T frames, H and W height and width, N images, L tokens, C channels, T', H'
and W' time steps, rows and columns of the feature map.
"""

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
)
from transformers.models.videoprism.modeling_videoprism import VideoPrismVideoModel
from transformers.utils import logging

from autox_video.backbones.libraries.library_backbone import (
    FrameBackbone,
    LibraryBackbone,
    Parts,
    State,
    chain,
)
from autox_video.core.errors import CheckpointError

VIDEO_HEAD = "ForVideoClassification"
"""Suffix of the class names of video models with a classification head."""
IMAGE_MODELS = (
    *("aimv2_vision_model", "beit", "bit", "clip_vision_model", "convnext", "convnextv2"),
    *("data2vec-vision", "deit", "dinov2", "dinov2_with_registers", "dinov3_convnext"),
    *("dinov3_vit", "efficientnet", "focalnet", "hiera", "ijepa", "mlcd_vision_model"),
    *("mobilenet_v1", "mobilenet_v2", "pixio", "poolformer", "pvt", "pvt_v2", "regnet", "resnet"),
    *("segformer", "siglip_vision_model", "swiftformer", "swin", "swinv2", "tipsv2_vision_model"),
    *("vit", "vit_msn"),
)
"""Model types of the supported image encoders."""
VIDEO_MODELS = ("timesformer", "videomae", "videoprism_vision_model", "vivit", "vjepa2")
"""Model types of the supported video models."""
_POOLS = ("aimv2_vision_model", "convnext", "convnextv2", "siglip_vision_model")
"""Types with no class token and whose pooled output is more than the feature map's mean."""
_TOWER = "video_model."
"""Prefix of the video model's tensor names in VideoPrism files that also contain a text model."""


def config_from(record: Mapping[str, Any]) -> PreTrainedConfig:
    """Return a transformers config with the plain values from a config.json.

    The values may come from an unknown source. Kernels of the hub, which are code, are not used.

    Raises:
        ValueError: a value is invalid.
    """
    values = json.loads(json.dumps(record), object_hook=_without_kernels)
    try:
        return CONFIG_MAPPING[values["model_type"]].from_dict(values)
    except StrictDataclassError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _without_kernels(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if "_implementation" not in name}


class _TransformersBackbone(LibraryBackbone):
    """Base class of the backbones from transformers.

    Attributes:
        published: unchanged config of the published model, used to load the published weights.
    """

    published: PreTrainedConfig
    _keys: Mapping[str, Any]

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return the tensors of a published file under the network's tensor names.

        The library's own loader renames and converts the tensors, so files from earlier versions
        of the library can be read too.

        Raises:
            CheckpointError: the library cannot convert the tensors.
        """
        tower = {n.removeprefix(_TOWER): t for n, t in state.items() if n.startswith(_TOWER)}
        with quiet():
            try:
                model, info = type(self.net).from_pretrained(
                    None,
                    config=self.published,
                    state_dict=tower or dict(state),
                    dtype=torch.float32,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    **self._keys,
                )
            except (RuntimeError, ValueError) as error:
                reason = str(error).partition("\n")[0]
                raise CheckpointError(
                    f"transformers cannot load it as {type(self.net).__name__} ({reason})."
                ) from error
        lost = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
        return {n: t for n, t in model.state_dict().items() if n not in lost}


@MODELS.register_module()
class TransformersImages(FrameBackbone, _TransformersBackbone):
    """A backbone that applies an image encoder from transformers to each frame of a clip.

    The class token or the pooled output, if the encoder has one, is appended to the channels at
    every position.

    Args:
        config: the content of the model's config.json.
        side: ignored, since the encoders accept images of any size.
        frames: ignored, since each frame is processed separately.
        drop_path_rate: drop-path rate, for models with stochastic depth.
        options: see LibraryBackbone.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        side: int | None = None,
        frames: int | None = None,
        drop_path_rate: float = 0.0,
        **options: Any,
    ) -> None:
        self.published, made = config_from(config), config_from(config)
        _set_drop_path(made, drop_path_rate)
        kind = _class_of(MODEL_MAPPING, made)
        self._keys = _without_pooler(kind)
        super().__init__(_without_unused(kind(made, **self._keys)), **options)
        resizes = "interpolate_pos_encoding" in inspect.signature(self.net.forward).parameters
        self._inputs = {"interpolate_pos_encoding": True} if resizes else {}

    def frame_features(self, images: Tensor) -> Tensor:
        """Return feature maps (N, C, H', W') of images (N, 3, H, W)."""
        output = self.net(images, **self._inputs)
        found = output.last_hidden_state
        maps, first = (found, None) if found.dim() == 4 else self._as_map(found, images)
        pooled = getattr(output, "pooler_output", None)
        if first is None and self.published.model_type not in _POOLS:
            return maps
        return _appended(maps, first if pooled is None else pooled)

    def _as_map(self, tokens: Tensor, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the patch tokens as a map (N, C, H', W'), and the class token (N, C), if any.

        Class and register tokens precede the patch tokens.
        """
        patch, length = getattr(self.published, "patch_size", None), tokens.shape[1]
        side = images.shape[-1] // patch if isinstance(patch, int) else length
        if side * side > length:  # the model merges patches later on
            side = math.isqrt(length)
        extra = length - side * side
        maps = tokens[:, extra:].transpose(1, 2).unflatten(2, (side, side))
        return maps, tokens[:, 0] if extra else None


@MODELS.register_module()
class TransformersVideos(_TransformersBackbone):
    """A backbone that wraps a video model from transformers.

    If the published model has a head that pools the tokens, for example by attention, the pooled
    features are appended to the channels at every position. A class token is appended in the same
    way. V-JEPA 2 is used without its predictor.

    Args:
        config: the content of the model's config.json.
        side: height and width of the input in px; None for the published model's size.
        frames: number of frames; None for the published model's number.
        drop_path_rate: drop-path rate, for models with stochastic depth.
        options: see LibraryBackbone.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        side: int | None = None,
        frames: int | None = None,
        drop_path_rate: float = 0.0,
        **options: Any,
    ) -> None:
        self.published, made = config_from(config), config_from(config)
        _set_drop_path(made, drop_path_rate)
        self.kind = made.model_type
        self.frames, self.side = frames or native_frames(made), side or native_side(made)
        if self.kind != "videoprism_vision_model":  # it interpolates them in its forward pass
            _set_size(made, self.frames, self.side)
        network = _video_class(made)
        self._keys = _without_pooler(network)
        super().__init__(_without_head(network(made, **self._keys)), **options)
        self.grid = grid_of(made, self.frames, self.side)

    def parts(self) -> Parts:
        """Return the network's parts in forward order, each with a flag that is true for blocks.

        V-JEPA 2's pooler counts as the last block. If it were split into parts, its layers would
        not be in forward order, and its query would count as a parameter before the first block.
        """
        pooler = getattr(self.net, "pooler", None)
        if self.kind != "vjepa2" or pooler is None:
            return super().parts()
        return [*chain(self.net.base_model), (pooler, True)]

    def features(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""
        tokens, pooled = self._tokens(x.transpose(1, 2))
        tokens = tokens[:, tokens.shape[1] - math.prod(self.grid) :]
        if self.kind == "timesformer":  # the only type with time as the last axis of its tokens
            steps, rows, columns = self.grid
            maps = tokens.unflatten(1, (rows, columns, steps)).permute(0, 4, 3, 1, 2)
        else:
            maps = tokens.transpose(1, 2).unflatten(2, self.grid)
        return maps if pooled is None else _appended(maps, pooled)

    def _tokens(self, frames: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the tokens (B, L, C) and the pooled features (B, C) of frames (B, T, 3, H, W)."""
        if frames.shape[1:] != (self.frames, 3, self.side, self.side):
            clip = f"{self.frames}x{self.side}x{self.side}"
            raise ValueError(f"built for clips of {clip}, but got {tuple(frames.shape)}")
        if isinstance(self.net, VideoPrismVideoModel):
            output = self.net(frames, interpolate_pos_encoding=True)
            return output.last_hidden_state, output.pooler_output
        inputs = {
            "vjepa2": {"skip_predictor": True},
            "videoprism_vision_model": {"interpolate_pos_encoding": True},
        }
        tokens = self.net.base_model(frames, **inputs.get(self.kind, {})).last_hidden_state
        if self.kind in ("timesformer", "vivit"):
            return tokens, tokens[:, 0]
        has_head = self.net.base_model is not self.net
        return tokens, _POOLED[self.kind](self.net, tokens) if has_head else None

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return the tensors of a published file under the network's tensor names.

        Position embeddings are interpolated to fit the input size.
        """
        tensors = super().own_names(state)
        old = grid_of(self.published, native_frames(self.published), native_side(self.published))
        for name, ours in self.net.state_dict().items():
            if name in tensors and tensors[name].shape != ours.shape:
                tensors[name] = _resized(name, tensors[name], old, self.grid)
        return tensors


def _pooled_by_videomae(net: nn.Module, tokens: Tensor) -> Tensor:
    return tokens[:, 0] if net.fc_norm is None else net.fc_norm(tokens.mean(1))


_POOLED: Mapping[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "videomae": _pooled_by_videomae,
    "vjepa2": lambda net, tokens: net.pooler(tokens),
    "videoprism_vision_model": lambda net, tokens: net.head_layernorm(net.head(tokens)[0]),
}
"""For each model type, the pooling that precedes the classifier in the model's own head."""


def native_frames(config: PreTrainedConfig) -> int:
    """Return the number of frames in the published model's input clips."""
    return config.frames_per_clip if config.model_type == "vjepa2" else config.num_frames


def native_side(config: PreTrainedConfig) -> int:
    """Return the side of the published model's square input, in px."""
    size = config.crop_size if config.model_type == "vjepa2" else config.image_size
    return size if isinstance(size, int) else size[0]


def grid_of(config: PreTrainedConfig, frames: int, side: int) -> tuple[int, int, int]:
    """Return the size (T', H', W') of a video model's feature map."""
    tubelet = getattr(config, "tubelet_size", 1)
    if not isinstance(tubelet, int):
        steps, rows, columns = tubelet
        return frames // steps, side // rows, side // columns
    patch = config.patch_size
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    return frames // tubelet, side // rows, side // columns


def _set_size(config: PreTrainedConfig, frames: int, side: int) -> None:
    if config.model_type == "vjepa2":
        config.frames_per_clip, config.crop_size = frames, side
    else:
        config.num_frames, config.image_size = frames, side


def _set_drop_path(config: PreTrainedConfig, rate: float) -> None:
    if hasattr(config, "drop_path_rate"):
        vars(config)["drop_path_rate"] = rate  # TimeSformer's config declares it as an integer


def _class_of(mapping: Any, config: PreTrainedConfig) -> type[PreTrainedModel]:
    found = mapping[type(config)]
    return found[0] if isinstance(found, tuple) else found


def _video_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the class of the published model, or the headless class if the head is unsupported."""
    (architecture, *_) = config.architectures or ("",)
    if architecture == VideoPrismVideoModel.__name__:
        return VideoPrismVideoModel
    headed = architecture.endswith(VIDEO_HEAD)
    return _class_of(MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING if headed else MODEL_MAPPING, config)


def _without_pooler(network: type[PreTrainedModel]) -> dict[str, bool]:
    """Return the argument that omits the pooling layer, for which most files have no weights."""
    takes = "add_pooling_layer" in inspect.signature(network.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


def _without_head(net: PreTrainedModel) -> PreTrainedModel:
    """Remove the classifier and the predictor; turn VideoMAE's fixed embeddings into a buffer."""
    if hasattr(net, "classifier"):
        net.classifier = nn.Identity()
    if hasattr(net.base_model, "predictor"):
        net.base_model.predictor = nn.Identity()
    embeddings = getattr(net.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    if isinstance(table, Tensor) and not isinstance(table, nn.Parameter):
        del embeddings.position_embeddings
        embeddings.register_buffer("position_embeddings", table, persistent=False)
    return _without_unused(net)


def _without_unused(net: PreTrainedModel) -> PreTrainedModel:
    """Freeze the mask token, which does not affect the output."""
    for name, parameter in net.named_parameters():
        if name.endswith("mask_token"):
            parameter.requires_grad_(False)
    return net


def _appended(maps: Tensor, pooled: Tensor) -> Tensor:
    """Append pooled features (N, C) or (N, 1, C) to a feature map's channels at all positions."""
    places = maps.shape[2:]
    pooled = pooled.reshape(len(pooled), -1, *(1 for _ in places))
    return torch.cat([maps, pooled.expand(-1, -1, *places)], 1)


def _resized(name: str, table: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Interpolate position embeddings (1, L, C), keeping the class token's embedding."""
    if name.endswith("time_embeddings"):
        old, new = old[:1], new[:1]
    elif table.shape[1] - 1 == math.prod(old[1:]):
        old, new = old[1:], new[1:]
    count = math.prod(old)
    first, places = table[:, : table.shape[1] - count], table[:, table.shape[1] - count :]
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(old)]
    places = functional.interpolate(places.transpose(1, 2).unflatten(2, old), new, mode=mode)
    return torch.cat([first, places.flatten(2).transpose(1, 2)], 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing reports and progress bars."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
