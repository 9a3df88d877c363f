"""Pretrained weights of every known layout into a model, with a report of what was loaded.

Files are read without running anything that they carry. Tensors are named as in mmaction2:
`backbone.layers.<stage>.blocks.<block>...`, `backbone.norm<last stage>`, `cls_head.fc_cls`.
"""

import pickle
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autox_video.errors import CheckpointError
from autox_video.models.known_weights import ARCHITECTURES, Architecture, known_file
from autox_video.plan.choose import Pretrained

State = dict[str, Tensor]

_UNREADABLE = (
    SafetensorError,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    AssertionError,
)
"""What torch and safetensors raise on a file that is cut off, overwritten or something else."""

_COMPUTED = ("relative_position_index", "attn_mask")
"""Entries that follow from the window size and are never taken from a file."""

_FIRST_LAYER = "backbone.patch_embed.proj.weight"
_HEAD = "cls_head."


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

    def sentence(self) -> str:
        """The report for the user."""
        total = self.loaded + len(self.skipped)
        text = f"Loaded {self.loaded} of {total} tensors of {self.path} ({self.layout}"
        text += f", {self.backbone})"
        if self.skipped:
            text += f"; left out {len(self.skipped)} of its head: {', '.join(self.skipped)}"
        if self.missing:
            text += f"; {len(self.missing)} of the new head start at random"
        return text + "."


class _Inert:
    """Stands in for bookkeeping objects in training checkpoints; ignores what it is given."""

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


def read_weights(path: str | Path) -> tuple[State, str]:
    """The tensors of a weight file in mmaction2's naming, and the layout that it has.

    Raises:
        CheckpointError: the file is missing or damaged, would have to run code to be read, or
            holds no Video Swin.
    """
    content = _read_file(Path(path))
    flat = _state_of(content, path)
    own = isinstance(content, Mapping) and "schema" in content
    state, layout = _in_mmaction2_naming(flat, path)
    layout = "checkpoint of this project" if own and layout == "mmaction2" else layout
    state = {name: tensor for name, tensor in state.items() if not name.endswith(_COMPUTED)}
    broken = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: {len(broken)} tensors hold values that are not numbers (first: {broken[0]}): "
            "the file is damaged, get it again."
        )
    return state, layout


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
    state, layout = read_weights(path)
    wanted = {n: t for n, t in model.state_dict().items() if not n.endswith(_COMPUTED)}
    _refuse_other_backbone(state, wanted, path)
    backbone = {name: t for name, t in state.items() if name.startswith("backbone.")}
    model.load_state_dict(backbone, strict=False)
    return LoadReport(
        path=str(path),
        layout=layout,
        backbone=_backbone_or_unknown(state),
        loaded=len(backbone),
        skipped=tuple(name for name in state if name not in backbone),
        missing=tuple(name for name in wanted if name not in backbone),
    )


