"""config.yaml and overrides → `Settings`; every problem in them is reported at once."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autox_video.config.config_file import read_config, read_overrides, show_value
from autox_video.config.custom_imports import import_custom_modules
from autox_video.config.settings import Settings, allowed
from autox_video.core.errors import ConfigError

OTHER_NAMES = {
    "accelerator": "device",
    "arch": "backbone",
    "batch": "videos_per_gpu",
    "batch_size": "videos_per_gpu",
    "batches": "videos_per_gpu",
    "bs": "videos_per_gpu",
    "checkpoint": "load_from",
    "classes": "class_names",
    "clip_length": "clip_len",
    "data": "data_root",
    "data_dir": "data_root",
    "data_path": "data_root",
    "dataset": "data_root",
    "devices": "gpus",
    "e": "epoch",
    "epochs": "epoch",
    "frames": "clip_len",
    "gpu": "device",
    "image_size": "resolution",
    "img_size": "resolution",
    "imgsz": "resolution",
    "input_size": "resolution",
    "learning_rate": "lr",
    "max_epochs": "epoch",
    "model": "backbone",
    "net": "backbone",
    "nproc_per_node": "gpus",
    "num_classes": "num_class",
    "num_epochs": "epoch",
    "num_frames": "clip_len",
    "num_gpus": "gpus",
    "num_workers": "workers",
    "out": "test_results_path",
    "out_dir": "work_dir",
    "output": "test_results_path",
    "output_dir": "work_dir",
    "pretrained": "load_from",
    "project": "work_dir",
    "save_dir": "work_dir",
    "size": "resolution",
    "test": "ann_file_test",
    "test_list": "ann_file_test",
    "train": "ann_file_train",
    "train_list": "ann_file_train",
    "val": "ann_file_val",
    "val_interval": "evaluation",
    "val_list": "ann_file_val",
    "weights": "load_from",
    "workdir": "work_dir",
}
"""What other tools call our keys; spelling alone would not find these."""

_TEXT_KEYS = {name for name, field in Settings.model_fields.items() if field.annotation is str}


def load_settings(path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a config file, then `key=value` overrides from the command line.

    The modules of `custom_imports` are imported before the other keys are checked.

    An override's value is YAML, except that the keys which hold a path or a name take the text as
    it is (`data_root=/a b/c`); `key=null` gives the key its default back.

    Raises:
        ConfigError: with every problem of the file and of the overrides, one sentence each.
    """
    given, problems = read_overrides(overrides, _TEXT_KEYS)
    if "://" in str(path):
        raise ConfigError(f"{path}: a config is read from this machine alone.", *problems)
    try:
        values, origins, file_problems = read_config(Path(path))
    except ConfigError as error:
        raise ConfigError(*error.problems, *problems) from error
    origins.update(dict.fromkeys(given, "command line"))
    values = {**values, **given}
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
    known = {key: values[key] for key in Settings.model_fields if values.get(key) is not None}
    faults = [(str(key), _unknown(key)) for key in values if key not in Settings.model_fields]
    faults += [(key, f"key `{key}`{what}") for key, what in _faults(known)]
    found = [f"{origins.get(key, source)}: {sentence}" for key, sentence in faults]
    if problems or found:
        raise ConfigError(*problems, *found)
    return Settings.model_validate(known)


def _unknown(key: Any) -> str:
    name = str(key).strip().lower()
    # Spelling that is less alike leads astray: `cache` for `batch`.
    near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.7)
    longer = [known for known in Settings.model_fields if len(name) > 2 and known.startswith(name)]
    nearest = OTHER_NAMES.get(name) or next(iter([*longer, *near]), None)
    if nearest:
        return f"key `{key}` is not known; did you mean `{nearest}`?"
    return f"key `{key}` is not known; the keys are {', '.join(Settings.model_fields)}."


def _faults(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong with it) for single keys first, then for combinations."""
    details = _error_details(known)
    bad = dict.fromkeys(detail["loc"][0] for detail in details if detail["loc"])
    for key in bad:
        if key in known:
            yield key, f": {show_value(known[key])} is not allowed; give {allowed(key)}."
        else:
            meaning = Settings.model_fields[key].description
            yield key, f" is missing: {meaning[0].lower()}{meaning[1:]}"
    if bad:
        # Combinations are only checked once each key is right: check those of the right keys.
        details = _error_details({"data_root": "."} | {k: known[k] for k in known if k not in bad})
    for keys, sentence in (pair for detail in details for pair in detail["ctx"]["found"]):
        if not bad.keys() & set(keys):
            value = known.get(keys[0], Settings.model_fields[keys[0]].default)
            yield keys[0], f": {show_value(value)} {sentence}"


def _error_details(known: Mapping[str, Any]) -> list[Any]:
    try:
        Settings.model_validate(known)
    except ValidationError as error:
        return error.errors()
    return []
