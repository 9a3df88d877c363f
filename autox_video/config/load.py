"""Build `Settings` from a config and overrides, reporting all problems at once."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autox_video.config.combinations import impossible_combinations
from autox_video.config.config_file import read_config, read_overrides, show_value
from autox_video.config.custom_imports import import_custom_modules
from autox_video.config.settings import (
    AUTO,
    Settings,
    allowed,
    is_open,
    read_value,
)
from autox_video.config.value_types import read_switch
from autox_video.core.errors import ConfigError
from autox_video.run.work_dir import default_work_dir

_CALLED_ELSEWHERE = {
    "ann_file_test": "test test_list",
    "ann_file_train": "train train_list",
    "ann_file_val": "val val_list",
    "backbone": "arch model net",
    "class_names": "classes",
    "clip_len": "clip_length frames num_frames",
    "data_root": "data data_dir data_path dataset",
    "device": "accelerator gpu",
    "epoch": "e epochs max_epochs num_epochs",
    "evaluation": "val_interval",
    "freeze": "freeze_backbone frozen_stages",
    "gpus": "devices nproc_per_node num_gpus",
    "label_smoothing": "label_smooth_eps smoothing",
    "layer_decay": "llrd",
    "load_from": "checkpoint pretrained weights",
    "lora": "lora_r lora_rank peft",
    "lr": "learning_rate",
    "num_class": "num_classes",
    "resolution": "image_size img_size imgsz input_size size",
    "test_results_path": "out output",
    "videos_per_gpu": "batch batch_size batches bs",
    "weight_decay": "wd",
    "work_dir": "out_dir output_dir project save_dir workdir",
    "workers": "num_workers",
}
OTHER_NAMES = {name: key for key, names in _CALLED_ELSEWHERE.items() for name in names.split()}
"""Maps other tools' names to config keys, if the spellings are too different to be matched."""

COMMAND_LINE = "command line"
_FIELDS = Settings.model_fields
_TEXT_KEYS = {key for key, field in _FIELDS.items() if field.json_schema_extra["kind"].is_text}


def load_settings(
    config: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    complete: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
) -> Settings:
    """Read a config and the `key=value` overrides from the command line.

    The modules of `custom_imports` are imported before the other keys are checked. The value of an
    override is parsed as YAML, except for paths and names, which are used literally (`data_root=/a
    b/c`). `key=null` resets a key to its default.

    Args:
        config: path of a config file, or the content of one.
        overrides: `key=value` texts, which take precedence over the config.
        complete: function that receives the values that are set, and may return values for other
            keys.

    Raises:
        ConfigError: the config or an override is invalid; there is one message per problem.
    """
    overridden, problems = read_overrides(overrides, _TEXT_KEYS)
    if isinstance(config, Mapping):
        values, origins, file_problems = dict(config), dict.fromkeys(config, COMMAND_LINE), []
        source, folder = COMMAND_LINE, Path()
    else:
        source, folder = str(config), Path(config).parent
        values, origins, file_problems = _read_file(source, problems)
    refuse_mixed_demo(values, overridden, source)
    origins.update(dict.fromkeys(overridden, COMMAND_LINE))
    values.update(overridden)
    import_custom_modules(
        values.get("custom_imports"), folder, origins.get("custom_imports", source)
    )
    given = {key: value for key, value in values.items() if not is_open(key, value)}
    return _build({**values, **complete(given)}, origins, source, [*file_problems, *problems])


def _read_file(
    source: str, problems: Sequence[str]
) -> tuple[dict[Any, Any], dict[str, str], list[str]]:
    """Call `read_config`; if it fails, also include the command line's `problems` in the error."""
    if "://" in source:
        raise ConfigError(f"{source}: a config must be a file on this machine.", *problems)
    try:
        return read_config(Path(source))
    except ConfigError as error:
        raise ConfigError(*error.problems, *problems) from error


def refuse_mixed_demo(values: Mapping[Any, Any], new: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError if the demo's config would be applied to clips in another folder."""
    root = new.get("data_root")
    if read_switch(values.get("demo")) is not True or root in (None, values.get("data_root")):
        return
    raise ConfigError(
        f"{source}: the config of the demo does not fit other clips (data_root={root}): its lists "
        f"and work_dir belong to the demo. Leave the config out: autox-video train {root}"
    )


def settings_from_mapping(values: Mapping[str, Any], source: str) -> Settings:
    """Validate `values` like the content of a config file; None stands for the default of a key.

    Raises:
        ConfigError: a value is invalid; there is one message per problem, beginning with `source`.
    """
    import_custom_modules(values.get("custom_imports"), Path(), source)
    return _build(values, {}, source, [])


def _build(
    values: Mapping[Any, Any], origins: Mapping[str, str], source: str, problems: Sequence[str]
) -> Settings:
    known = {key: values[key] for key in _FIELDS if not is_open(key, values.get(key))}
    faults = [(str(key), f"key `{key}` {_unknown(key)}") for key in values if key not in _FIELDS]
    faults += [(key, f"key `{key}`{fault}") for key, fault in _faults(known)]
    sentences = [f"{origins.get(key, source)}: {sentence}" for key, sentence in faults]
    if problems or sentences:
        raise ConfigError(*problems, *sentences)
    return Settings.model_validate(known)


def _unknown(key: Any) -> str:
    name = str(key).strip().lower()
    # A lower cutoff would give misleading suggestions, such as `cache` for `batch`.
    near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.7)
    longer = [known for known in _FIELDS if len(name) > 2 and known.startswith(name)]
    nearest = OTHER_NAMES.get(name) or next(iter([*longer, *near]), None)
    if nearest:
        return f"is not known; did you mean `{nearest}`?"
    return f"is not known; the keys are {', '.join(_FIELDS)}."


def _faults(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) pairs, first for single keys and then for combinations of keys."""
    values, bad = {key: field.default for key, field in _FIELDS.items()}, set()
    for key, field in _FIELDS.items():
        try:
            if key in known:
                values[key] = read_value(key, known[key])
            elif field.is_required():
                bad.add(key)
                yield key, f" is missing: {field.description[0].lower()}{field.description[1:]}"
        except ValueError:
            bad.add(key)
            yield key, f": {show_value(known[key])} is not allowed; give {allowed(key)}."
    values["data_root"] = str(values["data_root"])
    if values["work_dir"] == AUTO:
        values["work_dir"] = default_work_dir(values["data_root"])
    for keys, sentence in impossible_combinations(values):
        if not bad & set(keys):
            yield keys[0], f": {show_value(known.get(keys[0], values[keys[0]]))} {sentence}"