def identify_file(path: str | Path) -> Pretrained:
    """Read a weight file and say what backbone it fits.

    Raises:
        CheckpointError: it cannot be read, or its backbone is none of ours.
    """
    state, layout = read_weights(path)
    known = known_file(Path(path).name)
    try:
        backbone = identify_backbone(state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Pretrained(str(path), backbone, known.source if known else layout)


def identify_backbone(state: Mapping[str, Tensor]) -> str:
    """The name of the backbone that tensors in mmaction2's naming are of, e.g. "swin_tiny".

    Raises:
        CheckpointError: there is none of that width, depth, patch or window.
    """
    if _FIRST_LAYER not in state:
        raise CheckpointError(f"the tensor {_FIRST_LAYER} of a Video Swin is missing.")
    width, _, *patch = state[_FIRST_LAYER].shape
    depths = _depths(state)
    found = [n for n, a in ARCHITECTURES.items() if (a.embed_dims, a.depths) == (width, depths)]
    if not found:
        shown = "-".join(map(str, depths))
        raise CheckpointError(
            f"a Video Swin of width {width} and depths {shown} is none of "
            f"{', '.join(ARCHITECTURES)}; use weights of one of those."
        )
    _refuse_other_sizes(found[0], ARCHITECTURES[found[0]], tuple(patch), _bias_rows(state))
    return found[0]


def _refuse_other_sizes(
    name: str, needed: Architecture, patch: tuple[int, ...], bias_rows: set[int]
) -> None:
    if patch != needed.patch_size:
        raise CheckpointError(
            f"its {name} has patches of {_by(patch)} where {_by(needed.patch_size)} is needed; use "
            "weights whose name says patch244 or p244."
        )
    if bias_rows != {needed.bias_rows}:
        raise CheckpointError(_other_window(bias_rows, {needed.bias_rows}))


def _read_file(path: Path) -> Any:
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


def _in_mmaction2_naming(state: State, path: str | Path) -> tuple[State, str]:
    if "features.0.0.attn.qkv.weight" in state:
        state, layout = _from_torchvision(state), "torchvision"
    elif "patch_embed.proj.weight" in state:
        state, layout = {f"backbone.{name}": t for name, t in state.items()}, "bare backbone"
    else:
        layout = "mmaction2"
    if "backbone.norm.weight" in state:
        layout = "official Video Swin" if layout == "mmaction2" else layout
        last = f"backbone.norm{len(_depths(state)) - 1}."
        state = {n.replace("backbone.norm.", last): t for n, t in state.items()}
    _refuse_other_models(state, path)
    return state, layout


def _from_torchvision(state: State) -> State:
    """Even entries of `features` are stages, odd ones the merging of patches after a stage."""
    renamed = {}
    for name, tensor in state.items():
        if match := re.fullmatch(r"features\.(\d+)\.(.+)", name):
            place, rest = int(match[1]), match[2]
            inner = f"downsample.{rest}" if place % 2 else f"blocks.{rest}"
            inner = inner.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2.")
            name = f"backbone.layers.{place // 2}.{inner}"
            if name.endswith("relative_position_bias_table"):
                tensor = tensor.flatten(0, -2)
        elif name.startswith("head."):
            name = name.replace("head.", "cls_head.fc_cls.")
        else:
            name = f"backbone.{name}"
        renamed[name] = tensor
    return renamed


def _refuse_other_models(state: State, path: str | Path) -> None:
    if _FIRST_LAYER not in state or not _depths(state):
        some = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"{path}: it holds no Video Swin (its first tensors: {some}); checkpoints/README.md "
            "lists files that fit."
        )
    if state[_FIRST_LAYER].dim() != 5:
        raise CheckpointError(
            f"{path}: it holds a Swin for images, without time; checkpoints/README.md lists files "
            "for video."
        )


def _refuse_other_backbone(state: State, wanted: State, path: str | Path) -> None:
    """Every tensor of the backbone must be there in the right shape, and none be left over."""
    names = [n for n in (*wanted, *state) if n.startswith("backbone.")]
    wrong = [n for n in dict.fromkeys(names) if _shape(state, n) != _shape(wanted, n)]
    if not wrong:
        return
    if all(name.endswith("relative_position_bias_table") for name in wrong):
        raise CheckpointError(f"{path}: {_other_window(_bias_rows(state), _bias_rows(wanted))}")
    details = "; ".join(
        f"{n}: {_shape(state, n)} in the file, {_shape(wanted, n)} in the model" for n in wrong[:5]
    )
    raise CheckpointError(
        f"{path}: the file holds {_backbone_or_unknown(state)}, the model is "
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


def _depths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks per stage, counted from the names."""
    blocks = (re.match(r"backbone\.layers\.(\d+)\.blocks\.(\d+)\.", name) for name in state)
    seen = {(int(match[1]), int(match[2])) for match in blocks if match}
    stages = 1 + max((stage for stage, _ in seen), default=-1)
    return tuple(sum(stage == each for stage, _ in seen) for each in range(stages))


def _bias_rows(state: Mapping[str, Tensor]) -> set[int]:
    """Rows of the bias tables: they follow from the size of the attention windows."""
    return {len(t) for n, t in state.items() if n.endswith("relative_position_bias_table")}


def _other_window(rows: set[int], needed: set[int]) -> str:
    return (
        f"its attention windows are of another size (bias tables of {sorted(rows)} rows where "
        f"{sorted(needed)} are needed); use weights whose name says window877 or w877."
    )
