"""The configs of mmaction2's models: finding, reading, and what they say about the input.

A config is a Python file. It is read here without running it, since the name of a file may come
from a record that somebody else made: only assignments of plain values are understood, which is
all that mmaction2's own configs use.
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
"""Frames per second of the videos that `frame_interval` in a config refers to, as in Kinetics."""
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
"""Models whose config has another name than the zoo's table says, by the model's name."""
_DENSE_RANGE = 64
"""Default number of video frames that DenseSampleFrames spreads its frames over."""
NAMED = 5
"""Number of similar names in a message."""
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model of mmaction2's zoo."""

    name: str
    config: Path
    resolution: int | None
    """Side of the square input in px, if the zoo's table has it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the frames of a published clip are chosen."""

    frames: int | None
    interval: float | None
    """Number of video frames from one frame to the next; None if they are spread evenly."""


def find_model(name: str) -> ZooModel:
    """Return the model with a name, or with the only name that begins with it.

    Args:
        name: the zoo's name or its beginning up to a hyphen or underscore, or the path of a config.

    Raises:
        ConfigError: there is no such model or file, or several.
    """
    if name.endswith(".py"):
        return ZooModel(name, Path(name).expanduser(), None)
    zoo = zoo_models()
    matches = [n for n in zoo if n == name] or [n for n in zoo if n.startswith(_starts(name))]
    if len(matches) == 1:
        return zoo[matches[0]]
    if matches:
        raise ConfigError(
            f"backbone: several models of mmaction2 begin with {name}; give one of them in full: "
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
    """Return the names that have the most first letters in common with a name, at least two."""
    pairs = {n: zip(n, name, strict=False) for n in names}
    shared = {n: sum(1 for _ in takewhile(lambda p: p[0] == p[1], pairs[n])) for n in pairs}
    longest = max(shared.values(), default=0)
    return [n for n, letters in shared.items() if letters == longest > 1]


@cache
def zoo_models() -> dict[str, ZooModel]:
    """Return the models for action recognition from RGB frames, by name.

    Raises:
        ConfigError: the configs are not part of the installed package.
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
    """Return the side of a square resolution such as `224x224`."""
    width, _, height = str(metadata.get("Resolution", "")).partition("x")
    return int(width) if width == height and width.isdigit() else None


def read_config(path: Path) -> Values:
    """Return the values of a config and of the configs that it is based on, without running them.

    Raises:
        ConfigError: a file is missing, is not Python, or its base or model is not plain values.
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
                        f"backbone: line {error} of {path} is not a plain value, which is all that "
                        f"is read from a config; write `{name}` with numbers, texts, lists and "
                        "dict(...)."
                    ) from error
    bases = own.pop("_base_", [])
    merged = Config()
    for base in [bases] if isinstance(bases, str) else bases:
        merged.merge_from_dict(read_config(path.parent / base), allow_list_keys=False)
    merged.merge_from_dict(own, allow_list_keys=False)
    return merged.to_dict()


def _value(node: ast.expr, names: Values) -> Any:
    """Return the value of an expression; raises ValueError with its line if it would run code."""
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
    """Return a dict; the key None stands for the unpacking of another dict."""
    result: Values = {}
    for key, value in pairs:
        result.update(value if key is None else {key: value})
    return result


def sampling_of(config: Values, *, sees_images: bool) -> Sampling:
    """Return how a config chooses the frames of a clip.

    Args:
        config: the values of a config.
        sees_images: whether the recogniser is 2-D. Its clips are `num_clips` single frames, while
            those of a 3-D recogniser are `clip_len` frames each.
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
    """Return the side of the square crop in validation or training, in px."""
    for step in _steps(config):
        if step["type"] == "CenterCrop":
            return _first(step["crop_size"])
        if step["type"] == "Resize" and not step.get("keep_ratio", True):
            return _first(step["scale"])
    return None


def test_crop_of(config: Values) -> int | None:
    """Return the side of the square crop in testing, in px."""
    crops = (step["crop_size"] for step in _steps(config, ("test",)) if "crop_size" in step)
    return next(map(_first, crops), None)


test_crop_of.__test__ = False  # pytest would take it for a test in a test file that imports it


def _first(size: Any) -> int:
    return size if isinstance(size, int) else size[0]


def _steps(config: Values, parts: tuple[str, ...] = ("val", "train", "test")) -> Iterator[Values]:
    """Yield the steps of the pipelines, those of the first part first."""
    for part in parts:
        dataset = (config.get(f"{part}_dataloader") or {}).get("dataset", {})
        yield from config.get(f"{part}_pipeline") or dataset.get("pipeline") or ()
