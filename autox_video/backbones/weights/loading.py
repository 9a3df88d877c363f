"""Pretrained weights of every known layout into a model, with a report of what was loaded.

Files are read without running anything that they carry. Image weights are inflated over time, and
bias tables of other attention windows are resized; all else must fit as it is.
"""

import pickle
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.spec import WINDOW_SIZE
from autox_video.backbones.weights.known_weights import Pretrained, known_file
from autox_video.backbones.weights.layouts import (
    BIAS_TABLE,
    FIRST_LAYER,
    NamedWeights,
    State,
    Window,
    depths_of,
    indices_of,
    inflated_patches,
    named_weights,
    resized_table,
    window_of,
    without_computed,
)
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError

ALIKE = 0.9
"""Of the tensors of a file and a backbone together, those that both have, if it is of that one."""
NAMED_MISFITS = 5
_UNREADABLE = (
    *(SafetensorError, struct.error, OSError, EOFError, RuntimeError, ValueError, TypeError),
    *(LookupError, AttributeError, OverflowError, AssertionError),
)
"""What torch and safetensors raise on a file that is cut off, overwritten or something else."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a file gave to a model; names are those of mmaction2."""

    path: str
    layout: str
    backbone: str
    loaded: int
    """Tensors of the file that are now in the model."""
    skipped: tuple[str, ...]
    """Tensors of the file that are not: its head, which is for other classes."""
    missing: tuple[str, ...]
    """Tensors of the model that the file did not give: they keep their random start."""
    resized: tuple[str, ...]
    """Loaded bias tables that were made for another attention window, in space for images."""
    windows: tuple[tuple[Window, Window], ...]
    """From which windows to which they were resized, each pair once."""
    inflated: bool
    """Whether the weights are of images and were repeated over time."""

    def sentence(self) -> str:
        """The report for the user."""
        total = self.loaded + len(self.skipped)
        text = f"Loaded {self.loaded} of {total} tensors of {self.path} ({self.layout}"
        text += f", {self.backbone})"
        if self.inflated:
            text += "; image weights, inflated over time"
        if self.resized:
            ways = " and ".join(f"{_by(old)} to {_by(new)}" for old, new in self.windows)
            text += f"; {len(self.resized)} bias tables resized from windows of {ways}"
        if self.skipped:
            text += f"; left out {len(self.skipped)} of its head: {', '.join(self.skipped)}"
        if self.missing:
            text += f"; {len(self.missing)} of the new head start at random"
        return text + "."


class _Inert:
    """Stands in for bookkeeping objects in training checkpoints; ignores its arguments."""

    def __new__(cls, *_values: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_values: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass


_BOOKKEEPING = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "builtins.getattr",
)
"""What mmengine's training log puts beside the weights: read as `_Inert`, never as itself."""


def read_weights(path: str | Path) -> NamedWeights:
    """What a weight file holds, in mmaction2's naming.

    Raises:
        CheckpointError: the file is missing or damaged, would have to run code to be read, or
            holds no Swin of a known layout.
    """
    content = _read_file(Path(path))
    flat = _state_of(content, path)
    with _about(path):
        weights = named_weights(flat)
    if isinstance(content, Mapping) and "schema" in content and weights.layout == "mmaction2":
        weights = replace(weights, layout="checkpoint of this project")
    _refuse_odd_values(weights.tensors, path)
    return weights


def _refuse_odd_values(tensors: State, path: str | Path) -> None:
    integers = [name for name, tensor in tensors.items() if not tensor.is_floating_point()]
    if integers:
        kind = str(tensors[integers[0]].dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{path}: {integers[0]} holds {kind} where floating-point numbers are needed; use "
            "weights that are not quantised."
        )
    broken = [name for name, tensor in tensors.items() if not tensor.float().isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: {len(broken)} tensors hold values that are not numbers (first: {broken[0]}): "
            "the file is damaged, get it again."
        )


@contextmanager
def _about(path: str | Path) -> Iterator[None]:
    """Name the file in what goes wrong with its tensors."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def load_pretrained(model: nn.Module, path: str | Path) -> LoadReport:
    """Load the backbone of a weight file into a recogniser; the head stays as it is.

    A head is for the classes of its own data set, so fine-tuning always starts with a fresh one,
    even where the number of classes happens to be the same.

    Args:
        model: an mmaction2 recogniser, with `backbone` and `cls_head`.
        path: a file of any layout that `read_weights` knows.

    Raises:
        CheckpointError: the file cannot be read, or its backbone is not the model's.
    """
    weights = read_weights(path)
    target = model.state_dict()
    wanted = without_computed(target)
    with _about(path):
        state, resized = _fit(weights, target)
        _refuse_other_backbone(state, wanted)
    backbone = {name: t for name, t in state.items() if name.startswith("backbone.")}
    model.load_state_dict(backbone, strict=False)
    return LoadReport(
        path=str(path),
        layout=weights.layout,
        backbone=_backbone_or_unknown(state),
        loaded=len(backbone),
        skipped=tuple(name for name in state if name not in backbone),
        missing=tuple(name for name in wanted if name not in backbone),
        resized=tuple(resized),
        windows=tuple(dict.fromkeys(resized.values())),
        inflated=weights.images,
    )


def _fit(weights: NamedWeights, target: State) -> tuple[State, dict[str, tuple[Window, Window]]]:
    """Give a file's tensors the shapes of a model's, as far as inflating and resizing can.

    Returns:
        The tensors, and by the name of each table that was resized its window and the model's.
    """
    state, resized = dict(weights.tensors), {}
    shapes = {name: tensor.shape for name, tensor in target.items()}
    patches = shapes.get(FIRST_LAYER, ())
    if weights.images and patches[:2] + patches[3:] == state[FIRST_LAYER].shape:
        state[FIRST_LAYER] = inflated_patches(state[FIRST_LAYER], patches[2])
    indices = indices_of(target)
    for name, table in weights.tables.items():
        # One with another number of heads is of another backbone, and refused as it is.
        if shapes.get(name, ())[1:] == table.shape[1:]:
            new = window_of(len(target[name]), indices.get(name), WINDOW_SIZE, images=False)
            old = window_of(len(table), weights.indices.get(name), new, images=weights.images)
            state[name] = resized_table(table, old, new)
            if old != new[-len(old) :]:
                resized[name] = old, new
    return state, resized


def identify_file(path: str | Path) -> Pretrained:
    """Read a weight file and say what backbone it fits, and with what attention window.

    Raises:
        CheckpointError: it cannot be read, or fits none of our backbones.
    """
    weights = read_weights(path)
    with _about(path):
        backbone = identify_backbone(weights.tensors)
        _refuse_other_backbone(weights.tensors, _backbone_state(backbone), images=weights.images)
        window = _window_to_build(weights, BACKBONES[backbone].window_size or WINDOW_SIZE)
    known = known_file(Path(path).name)
    source = known.source if known else weights.layout
    return Pretrained(str(path), backbone, source, window)


def _window_to_build(weights: NamedWeights, usual: Size) -> Size:
    """The file's own window, so that nothing is resized; the usual one for images."""
    if weights.images or not weights.tables:
        return usual
    name, table = next(iter(weights.tables.items()))
    return window_of(len(table), weights.indices.get(name), usual, images=False)


