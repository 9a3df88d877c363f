"""A config.py of a work dir as data: read without running any of it, whatever it holds.

What mmengine writes is Python, and what it reads it runs; a work dir may come from anyone. So only
plain assignments of plain values are taken here, and all else is refused with its line.
"""

import ast
import math
import pprint
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.config import BASE_KEY, RESERVED_KEYS

from autox_video.core.errors import CheckpointError

CONFIG_BYTES_MAX = 4 << 20
"""Room for 100,000 class names; the parser takes 200 times as much memory."""

DEPTH_MAX = 50
"""How deep values may be nested; those that this project writes are eight deep at most."""

WIDTH = 100
_REMEDY = "A stored config is never run; put back the one that the training run wrote."
_SHOWN = 60
_NAMED = {"inf": math.inf, "nan": math.nan}
# A source that is nested too deeply ends the parser in one of the first two ways; a number of too
# many digits, or half a character, in the last.
_PARSER_FAULTS = (RecursionError, MemoryError, SyntaxError, ValueError)


def read_stored_config(path: str | Path) -> Config:
    """Read a config.py that a training run wrote, and run nothing of it.

    Raises:
        CheckpointError: it cannot be read, or holds more than plain values.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
        if len(data) > CONFIG_BYTES_MAX:
            size = CONFIG_BYTES_MAX >> 20
            raise CheckpointError(f"{path}: larger than {size} MiB; no training run wrote it.")
        text = data.decode("utf-8")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"{path}:{line}: this is not UTF-8 text. {_REMEDY}") from error
    return config_from_text(text, str(path))


def config_text(config: Config) -> str:
    """Write a config of plain values as Python that mmengine reads, and `config_from_text` too.

    mmengine's own writer formats with a tool that takes a signal for a mistake in the config.
    """
    values = config.to_dict().items()
    return "".join(
        f"{name} = {pprint.pformat(value, width=WIDTH, sort_dicts=False)}\n"
        for name, value in values
    )


def config_from_text(text: str, source: str) -> Config:
    """Read what `config_text` or mmengine wrote: lines `name = value`, the values plain.

    A value is a number, a string, True, False, None, or a list, tuple or dict of such; a dict may
    be written as `dict(name=value)`.

    Args:
        text: the content of the file.
        source: its name, for sentences.

    Raises:
        CheckpointError: there is anything else in it.
    """
    values: dict[str, Any] = {}
    for statement in _parse(text, source).body:
        reader = _Reader(text, source)
        name = _assigned_name(statement)
        if name is None:
            raise reader.error(statement, "is not `name = value`")
        if name in values or name in RESERVED_KEYS or name == BASE_KEY or name.startswith("__"):
            why = "is given twice" if name in values else "is no key of a config"
            raise CheckpointError(f"{source}:{statement.lineno}: `{name}` {why}. {_REMEDY}")
        values[name] = reader.value(statement.value, 0)
    return Config(values)


def refuse_incomplete(config: Config, source: str | Path) -> None:
    """Raise CheckpointError, naming the first key, where a config lacks what a test needs."""
    for place, is_right in _NEEDED.items():
        value: Any = config.to_dict()
        try:
            for key in place.split("."):
                value = value[int(key) if key.isdigit() else key]
            wrong = not is_right(value)
        except (KeyError, IndexError, TypeError):
            wrong = True
        if wrong:
            raise CheckpointError(f"{source}: `{place}` is missing or makes no sense. {_REMEDY}")


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 20


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _are(values: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(values, list | tuple) and len(values) > 0 and all(map(is_right, values))


def _is_type(*names: str) -> Callable[[Any], bool]:
    return lambda value: value in names


_NEEDED: dict[str, Callable[[Any], bool]] = {
    "classes": lambda value: _are(value, lambda name: isinstance(name, str)),
    "model.type": _is_type("Recognizer3D"),
    "model.backbone.type": lambda value: value in ("VideoSwin", "VideoConv", "ClipDescriptors"),
    "model.cls_head.type": _is_type("ClipHead", "AttentiveClipHead"),
    "model.data_preprocessor.type": _is_type("ClipPreprocessor"),
    "test_item_shape": lambda value: _are(value, _is_whole) and len(value) == 5,
    "test_pipeline": lambda value: _are(value, lambda part: isinstance(part, dict)),
    "test_pipeline.0.type": _is_type("ReadClips"),
    "test_pipeline.0.clip_len": _is_whole,
    "test_pipeline.0.frame_interval_sec": lambda value: _is_number(value) and 0 < value < 1e6,
    "test_pipeline.0.num_clips": _is_whole,
    "test_pipeline.0.short_side": _is_whole,
    "test_pipeline.0.decoder": lambda value: isinstance(value, str),
    "test_pipeline.1.type": _is_type("CropClips"),
    "test_pipeline.1.side": _is_whole,
    "test_pipeline.1.crop": lambda value: value == "three",
}
"""What `predict` takes out of a config, and what it must be."""


def _parse(text: str, source: str) -> ast.Module:
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CheckpointError(f"{source}:{line}: this is not text (it has a byte 0). {_REMEDY}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings: nobody runs this
            return ast.parse(text)
    except _PARSER_FAULTS as error:
        line = getattr(error, "lineno", None) or 1
        deep = isinstance(error, RecursionError | MemoryError)
        why = "it is nested too deeply" if deep else _first_line(error)
        raise CheckpointError(f"{source}:{line}: this is no config: {why}. {_REMEDY}") from error


def _first_line(error: Exception) -> str:
    text = getattr(error, "msg", None) or str(error)
    return text.splitlines()[0][:_SHOWN] if text else "it cannot be read"


def _assigned_name(statement: ast.stmt) -> str | None:
    """Give the name of `name = value`; None for any other statement."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else None


