"""Pretrained weights into a model, with a report of what was loaded, and which model they fit.

Image weights are inflated over time, and bias tables of other attention windows are resized; all
else must fit as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones.video_swin.spec import WINDOW_SIZE
from autox_video.backbones.weights.known_weights import Pretrained, known_file
from autox_video.backbones.weights.layouts import (
    BIAS_TABLE,
    FIRST_LAYER,
    NamedWeights,
    State,
    depths_of,
)
from autox_video.backbones.weights.reading import errors_about, read_weights
from autox_video.backbones.weights.resizing import (
    Window,
    inflated_patches,
    resized_table,
    window_of,
)
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError

ALIKE = 0.9
"""Share of all tensors of a file and a backbone that both must have to belong together."""
NAMED_MISFITS = 5


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
    resized: Mapping[str, tuple[Window, Window]]
    """Loaded bias tables of another attention window, in space for images: from which to which."""
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
            windows = dict.fromkeys(
                f"{_by(old)} to {_by(new)}" for old, new in self.resized.values()
            )
            text += f"; {len(self.resized)} bias tables resized from windows of "
            text += " and ".join(windows)
        if self.skipped:
            text += f"; left out {len(self.skipped)} of its head: {', '.join(self.skipped)}"
        if self.missing:
            text += f"; {len(self.missing)} of the new head start at random"
        return text + "."


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
    target = NamedWeights(model.state_dict())
    with errors_about(path):
        state, resized = _fit(weights, target)
        _refuse_other_backbone(state, target.tensors)
    backbone = {name: t for name, t in state.items() if name.startswith("backbone.")}
    model.load_state_dict(backbone, strict=False)
    return LoadReport(
        path=str(path),
        layout=weights.layout,
        backbone=_backbone_or_unknown(state),
        loaded=len(backbone),
        skipped=tuple(name for name in state if name not in backbone),
        missing=tuple(name for name in target.tensors if name not in backbone),
        resized=resized,
        inflated=weights.images,
    )


def _fit(
    weights: NamedWeights, target: NamedWeights
) -> tuple[State, dict[str, tuple[Window, Window]]]:
    """Return a file's tensors the shapes of a model's, as far as inflating and resizing can.

    Returns:
        The tensors, and by the name of each table that was resized its window and the model's.
    """
    state, resized = weights.tensors, {}
    shapes = {name: tensor.shape for name, tensor in target.tensors.items()}
    patches = shapes.get(FIRST_LAYER, ())
    if weights.images and patches[:2] + patches[3:] == state[FIRST_LAYER].shape:
        state[FIRST_LAYER] = inflated_patches(state[FIRST_LAYER], patches[2])
    for name, table in weights.tables.items():
        # One with another number of heads is of another backbone, and refused as it is.
        if shapes.get(name, ())[1:] == table.shape[1:]:
            new = window_of(shapes[name][0], target.index_of(name), WINDOW_SIZE, images=False)
            old = window_of(len(table), weights.index_of(name), new, images=weights.images)
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
    with errors_about(path):
        backbone = identify_backbone(weights.tensors)
        _refuse_other_backbone(weights.tensors, _backbone_state(backbone), images=weights.images)
        window = BACKBONES[backbone].window_size or WINDOW_SIZE
        if weights.tables and not weights.images:  # its own, so that nothing is resized
            name, table = next(iter(weights.tables.items()))
            window = window_of(len(table), weights.index_of(name), window, images=False)
    known = known_file(Path(path).name)
    return Pretrained(str(path), backbone, known.source if known else weights.layout, window)


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


def _backbone_or_unknown(state: Mapping[str, Tensor]) -> str:
    try:
        return identify_backbone(state)
    except CheckpointError:
        return "an unknown backbone"


@cache
def _backbone_state(name: str) -> State:
    """Names and shapes of a backbone's tensors, without values where that can be."""
    spec = BACKBONES[name]
    import_module(spec.module)
    try:
        with torch.device("meta"):
            state = MODELS.build(dict(spec.config)).state_dict()
    except RuntimeError:  # it reads values while it is built, as only a user's backbone does
        state = MODELS.build(dict(spec.config)).state_dict()
    return {f"backbone.{tensor_name}": tensor for tensor_name, tensor in state.items()}


def _shapes(state: Mapping[str, Tensor], *, images: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of a backbone's tensors, without what may differ: the windows, of images the time."""
    shapes = {}
    for name, tensor in NamedWeights(state).tensors.items():
        if name.startswith("backbone."):
            shapes[name] = tuple(tensor.shape[1:] if name.endswith(BIAS_TABLE) else tensor.shape)
    if images and len(shapes.get(FIRST_LAYER, ())) == 5:
        shapes[FIRST_LAYER] = shapes[FIRST_LAYER][:2] + shapes[FIRST_LAYER][3:]
    return shapes


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
