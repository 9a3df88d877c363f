"""Load pretrained weights into a model, and identify the backbone of a weight file.

Image weights are inflated over time, and bias tables for other attention windows are resized. All
other tensors must match the model in name and shape.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones.libraries.library_backbone import LibraryBackbone
from autox_video.backbones.lora import is_adapter
from autox_video.backbones.video_swin.spec import WINDOW_SIZE
from autox_video.backbones.weights.known_weights import Pretrained, known_file
from autox_video.backbones.weights.layouts import (
    BIAS_TABLE,
    FIRST_LAYER,
    NamedWeights,
    State,
    depths_of,
)
from autox_video.backbones.weights.library_weights import fitted
from autox_video.backbones.weights.reading import errors_about, read_weights
from autox_video.backbones.weights.resizing import (
    Window,
    inflated_patches,
    resized_table,
    window_of,
)
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError
from autox_video.core.wording import counted

ALIKE = 0.9
"""Minimum share of tensors that a weight file must have in common with a backbone."""
NAMED_MISFITS = 5
HEAD = ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Which tensors were loaded from a weight file into a model, under mmaction2's names."""

    path: str
    layout: str
    backbone: str
    loaded: int
    """Number of tensors that were loaded."""
    skipped: tuple[str, ...]
    """Head tensors in the file that were skipped because the file's head is for other classes."""
    missing: tuple[str, ...]
    """Model tensors, except adapters, that were not loaded and keep their random initialisation."""
    resized: Mapping[str, tuple[Window, Window]]
    """Old and new windows of resized bias tables, by name; image windows lack a time dimension."""
    inflated: bool
    """Whether the file contains image weights, which were inflated over time."""
    classes_kept: int = 0
    """Number of classes whose head weights were loaded from the file."""

    def sentence(self) -> str:
        """Return a summary for the user."""
        total = self.loaded + len(self.skipped)
        text = f"Loaded {self.loaded} of {total} tensors of {self.path} ({self.layout}"
        text += f", {self.backbone})"
        if self.inflated:
            text += "; image weights, inflated over time"
        if self.resized:
            windows = dict.fromkeys(
                f"{_by(old)} to {_by(new)}" for old, new in self.resized.values()
            )
            text += f"; {len(self.resized)} bias tables resized from windows of "
            text += " and ".join(windows)
        if self.classes_kept:
            text += f"; kept the head of {self.classes_kept} known classes"
        if self.skipped:
            head = counted(len(self.skipped), "head tensor")
            text += f"; skipped {head} of the file: {', '.join(self.skipped)}"
        if self.missing:
            text += f"; {counted(len(self.missing), 'tensor')} of the new head initialised randomly"
        return text + "."


def load_pretrained(
    model: nn.Module, path: str | Path, head_rows: Sequence[int] = ()
) -> LoadReport:
    """Load a weight file's backbone and the head weights of known classes into a recogniser.

    Head weights are specific to the classes of the pretraining data. Fine-tuning therefore starts
    with a new head unless `head_rows` maps the classes, even if the number of classes is the same.

    Args:
        model: an mmaction2 recogniser, with `backbone` and `cls_head`.
        path: a file in any layout that `read_weights` supports.
        head_rows: for each class of the model, the class index in the file; -1 for a new class.

    Raises:
        CheckpointError: the file cannot be read or contains a different backbone.
    """
    is_library = isinstance(model.backbone, LibraryBackbone)
    weights = read_weights(path, as_named=is_library)
    target = NamedWeights(model.state_dict())
    with errors_about(path):
        if is_library:
            state, resized = fitted(model, weights.tensors), {}
        else:
            state, resized = _fit(weights, target)
            _refuse_other_backbone(state, target.tensors)
    backbone = {name: t for name, t in state.items() if name.startswith("backbone.")}
    head = _head_of_known(state, target.tensors, head_rows)
    loaded = backbone | head
    model.load_state_dict(loaded, strict=False)
    return LoadReport(
        path=str(path),
        layout=weights.layout,
        backbone=model.backbone.name if is_library else _backbone_or_unknown(state),
        loaded=len(loaded),
        skipped=tuple(name for name in state if name not in loaded),
        missing=tuple(n for n in target.tensors if n not in loaded and not is_adapter(n)),
        resized=resized,
        inflated=weights.images,
        classes_kept=sum(row >= 0 for row in head_rows) if head else 0,
    )


def _head_of_known(state: State, target: State, head_rows: Sequence[int]) -> State:
    """Return head weights with known classes loaded; empty if the two heads are incompatible."""
    if max(head_rows, default=-1) < 0 or not all(
        name in state
        and name in target
        and state[name].shape[1:] == target[name].shape[1:]
        and len(state[name]) > max(head_rows)
        and len(target[name]) == len(head_rows)
        for name in HEAD
    ):
        return {}
    head = {name: target[name].clone() for name in HEAD}
    for name, tensor in head.items():
        for row, old in enumerate(head_rows):
            if old >= 0:
                tensor[row] = state[name][old]
    return head


