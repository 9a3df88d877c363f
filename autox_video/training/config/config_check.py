"""A config held against the classes that are built from it, before it is used."""

import difflib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmaction import registry
from mmengine.config import Config
from mmengine.model import PretrainedInit
from mmengine.registry import FUNCTIONS, WEIGHT_INITIALIZERS
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from autox_video.core.errors import ConfigError
from autox_video.data.loading.clip_dataset import ClipBatches

PARTS = (
    "autox_video.backbones.video_swin.model",
    "autox_video.backbones.video_conv.model",
    "autox_video.backbones.descriptors.model",
    "autox_video.tasks.classification.head",
    "autox_video.tasks.classification.attentive_head",
    "autox_video.data.loading.preprocess",
    "autox_video.data.loading.transforms",
    "autox_video.data.loading.clip_dataset",
    "autox_video.training.loops",
    "autox_video.training.optimizer",
    "autox_video.training.validation_metric",
    "autox_video.training.schedule",
    "autox_video.training.hooks.ema",
    "autox_video.training.hooks.progressive_resizing",
    "autox_video.training.hooks.early_stopping",
    "autox_video.training.checkpoints.checkpoint_hook",
    "autox_video.training.hooks.progress",
    "autox_video.training.runner",
    "autox_video.training.checkpoints.soup",
    "autox_video.training.hooks.validation_logits",
)
"""The modules whose classes a config of ours names."""

# Keys that builders read and take away before the class itself is called.
BUILDER_KEYS = {
    "ClipOptimWrapper": {"constructor", "paramwise_cfg"},
}
RUNNER_KEYS = {
    *("custom_imports", "classes", "device", "test_pipeline", "test_item_shape"),
    *("model_wrapper_cfg", "strategy"),
}
REGISTRIES = (
    registry.MODELS,
    registry.DATASETS,
    registry.TRANSFORMS,
    registry.HOOKS,
    registry.LOOPS,
    registry.METRICS,
    registry.OPTIM_WRAPPERS,
    registry.OPTIM_WRAPPER_CONSTRUCTORS,
    registry.OPTIMIZERS,
    registry.PARAM_SCHEDULERS,
    registry.VISUALIZERS,
    FUNCTIONS,
    WEIGHT_INITIALIZERS,
)
REGISTRIES_OF = {
    "model": (registry.MODELS, WEIGHT_INITIALIZERS),
    "test_pipeline": (registry.TRANSFORMS,),
}
USED = ("autox_video.", "mmengine.", "torch.optim.")
"""The packages whose classes a config may name, and the one module of mmaction2."""
USED_OF_MMACTION = ("mmaction.models.recognizers.recognizer3d",)


def check_config(config: Config) -> None:
    """Check every key of a config against the class that will be built from it.

    A config may come from anyone: mmengine imports whatever a type names that is not registered,
    and some of mmaction2's classes load files. So only the classes that this project uses pass,
    and nothing is imported to find that out.

    Raises:
        ConfigError: one sentence for each type that is not registered and each unknown key.
    """
    known = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
    problems = list(_unknown_keys("config", set(config.keys()), known | RUNNER_KEYS))
    import_modules_from_strings(list(PARTS))
    loader = _accepted_keys(ClipBatches)
    for name in ("train_dataloader", "val_dataloader"):
        keys = set(config.get(name, {}).keys())
        problems += _unknown_keys(name, keys, loader)
    for place, item in _typed_items("", config.to_dict()):
        problems += _check_item(place, item)
    if problems:
        raise ConfigError(*problems)


def _typed_items(place: str, value: Any) -> Iterator[tuple[str, Mapping]]:
    if isinstance(value, Mapping):
        if "type" in value or "_scope_" in value:
            yield place, value
        for key, inner in value.items():
            yield from _typed_items(f"{place}.{key}".lstrip("."), inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _typed_items(f"{place}[{index}]", inner)


def _check_item(place: str, item: Mapping) -> Iterator[str]:
    name = item.get("type")
    if "_scope_" in item or not isinstance(name, str) or "." in name:
        what = "`_scope_`" if "_scope_" in item else f"type '{str(name)[:100]}'"
        yield f"{place}: {what} names no registered class."
        return
    built = _registered(place, name)
    why = "is not registered" if built is None else _why_refused(built)
    if why:
        yield f"{place}: type '{name[:100]}' {why}."
        return
    known = _accepted_keys(built)
    if known is not None:
        keys = set(item) - {"type", "priority"} - BUILDER_KEYS.get(name, set())
        yield from _unknown_keys(f"{place} ({name})", keys, known)


def _registered(place: str, name: str) -> Any:
    """Give the class of a type; unlike Registry.get, without importing a module of that name."""
    top = place.partition(".")[0].partition("[")[0]
    for found in REGISTRIES_OF.get(top, REGISTRIES):
        while found is not None:
            if name in found.module_dict:
                return found.module_dict[name]
            found = found.parent
    return None


def _why_refused(built: Any) -> str | None:
    if built is PretrainedInit:
        return "loads a file; weights come from checkpoints alone"
    module = built.__module__
    used = module in USED_OF_MMACTION or module.startswith(USED)
    return None if used else "is none that this project uses"


def _accepted_keys(built: Any) -> set[str] | None:
    """Names of the keyword arguments that a class or function takes; None where it takes any."""
    layers = built.__mro__ if inspect.isclass(built) else (built,)
    known: set[str] = set()
    for layer in layers:
        call = layer.__dict__.get("__init__") if inspect.isclass(layer) else layer
        if call is None:
            continue
        parameters = inspect.signature(call).parameters.values()
        known |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            return known - {"self"}
    return None


def _unknown_keys(place: str, keys: set[str], known: set[str]) -> Iterator[str]:
    for key in sorted(keys - known):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        yield f"{place}: unknown key '{key}'{hint}"