def identify_backbone(state: Mapping[str, Tensor]) -> str:
    """The backbone that has nearly all of the tensors, in mmaction2's naming, and few others.

    Raises:
        CheckpointError: there is none.
    """
    names = [name for name in BACKBONES if BACKBONES[name].learns]
    shapes = _shapes(state, images=True).items()
    for name in names:
        ours = _shapes(_backbone_state(name), images=True).items()
        if len(shapes & ours) > ALIKE * len(shapes | ours):
            return name
    what = "what it holds"
    if FIRST_LAYER in state:
        depths = "-".join(map(str, depths_of(state)))
        what = f"a Swin of width {len(state[FIRST_LAYER])} and depths {depths}"
    raise CheckpointError(f"{what} is none of {', '.join(names)}; use weights of one of those.")


@cache
def _backbone_state(name: str) -> State:
    """Names and shapes of a backbone's tensors, without values."""
    spec = BACKBONES[name]
    import_module(spec.module)
    with torch.device("meta"):
        state = MODELS.build(dict(spec.config)).state_dict()
    return {f"backbone.{tensor_name}": tensor for tensor_name, tensor in state.items()}


def _shapes(state: Mapping[str, Tensor], *, images: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of a backbone's tensors, without what may differ: the windows, of images the time."""
    shapes = {}
    for name, tensor in without_computed(state).items():
        if name.startswith("backbone."):
            shapes[name] = tuple(tensor.shape[1:] if name.endswith(BIAS_TABLE) else tensor.shape)
    if images and len(shapes.get(FIRST_LAYER, ())) == 5:
        shapes[FIRST_LAYER] = shapes[FIRST_LAYER][:2] + shapes[FIRST_LAYER][3:]
    return shapes


def _read_file(path: Path) -> Any:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the weight file in it as load_from.")
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such weight file; check load_from.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stand_ins = [(_Inert, name) for name in _BOOKKEEPING]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: damaged or no weight file; {_get_again(path)}.") from error


def _refusal(path: Path, error: pickle.UnpicklingError) -> str:
    foreign = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error))
    if foreign is None:
        return f"{path}: damaged or no weight file; {_get_again(path)}."
    return (
        f"{path}: refused, since reading it would run code that it names ({foreign[1]}); save its "
        'tensors alone with `torch.save({"state_dict": model.state_dict()}, file)` where it is '
        "from."
    )


def _get_again(path: Path) -> str:
    size = path.stat().st_size
    known = known_file(path.name)
    if known is None:
        return f"it has {size:,} bytes; get it again"
    return f"it has {size / 2**20:.1f} MiB of about {known.size_mib}; get it again from {known.url}"


def _state_of(content: Any, path: str | Path) -> State:
    """The mapping of names to tensors within a file's content, without wrappers' prefixes."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: it holds no weights, but a {type(content).__name__}.")
    state = {str(k).removeprefix("module."): v for k, v in content.items()}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if len(tensors) < len(state):
        odd = next(name for name in state if name not in tensors)
        raise CheckpointError(f"{path}: it holds no plain weights; '{odd}' is not a tensor.")
    return tensors


def _refuse_other_backbone(state: State, wanted: State, *, images: bool = False) -> None:
    """Every tensor of the backbone must be there in the right shape, and none be left over."""
    theirs, ours = _shapes(state, images=images), _shapes(wanted, images=images)
    wrong = [n for n in {**ours, **theirs} if theirs.get(n) != ours.get(n)]
    if not wrong:
        return
    details = "; ".join(
        f"{name}: {_shape(state, name)} in the file, {_shape(wanted, name)} in the model"
        for name in wrong[:NAMED_MISFITS]
    )
    raise CheckpointError(
        f"the file holds {_backbone_or_unknown(state)}, the model is "
        f"{_backbone_or_unknown(wanted)}: {len(wrong)} tensors do not fit ({details}). Set "
        "backbone to that of the file, or load_from to a file that fits."
    )


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return _by(state[name].shape) if name in state else "none"


def _by(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))


def _backbone_or_unknown(state: Mapping[str, Tensor]) -> str:
    try:
        return identify_backbone(state)
    except CheckpointError:
        return "an unknown backbone"