class _Reader:
    """Values out of parsed text, each kind by a rule of its own."""

    def __init__(self, text: str, source: str) -> None:
        self._text, self._source = text, source

    def error(self, node: ast.AST, why: str) -> CheckpointError:
        """Make a sentence on a part of the text."""
        part = ast.get_source_segment(self._text, node) or ""
        first = part.partition("\n")[0]
        shown = first[:_SHOWN] + ("..." if len(first) > _SHOWN or first != part else "")
        return CheckpointError(f"{self._source}:{node.lineno}: `{shown}` {why}. {_REMEDY}")

    def value(self, node: ast.expr, depth: int) -> Any:
        """Give the value of an expression, at a depth of nesting."""
        if depth > DEPTH_MAX:
            raise self.error(node, "is nested too deeply")
        rule = _RULES.get(type(node))
        if rule is None:
            raise self.error(node, "is not a plain value")
        return rule(self, node, depth + 1)

    def constant(self, node: ast.Constant, _depth: int) -> Any:
        value = node.value
        if isinstance(value, int) and value.bit_length() > 64:
            raise self.error(node, "is too large a number")
        if value is not None and not isinstance(value, str | int | float):
            raise self.error(node, "is not a plain value")
        return value

    def signed(self, node: ast.UnaryOp, depth: int) -> int | float:
        number = self.value(node.operand, depth)
        if not isinstance(node.op, ast.USub | ast.UAdd) or type(number) not in (int, float):
            raise self.error(node, "is not a plain value")
        return -number if isinstance(node.op, ast.USub) else number

    def named(self, node: ast.Name, _depth: int) -> float:
        if node.id not in _NAMED:
            raise self.error(node, "is not a plain value")
        return _NAMED[node.id]

    def sequence(self, node: ast.List | ast.Tuple, depth: int) -> list | tuple:
        values = [self.value(item, depth) for item in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)

    def mapping(self, node: ast.Dict, depth: int) -> dict:
        return dict(self._pairs(node, zip(node.keys, node.values, strict=True), depth))

    def call(self, node: ast.Call, depth: int) -> dict | float:
        """Give what `dict(name=value)`, `dict({...})` or `float("inf")` is; nothing is called."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "float" and len(node.args) == 1 and not node.keywords:
            text = self.value(node.args[0], depth)
            if isinstance(text, str) and text.lstrip("+-") in _NAMED:
                return float(text)
        if name != "dict" or len(node.args) > 1:
            raise self.error(node, "is not a plain value")
        if node.args:
            if node.keywords or not isinstance(node.args[0], ast.Dict):
                raise self.error(node, "is not a plain value")
            return self.mapping(node.args[0], depth)
        pairs = ((keyword.arg, keyword.value) for keyword in node.keywords)
        return dict(self._pairs(node, pairs, depth))

    def _pairs(self, node: ast.expr, pairs: Any, depth: int) -> Iterator[tuple[Any, Any]]:
        seen = set()
        for key, item in pairs:
            name = self.value(key, depth) if isinstance(key, ast.expr) else key
            if not isinstance(name, str | int | float) or name in seen:
                raise self.error(node, "has a key that is no name, or is there twice")
            seen.add(name)
            yield name, self.value(item, depth)


_RULES: dict[type, Callable[[_Reader, Any, int], Any]] = {
    ast.Constant: _Reader.constant,
    ast.UnaryOp: _Reader.signed,
    ast.Name: _Reader.named,
    ast.List: _Reader.sequence,
    ast.Tuple: _Reader.sequence,
    ast.Dict: _Reader.mapping,
    ast.Call: _Reader.call,
}
