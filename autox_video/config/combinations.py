"""Find config values that contradict each other."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autox_video.config.choices import BACKBONES
from autox_video.config.value_types import AUTO, OFF


def learns(backbone: str) -> bool:
    """Return whether the backbone itself can be trained, and not just a head on top of it."""
    return backbone == AUTO or BACKBONES[backbone].learns


def impossible_combinations(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield each pair of keys whose values contradict each other, with a message.

    The first key of a pair is the key that should be changed.

    Args:
        values: the values of all keys.
    """
    yield from _impossible_paths(values)
    device = values["device"]
    if not learns(values["backbone"]) and values["mode"] == "train":
        what = f"`{values['backbone']}` has no weights to train, only a head"
        yield ("mode", "backbone"), f"needs a backbone that can be trained; {what}."
    if isinstance(values["gpus"], tuple) and device not in (AUTO, "cuda"):
        keys = ("gpus", "device")
        yield keys, f"names GPUs, but `device` is {device}; leave `device` at auto."
    if values["freeze"] not in (AUTO, 0) and values["load_from"] == "none":
        what = "random weights would stay random; leave `freeze` at auto, or give weights"
        yield ("freeze", "load_from"), f"needs pretrained weights: {what}."
    if values["lora"] not in (AUTO, OFF):
        yield from _impossible_with_lora(values)
    warmup, epochs = values["warmup_epochs"], values["epoch"]
    if AUTO not in (warmup, epochs) and warmup >= epochs:
        keys = ("warmup_epochs", "epoch")
        yield keys, f"must be less than `epoch`, which is {epochs}."


def _impossible_with_lora(
    values: Mapping[str, Any],
) -> Iterator[tuple[tuple[str, str], str]]:
    if values["load_from"] == "none":
        what = "adapters change random weights too little; set `lora: off`, or give weights"
        yield ("lora", "load_from"), f"needs pretrained weights: {what}."
    if values["freeze"] == "all":
        yield (
            ("lora", "freeze"),
            "adapts a backbone that `freeze: all` keeps fixed; set one of them.",
        )


def _impossible_paths(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    train, val, data_root = (values[k] for k in ("ann_file_train", "ann_file_val", "data_root"))
    keys = ("ann_file_val", "ann_file_train")
    if val != AUTO and train == AUTO:
        yield keys, "needs `ann_file_train` too; give the training list, or leave both at auto."
    elif val != AUTO and os.path.normpath(val) == os.path.normpath(train):
        yield keys, "is also the training list; give another list, or auto to set clips aside."
    if os.path.normpath(values["work_dir"]) == os.path.normpath(data_root):
        keys = ("work_dir", "data_root")
        yield keys, "is also `data_root`, to which nothing is written; give another folder."
    if values["demo"] and Path(data_root).name != "videos":
        keys = ("demo", "data_root")
        yield keys, "needs a `data_root` that ends in /videos, such as data/demo/videos."
    if values["data_format"] == "folders" and train != AUTO:
        keys = ("data_format", "ann_file_train")
        yield keys, "takes no list; leave `ann_file_train` at auto, or give the list's format."
