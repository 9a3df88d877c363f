"""The backbone family `hf:NAME`: video models and image encoders from transformers.

NAME is ORG/NAME or ORG/NAME@REVISION on the Hugging Face hub, or a folder written by
`save_pretrained`. Code from the hub is never executed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoVideoProcessor, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.video_processing_utils import BaseVideoProcessor

from autox_video.backbones.libraries.cost import cost_of
from autox_video.backbones.libraries.hub_models import (
    CONFIG,
    PREPROCESSORS,
    HubModel,
    find_model,
    read_json,
)
from autox_video.backbones.libraries.transformers_networks import (
    IMAGE_MODELS,
    VIDEO_HEAD,
    VIDEO_MODELS,
    TransformersImages,
    TransformersVideos,
    config_from,
    native_frames,
    native_side,
    quiet,
)
from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError

FRAMES = 8
LARGE_MILLIONS = 20
"""Model size, in millions of parameters, above which dropout and stochastic depth are used."""
PROBED_FRAMES = 16
"""Maximum number of frames for V-JEPA 2 without a head, which accepts any even number of frames.
The authors use 16 frames for Kinetics (Assran et al. 2025) and 64 frames for pretraining."""
_COLOURS = ((0, 0, 0), (255, 255, 255), (255, 0, 0))
_PX = 64
_NOT_NEEDED = ("id2label", "label2id", "task_specific_params", "_name_or_path")
"""Config entries to leave out, because they can be long and do not affect the network."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a published model's own processor resizes and normalises frames."""

    mean: tuple[float, float, float]
    """Mean of the red, green and blue pixel values (0 to 255)."""
    std: tuple[float, float, float]
    """Standard deviation of the red, green and blue pixel values (0 to 255)."""
    side: int
    """Height and width of the processed frames in px."""


def spec_of(published: Mapping[str, Any]) -> BackboneSpec:
    """Rebuild a model's spec from the values stored in a run record.

    Args:
        published: the values `config` (the required content of config.json), `mean`, `std` and
            `side` (see Preparation), and `revision` (commit SHA, or None for a local folder).
    """
    values = dict(published["config"])
    config = config_from(values)
    is_video = config.model_type in VIDEO_MODELS
    kind = TransformersVideos if is_video else TransformersImages
    side = native_side(config) if is_video else published["side"]
    frames = _frames(config) if is_video else FRAMES
    cost = cost_of(partial(kind, values, side=side, frames=frames), (frames, side, side))
    is_large = cost.parameters_millions > LARGE_MILLIONS
    return BackboneSpec(
        module=kind.__module__,
        config={"type": kind.__name__, "config": values},
        **cost.as_fields(),
        resolution=side,
        frames=frames if is_video else None,
        one_size=is_video,
        is_library=True,
        drop_path=0.1 if is_large and hasattr(config, "drop_path_rate") else 0.0,
        head_dropout=0.5 if is_large else 0.0,
        mean=tuple(published["mean"]),
        std=tuple(published["std"]),
        published=published,
    )


@BACKBONES.register_family("hf", restore=spec_of)
def spec(name: str) -> BackboneSpec:
    """Return the spec of a transformers model.

    Raises:
        ConfigError: the model does not exist, cannot be fetched, or is not supported.
    """
    model = find_model(name)
    with quiet():
        config = _supported(name, read_json(model.folder / CONFIG))
        prepared = _preparation(model, is_video=config.model_type in VIDEO_MODELS)
    values = {"config": _values_of(config), **asdict(prepared), "revision": model.revision}
    return spec_of(json.loads(json.dumps(values)))


