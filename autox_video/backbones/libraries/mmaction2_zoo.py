"""The backbone family `mmaction2:NAME`: action recognition models from mmaction2's model zoo.

NAME is the name of a model in the zoo, an unambiguous prefix of such a name (`mmaction2:x3d_m`), or
the path to a config (`mmaction2:my/config.py`). From a config, only the model and the data
pipelines are used. The frame rate is computed from the config's `frame_interval`, assuming videos
with 30 frames per second, as in Kinetics.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmaction.registry import MODELS

from autox_video.backbones.libraries.cost import cost_of
from autox_video.backbones.libraries.mmaction2_configs import (
    FRAME_RATE,
    Sampling,
    ZooModel,
    crop_of,
    find_model,
    read_config,
    sampling_of,
    test_crop_of,
)
from autox_video.backbones.libraries.mmaction2_model import (
    FRAME_KEYS,
    SIDE_KEYS,
    Mmaction2Model,
    arguments_of,
)
from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError

LARGE_MILLIONS = 20
"""Model size, in millions of parameters, above which stochastic depth is used by default."""
HIGHEST_DROP_PATH = 0.2
"""Maximum drop-path rate; configs give higher rates for training from scratch."""
FRAMES, SIDE = 8, 224
"""Default clip length in frames and side length in px, for configs that do not state them."""
_RECOGNISERS = {"Recognizer2D": True, "Recognizer3D": False, "RecognizerOmni": False}
"""Types of recognisers for RGB frames, and whether their backbones take single images."""
_FIXED = ("TANet", "TimeSformer", "MViT", "UniFormerV2", "VisionTransformer", "C3D")
"""Classes whose parameters depend on the number of frames, or whose clips span a whole video."""
_PATHWAY = "resnet3d"
"""Type that SlowFast looks up itself."""
_WEIGHTS = ("init_cfg", "pretrained", "clip_pretrained")
"""Keys of weight files and initialisation, which a trained model does not need."""
_TUPLE = "tuple"
"""Key that stands for a tuple in a run record."""
_ELSEWHERE = {"timm": "timm", "torchvision": "timm"}
_BUILD_ERRORS = (KeyError, TypeError, ValueError, AssertionError, AttributeError, RuntimeError)


def restored(published: Mapping[str, Any]) -> BackboneSpec:
    """Rebuild the spec of a model with a config of its own from the values in a run record."""
    return _spec_of("the run record", _from_plain(published))


@BACKBONES.register_family("mmaction2", restore=restored)
def spec(name: str) -> BackboneSpec:
    """Return the spec of an mmaction2 model.

    Raises:
        ConfigError: the model does not exist, or this installation cannot build it.
    """
    found = find_model(name)
    config = read_config(found.config)
    model = _model_part(found, config)
    entry, sees_images = model["backbone"], _RECOGNISERS[model["type"]]
    sampling = _sampling(config, entry, sees_images)
    mean, std = _normalisation(found, model)
    values = {
        "arguments": {"backbone": entry, "sees_images": sees_images},
        "sampling": {"frames": sampling.frames, "interval": sampling.interval},
        "side": _resolution(found, config, entry),
        "head_dropout": float((model.get("cls_head") or {}).get("dropout_ratio", 0.0)),
        **{"mean": mean, "std": std},
    }
    if model.get("neck"):
        values["arguments"]["neck"] = model["neck"]
    found = _spec_of(name, values)
    return replace(found, published=_plain(values)) if name.endswith(".py") else found


def _spec_of(name: str, values: Mapping[str, Any]) -> BackboneSpec:
    arguments, sampling, side = values["arguments"], Sampling(**values["sampling"]), values["side"]
    entry, sees_images = arguments["backbone"], arguments["sees_images"]
    _refuse_unavailable(name, entry["type"])
    _refuse_other_types(name, arguments)
    cost = _cost(name, arguments, sampling.frames or FRAMES, side)
    interval = sampling.interval
    return BackboneSpec(
        module=__name__,
        config={"type": "Mmaction2Model", **arguments},
        **cost.as_fields(),
        resolution=side,
        is_library=True,
        frames=sampling.frames if _takes_one_number(entry, sees_images) else None,
        frames_per_sec=_whole(FRAME_RATE / interval) if interval else 4,
        span_sec=sampling.frames * interval / FRAME_RATE if interval else None,
        drop_path=_drop_path(entry, cost.parameters_millions),
        head_dropout=values["head_dropout"],
        mean=values["mean"],
        std=values["std"],
    )


def _plain(value: Any) -> Any:
    """Return a value for JSON, without weight files; each tuple becomes a dict with one key."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if key not in _WEIGHTS}
    if isinstance(value, list | tuple):
        values = [_plain(each) for each in value]
        return values if isinstance(value, list) else {_TUPLE: values}
    return value


