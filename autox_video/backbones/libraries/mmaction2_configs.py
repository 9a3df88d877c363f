"""Find the configs of mmaction2's models, and determine what input the models expect.

Configs are Python files, but this module never executes them, since a run record from an unknown
source may name any file. The parser supports only assignments of plain values, which is all that
mmaction2's own configs use.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import mmaction
import yaml
from mmengine import Config

from autox_video.core.errors import ConfigError

FRAME_RATE = 30
"""Frame rate assumed for the videos on which published models were trained, as in Kinetics."""
_OPERATORS: Mapping[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.USub: operator.neg,
}
_MISNAMED = {
    "uniformerv2-base-p16-res224_clip-pre_8xb32-u8_kinetics700-rgb": (
        "uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics700-rgb"
    )
}
"""Corrected config names, by model name, for models whose config name in the zoo is wrong."""
_DENSE_RANGE = 64
"""Default number of video frames in the range from which DenseSampleFrames samples."""
NAMED = 5
"""Maximum number of similar names listed in a message."""
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model in mmaction2's model zoo."""

    name: str
    config: Path
    resolution: int | None
    """Side of the square input in px; None if the zoo's table does not state it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the input frames of a published model are sampled from a video."""

    frames: int | None
    interval: float | None
    """Step between sampled frames, in video frames; None for sampling evenly over the video."""


def find_model(name: str) -> ZooModel:
    """Return the model with the given name, or the only model whose name starts with that name.

    Args:
        name: full name in the zoo, a prefix of it that ends before a hyphen or underscore, or path
            to a config.

    Raises:
        ConfigError: no model, or more than one, matches the name.
    """
    if name.endswith(".py"):
        return ZooModel(name, Path(name).expanduser(), None)
    zoo = zoo_models()
    matches = [n for n in zoo if n == name] or [n for n in zoo if n.startswith(_starts(name))]
    if len(matches) == 1:
        return zoo[matches[0]]
    if matches:
        raise ConfigError(
            f"backbone: the names of several mmaction2 models begin with {name}; give one in full: "
            f"{', '.join(matches)}."
        )
    similar = [n for n in zoo if name in n] or _with_longest_beginning(name, zoo)
    raise ConfigError(
        f"backbone: mmaction2 has no model {name}; similar names: "
        f"{', '.join(similar[:NAMED]) or 'none'}."
    )


def _starts(name: str) -> tuple[str, str]:
    return f"{name}_", f"{name}-"