def _fit(
    weights: NamedWeights, target: NamedWeights
) -> tuple[State, dict[str, tuple[Window, Window]]]:
    """Inflate and resize a file's tensors to the model's shapes where possible.

    Returns:
        The tensors by name, and the old and new windows of resized bias tables by name.
    """
    state, resized = weights.tensors, {}
    shapes = {name: tensor.shape for name, tensor in target.tensors.items()}
    patches = shapes.get(FIRST_LAYER, ())
    if weights.images and patches[:2] + patches[3:] == state[FIRST_LAYER].shape:
        state[FIRST_LAYER] = inflated_patches(state[FIRST_LAYER], patches[2])
    for name, table in weights.tables.items():
        # If the number of heads differs, so does the backbone, and the file is rejected later.
        if shapes.get(name, ())[1:] == table.shape[1:]:
            new = window_of(shapes[name][0], target.index_of(name), WINDOW_SIZE, images=False)
            old = window_of(len(table), weights.index_of(name), new, images=weights.images)
            state[name] = resized_table(table, old, new)
            if old != new[-len(old) :]:
                resized[name] = old, new
    return state, resized


def identify_file(path: str | Path) -> Pretrained:
    """Return the backbone and attention window of a weight file.

    Raises:
        CheckpointError: the file cannot be read or does not match any backbone.
    """
    weights = read_weights(path)
    with errors_about(path):
        backbone = identify_backbone(weights.tensors)
        _refuse_other_backbone(weights.tensors, _backbone_state(backbone), images=weights.images)
        window = BACKBONES[backbone].window_size or WINDOW_SIZE
        if weights.tables and not weights.images:  # use its own window, to avoid resizing
            name, table = next(iter(weights.tables.items()))
            window = window_of(len(table), weights.index_of(name), window, images=False)
    known = known_file(Path(path).name)
    return Pretrained(str(path), backbone, known.source if known else weights.layout, window)


def identify_backbone(state: Mapping[str, Tensor]) -> str:
    """Return the backbone that has nearly all tensors in common with a state dict.

    Raises:
        CheckpointError: no backbone matches.
    """
    names = [name for name in BACKBONES if BACKBONES[name].learns]
    shapes = _shapes(state, images=True).items()
    for name in names:
        ours = _shapes(_backbone_state(name), images=True).items()
        if len(shapes & ours) > ALIKE * len(shapes | ours):
            return name
    what = "its backbone"
    if FIRST_LAYER in state:
        depths = "-".join(map(str, depths_of(state)))
        what = f"a Swin of width {len(state[FIRST_LAYER])} and depths {depths}"
    raise CheckpointError(f"{what} is unknown; use weights of one of {', '.join(names)}.")


def _backbone_or_unknown(state: Mapping[str, Tensor]) -> str:
    try:
        return identify_backbone(state)
    except CheckpointError:
        return "an unknown backbone"


@cache
def _backbone_state(name: str) -> State:
    """Return a backbone's state dict, on the meta device (without values) if possible."""
    spec = BACKBONES[name]
    import_module(spec.module)
    try:
        with torch.device("meta"):
            state = MODELS.build(dict(spec.config)).state_dict()
    except RuntimeError:  # a user-defined backbone may need values while it is built
        state = MODELS.build(dict(spec.config)).state_dict()
    return {f"backbone.{tensor_name}": tensor for tensor_name, tensor in state.items()}


def _shapes(state: Mapping[str, Tensor], *, images: bool) -> dict[str, tuple[int, ...]]:
    """Return a backbone's tensor shapes, ignoring window sizes and, for image weights, time."""
    shapes = {}
    for name, tensor in NamedWeights(state).tensors.items():
        if name.startswith("backbone."):
            shapes[name] = tuple(tensor.shape[1:] if name.endswith(BIAS_TABLE) else tensor.shape)
    if images and len(shapes.get(FIRST_LAYER, ())) == 5:
        shapes[FIRST_LAYER] = shapes[FIRST_LAYER][:2] + shapes[FIRST_LAYER][3:]
    return shapes


def _refuse_other_backbone(state: State, wanted: State, *, images: bool = False) -> None:
    """Raise CheckpointError unless all backbone tensors match in name and shape."""
    theirs, ours = _shapes(state, images=images), _shapes(wanted, images=images)
    wrong = [n for n in {**ours, **theirs} if theirs.get(n) != ours.get(n)]
    if not wrong:
        return
    details = "; ".join(
        f"{name}: {_shape(state, name)} in the file, {_shape(wanted, name)} in the model"
        for name in wrong[:NAMED_MISFITS]
    )
    raise CheckpointError(
        f"the file contains {_backbone_or_unknown(state)}, but the model is "
        f"{_backbone_or_unknown(wanted)}: {len(wrong)} tensors do not match ({details}). Set "
        "backbone to the one in the file, or load_from to a matching file."
    )


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return _by(state[name].shape) if name in state else "none"


def _by(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))