def _from_plain(value: Any) -> Any:
    """Return the value from which `_plain` made JSON."""
    if isinstance(value, list):
        return [_from_plain(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {_TUPLE}:
        return tuple(map(_from_plain, value[_TUPLE]))
    return {key: _from_plain(each) for key, each in value.items()}


def _model_part(found: ZooModel, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `model` entry of a config.

    Raises:
        ConfigError: the model is not a recogniser for RGB frames.
    """
    model = config.get("model")
    kind = model.get("type") if isinstance(model, Mapping) else None
    if kind not in _RECOGNISERS or not isinstance(model.get("backbone"), Mapping):
        raise ConfigError(
            f"backbone: the model of {found.config} is {kind or 'missing'}; it must be one of "
            f"{', '.join(_RECOGNISERS)} and have a backbone."
        )
    return model


def _refuse_unavailable(name: str, kind: str) -> None:
    """Raise ConfigError if this installation does not support a backbone's class."""
    library, dot, model = kind.partition(".")
    if dot and library in _ELSEWHERE:
        raise ConfigError(
            f"backbone: {name} is the image model {model} of {library}, applied to frames; use "
            f"timm:NAME with a similar name instead."
        )
    if not _is_registered(kind):
        raise ConfigError(
            f"backbone: {name} needs {kind}, which is not part of the installed mmaction2 "
            "(some of its backbones need the package mmpretrain); choose another model."
        )
    if kind == "ResNetTIN" and importlib.util.find_spec("mmcv._ext") is None:
        raise ConfigError(
            f"backbone: {name} needs the operator tin_shift, which is missing from the installed "
            "mmcv (a package without compiled operators); use a TSM model instead, such as "
            "mmaction2:tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb."
        )


def _refuse_other_types(name: str, value: Any) -> None:
    """Raise ConfigError for a `type` that is not registered, which mmengine would import and call.

    A config or a run record from an unknown source could run any code that way.
    """
    if isinstance(value, Mapping):
        kind = value.get("type")
        if kind not in (None, _PATHWAY) and not _is_registered(kind):
            raise ConfigError(
                f"backbone: {name} needs {kind}, which is not part of the installed mmaction2; "
                "choose another model."
            )
        value = [each for key, each in value.items() if key not in _WEIGHTS]
    if isinstance(value, list | tuple):
        for each in value:
            _refuse_other_types(name, each)


def _is_registered(kind: object) -> bool:
    """Return whether a name is that of a registered module, without importing anything by name."""
    MODELS.import_from_location()
    registry = MODELS
    while registry is not None:
        if kind in registry.module_dict:
            return True
        registry = registry.parent
    return False


def _cost(name: str, arguments: Mapping[str, Any], frames: int, side: int):
    """Return the cost of a model.

    Raises:
        ConfigError: the model cannot be built.
    """
    try:
        return cost_of(lambda: Mmaction2Model(**arguments), (frames, side, side))
    except _BUILD_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"backbone: mmaction2 cannot build the model of {name} ({reason})."
        ) from error


def _sampling(config: Mapping[str, Any], entry: Mapping[str, Any], sees_images: bool) -> Sampling:
    """Return how frames are sampled; the number of frames defaults to the backbone's."""
    sampling = sampling_of(config, sees_images=sees_images)
    if sampling.frames is not None:
        return sampling
    keys = (*FRAME_KEYS, "temporal_size")
    return Sampling(next((entry[key] for key in keys if key in entry), None), None)


def _resolution(found: ZooModel, config: Mapping[str, Any], entry: Mapping[str, Any]) -> int:
    """Return the side, in px, of the input on which a model was trained."""
    built_for = next((entry[key] for key in SIDE_KEYS if key in entry), None)
    return built_for or crop_of(config) or found.resolution or test_crop_of(config) or SIDE


def _takes_one_number(entry: Mapping[str, Any], sees_images: bool) -> bool:
    """Return whether a model works only with a fixed number of frames."""
    kind = entry["type"]
    if kind in _FIXED or kind == "ResNet3dSlowFast":
        return True
    return sees_images and "num_segments" in arguments_of(kind)


def _drop_path(entry: Mapping[str, Any], parameters_millions: float) -> float:
    if entry["type"] == "TimeSformer":
        return 0.1  # the rate that its class uses
    if "drop_path_rate" not in arguments_of(entry["type"]):
        return 0.0
    default = 0.1 if parameters_millions > LARGE_MILLIONS else 0.0
    return min(entry.get("drop_path_rate") or default, HIGHEST_DROP_PATH)


def _normalisation(found: ZooModel, model: Mapping[str, Any]) -> tuple[tuple, tuple]:
    """Return the mean and standard deviation of the pixel values (0 to 255) for normalisation.

    Raises:
        ConfigError: the config lacks the mean or the standard deviation of a colour.
    """
    preprocessor = model.get("data_preprocessor") or {}
    values = [tuple(map(float, preprocessor.get(key) or ())) for key in ("mean", "std")]
    if [len(value) for value in values] != [3, 3]:
        raise ConfigError(
            f"backbone: the model of {found.config} needs a data_preprocessor with the mean and "
            "the std of red, green and blue (0 to 255)."
        )
    return values[0], values[1]


def _whole(number: float) -> float:
    return int(number) if float(number).is_integer() else number