def _supported(name: str, values: Mapping[str, Any]) -> PreTrainedConfig:
    """Return a model's config; for models with a text encoder, only the vision config.

    Raises:
        ConfigError: the model type is not supported, or the config is invalid.
    """
    kind, architectures = values.get("model_type"), values.get("architectures") or ("",)
    if kind == "timm_wrapper" or (kind is None and "architecture" in values):
        timm_name = name.partition("@")[0].rpartition("/")[2]
        raise ConfigError(f"backbone: hf:{name} is a model of timm; write timm:{timm_name}.")
    if kind not in CONFIG_MAPPING:
        raise ConfigError(
            f"backbone: hf:{name} is of type {kind}, which transformers does not have; "
            f"{_choose_another()}"
        )
    try:
        config = config_from(values)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        reason = str(error).replace("\n", " ")[:200]
        raise ConfigError(f"backbone: hf:{name}: invalid {CONFIG} ({reason}).") from error
    inner = getattr(config, "vision_config", None)
    if isinstance(inner, PreTrainedConfig):
        config = inner
        config.architectures = ["VideoPrismVideoModel"] if kind == "videoprism" else None
    else:
        config.architectures = list(architectures)
    if config.model_type not in (*IMAGE_MODELS, *VIDEO_MODELS):
        raise ConfigError(
            f"backbone: hf:{name} is of type {kind}, which is not supported; {_choose_another()}"
        )
    return config


def _choose_another() -> str:
    kinds = ", ".join((*VIDEO_MODELS, *IMAGE_MODELS))
    return f"choose a model of one of these types: {kinds}."


def _values_of(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the plain values of a config, without entries that do not affect the network."""
    values = config.to_diff_dict()
    values["model_type"], values["architectures"] = config.model_type, config.architectures
    return {n: v for n, v in values.items() if n not in _NOT_NEEDED}


def _frames(config: PreTrainedConfig) -> int:
    """Return how many frames a clip has in training and inference."""
    frames = native_frames(config)
    (architecture, *_) = config.architectures or ("",)
    if config.model_type == "vjepa2" and not architecture.endswith(VIDEO_HEAD):
        return min(frames, PROBED_FRAMES)
    return frames


def _preparation(model: HubModel, *, is_video: bool) -> Preparation:
    """Process single-colour frames to find out how the model's processor prepares frames.

    Raises:
        ConfigError: the model has no processor, or the processor does more than scale pixel values.
    """
    about = f"backbone: hf:{model.name}"
    if not any((model.folder / each).is_file() for each in PREPROCESSORS):
        raise ConfigError(
            f"{about} does not say how its frames are normalised: {model.folder} has none of "
            f"{', '.join(PREPROCESSORS)}. Save the model's processor there with save_pretrained."
        )
    try:
        auto = AutoVideoProcessor if is_video else AutoImageProcessor
        processor = auto.from_pretrained(model.folder, local_files_only=True)
        black, white, red = (_prepared(processor, colour) for colour in _COLOURS)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ConfigError(f"{about}: transformers cannot use its processor ({reason}).") from error
    centre = black.shape[-1] // 2  # the border may be padded
    low, high, mixed = (frame[:, centre, centre] for frame in (black, white, red))
    scaled = torch.stack([high[0], *low[1:]])
    if not (low < high).all() or not torch.allclose(mixed, scaled):
        raise ConfigError(
            f"{about}: its processor does more than scale the colours; choose another model."
        )
    std = 255 / (high - low).double()
    return Preparation(tuple((-low * std).tolist()), tuple(std.tolist()), black.shape[-1])


def _prepared(processor: Any, colour: tuple[int, int, int]) -> Tensor:
    """Return the processor's output (3, H, W) for a single-colour frame."""
    frame = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(-1, _PX, _PX)
    if isinstance(processor, BaseVideoProcessor):
        output = processor([frame[None]], do_sample_frames=False, return_tensors="pt")
    else:
        output = processor([frame], return_tensors="pt")
    (pixels,) = (value for name, value in output.items() if name.startswith("pixel_values"))
    pixels = pixels.reshape(-1, *pixels.shape[-3:])[0]
    if pixels.shape[0] != 3 or pixels.shape[1] != pixels.shape[2]:
        raise ValueError(f"it makes frames of shape {tuple(pixels.shape)}")
    return pixels
