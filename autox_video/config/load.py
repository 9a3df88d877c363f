"""config.yaml and overrides → `Settings`; every problem in them is reported at once."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autox_video.config.config_file import read_config, read_overrides, show_value
from autox_video.config.custom_imports import import_custom_modules
from autox_video.config.settings import (
    Settings,
    allowed,
    impossible_combinations,
    read_value,
)
from autox_video.core.errors import ConfigError

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
"""What other tools call our keys; spelling alone would not find these."""

_FIELDS = Settings.model_fields
_TEXT_KEYS = {key for key, field in _FIELDS.items() if field.json_schema_extra["kind"].is_text}


def load_settings(path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a config file, then `key=value` overrides from the command line.

    The modules of `custom_imports` are imported before the other keys are checked. An override's
    value is YAML, except that the keys which hold a path or a name take the text as it is
    (`data_root=/a b/c`); `key=null` gives the key its default back.

    Raises:
        ConfigError: with every problem of the file and of the overrides, one sentence each.
    """
    overridden, problems = read_overrides(overrides, _TEXT_KEYS)
    if "://" in str(path):
        raise ConfigError(f"{path}: a config is read from this machine alone.", *problems)
    try:
        values, origins, file_problems = read_config(Path(path))
    except ConfigError as error:
        raise ConfigError(*error.problems, *problems) from error
    origins.update(dict.fromkeys(overridden, "command line"))
    values.update(overridden)
    origin = origins.get("custom_imports", str(path))
    import_custom_modules(values.get("custom_imports"), Path(path).parent, origin)
    return _build(values, origins, str(path), [*file_problems, *problems])


def settings_from_mapping(values: Mapping[str, Any], source: str) -> Settings:
    """Check `values` as a config file's content; None stands for the key's default.

    Raises:
        ConfigError: with every problem, one sentence each, that begins with `source`.
    """
    import_custom_modules(values.get("custom_imports"), Path(), source)
    return _build(values, {}, source, [])


def _build(
    values: Mapping[Any, Any], origins: Mapping[str, str], source: str, problems: Sequence[str]
) -> Settings:
    known = {key: values[key] for key in _FIELDS if values.get(key) is not None}
    faults = [(str(key), f"key `{key}` {_unknown(key)}") for key in values if key not in _FIELDS]
    faults += [(key, f"key `{key}`{fault}") for key, fault in _faults(known)]
    sentences = [f"{origins.get(key, source)}: {sentence}" for key, sentence in faults]
    if problems or sentences:
        raise ConfigError(*problems, *sentences)
    return Settings.model_validate(known)


def _unknown(key: Any) -> str:
    name = str(key).strip().lower()
    # Spelling that is less alike leads astray: `cache` for `batch`.
    near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.7)
    longer = [known for known in _FIELDS if len(name) > 2 and known.startswith(name)]
    nearest = OTHER_NAMES.get(name) or next(iter([*longer, *near]), None)
    if nearest:
        return f"is not known; did you mean `{nearest}`?"
    return f"is not known; the keys are {', '.join(_FIELDS)}."


def _faults(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong with it) for single keys first, then for combinations."""
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
    for keys, sentence in impossible_combinations(
        {**values, "data_root": str(values["data_root"])}
    ):
        if not bad & set(keys):
            yield keys[0], f": {show_value(known.get(keys[0], values[keys[0]]))} {sentence}"