def _with_longest_beginning(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that share the longest prefix (two or more letters) with `name`."""
    pairs = {n: zip(n, name, strict=False) for n in names}
    shared = {n: sum(1 for _ in takewhile(lambda p: p[0] == p[1], pairs[n])) for n in pairs}
    longest = max(shared.values(), default=0)
    return [n for n, letters in shared.items() if letters == longest > 1]


@cache
def zoo_models() -> dict[str, ZooModel]:
    """Return the zoo's action recognition models, by name.

    Raises:
        ConfigError: the installed package contains no configs.
    """
    folder = _config_folder()
    paths = {p.stem: p for p in sorted(folder.glob("recognition/**/*.py"))}
    models: dict[str, ZooModel] = {}
    for table in sorted(folder.glob("recognition/*/metafile.yml")):
        for entry in yaml.safe_load(table.read_text(encoding="utf-8"))["Models"]:
            name, named = entry["Name"], Path(entry["Config"]).name.partition(".py")[0]
            path = paths.get(name) or paths.get(_MISNAMED.get(name, named))
            if path is not None:
                models[name] = ZooModel(name, path, _side(entry.get("Metadata", {})))
    return models


def _config_folder() -> Path:
    package = Path(mmaction.__file__).parent
    for folder in (package / ".mim" / "configs", package.parent / "configs"):
        if (folder / "recognition").is_dir():
            return folder
    raise ConfigError(
        f"backbone: mmaction2 in {package} has no configs; reinstall it (pip install mmaction2), "
        "or give the path of a config: mmaction2:PATH.py."
    )


def _side(metadata: Mapping[str, Any]) -> int | None:
    """Return the side of a square resolution such as `224x224`; None for other resolutions."""
    width, _, height = str(metadata.get("Resolution", "")).partition("x")
    return int(width) if width == height and width.isdigit() else None


def read_config(path: Path) -> Values:
    """Return the values of a config, including its base configs, without executing any code.

    Raises:
        ConfigError: a file is missing or not valid Python, or `_base_` or `model` contains code.
    """
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"backbone: the config {path} cannot be read ({error}).") from error
    own: Values = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            try:
                own[name] = _value(statement.value, own)
            except ValueError as error:
                if name in ("model", "_base_"):
                    raise ConfigError(
                        f"backbone: line {error} of {path} contains code, which is not executed; "
                        f"write `{name}` with plain numbers, strings, lists and dict(...)."
                    ) from error
    bases = own.pop("_base_", [])
    merged = Config()
    for base in [bases] if isinstance(bases, str) else bases:
        merged.merge_from_dict(read_config(path.parent / base), allow_list_keys=False)
    merged.merge_from_dict(own, allow_list_keys=False)
    return merged.to_dict()


def _value(node: ast.expr, names: Values) -> Any:
    """Return the value of an expression; raise ValueError if evaluation would execute code."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in names:
            return names[node.id]
        case ast.List() | ast.Tuple():
            values = [_value(part, names) for part in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        case ast.Dict():
            keys = [_value(key, names) if key else None for key in node.keys]
            values = [_value(value, names) for value in node.values]
            return _merged(zip(keys, values, strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[]):
            return _merged((k.arg, _value(k.value, names)) for k in node.keywords)
        case ast.UnaryOp() if type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](_value(node.operand, names))
        case ast.BinOp() if type(node.op) in _OPERATORS:
            sides = _value(node.left, names), _value(node.right, names)
            return _OPERATORS[type(node.op)](*sides)
    raise ValueError(str(node.lineno))


def _merged(pairs: Iterator[tuple[Any, Any]]) -> Values:
    """Return a dict of the pairs; a None key means that the value is a dict to unpack."""
    result: Values = {}
    for key, value in pairs:
        result.update(value if key is None else {key: value})
    return result


def sampling_of(config: Values, *, sees_images: bool) -> Sampling:
    """Return how the config samples the frames of a clip.

    Args:
        config: the values of a config.
        sees_images: whether the recogniser is 2D. A 2D recogniser takes `num_clips` single frames,
            and a 3D recogniser takes clips of `clip_len` frames.
    """
    for step in _steps(config):
        kind, frames = step["type"], step.get("clip_len", 1)
        if kind not in ("SampleFrames", "DenseSampleFrames", "UniformSample"):
            continue
        if kind == "UniformSample":
            return Sampling(frames, None)
        if not sees_images:
            return Sampling(frames, step.get("frame_interval", 1))
        frames *= step.get("num_clips", 1)
        spread = step.get("sample_range", _DENSE_RANGE)
        return Sampling(frames, spread / frames if kind == "DenseSampleFrames" else None)
    return Sampling(None, None)


def crop_of(config: Values) -> int | None:
    """Return the side of the square crop used for validation or training, in px."""
    for step in _steps(config):
        if step["type"] == "CenterCrop":
            return _first(step["crop_size"])
        if step["type"] == "Resize" and not step.get("keep_ratio", True):
            return _first(step["scale"])
    return None


def test_crop_of(config: Values) -> int | None:
    """Return the side of the square crop used for testing, in px."""
    crops = (step["crop_size"] for step in _steps(config, ("test",)) if "crop_size" in step)
    return next(map(_first, crops), None)


test_crop_of.__test__ = False  # otherwise pytest collects it as a test


def _first(size: Any) -> int:
    return size if isinstance(size, int) else size[0]


def _steps(config: Values, parts: tuple[str, ...] = ("val", "train", "test")) -> Iterator[Values]:
    """Yield the steps of the data pipelines, one pipeline after another, in the given order."""
    for part in parts:
        dataset = (config.get(f"{part}_dataloader") or {}).get("dataset", {})
        yield from config.get(f"{part}_pipeline") or dataset.get("pipeline") or ()
