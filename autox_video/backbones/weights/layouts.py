"""Layouts of weight files: from the names and shapes that a file has to those of our models.

Our names are mmaction2's: `backbone.layers.<stage>.blocks.<block>...`, `backbone.norm<last stage>`,
`cls_head.fc_cls`. Image weights keep their shapes here until they are fitted into a model.

Shape letters: C channels, h heads, T, H, W time steps, rows and columns of an attention window,
N tokens of it. A bias table has a row per offset within a window: ((2T - 1) (2H - 1) (2W - 1), h),
that of an image ((2H - 1) (2W - 1), h).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.windows import table_rows
from autox_video.core.errors import CheckpointError

State = dict[str, Tensor]
Window = tuple[int, ...]
"""Time steps, rows and columns; of images rows and columns."""

FIRST_LAYER = "backbone.patch_embed.proj.weight"
"""Of a Swin."""
BIAS_TABLE = "relative_position_bias_table"
_INDEX = "relative_position_index"
_COMPUTED = (_INDEX, "attn_mask")
"""Entries that follow from the window size and are never taken from a file."""

_REFUSED = {
    r"\.(cpb_mlp|logit_scale)\b": "it holds a Swin v2, whose attention is computed in another way; "
    "use weights of Swin v1, whose names have no v2 or swinv2",
    r"(^|\.)absolute_pos_embed$": "it holds a Swin with absolute position embeddings, for which a "
    "Video Swin has no place; use weights that were trained without them",
    r"\.attn\.w_msa\.": "it is in the layout of mmpretrain, which orders merged patches in another "
    "way; use the official, timm's or torchvision's file of the same model",
}
"""By a pattern of names: what the file is, and what to use instead."""


@dataclass(frozen=True, slots=True)
class NamedWeights:
    """What a file holds, in mmaction2's naming."""

    tensors: State
    """All that is not computed from the window size."""
    indices: State
    """Which row of its bias table each two tokens of a window have, N * N, by the table's name."""
    layout: str
    """Whose naming the file has, in words."""

    @property
    def images(self) -> bool:
        """Whether the weights are for images: without time."""
        return FIRST_LAYER in self.tensors and self.tensors[FIRST_LAYER].dim() == 4

    @property
    def tables(self) -> State:
        """The bias tables, (rows, h)."""
        named = {n: t for n, t in self.tensors.items() if n.endswith(BIAS_TABLE)}
        return {name: table for name, table in named.items() if table.dim() == 2}


def named_weights(state: State) -> NamedWeights:
    """Name a file's tensors as mmaction2 does, and keep apart what only describes its windows.

    Raises:
        CheckpointError: they are of no layout that is known here.
    """
    state, layout = in_mmaction2_naming(state)
    tensors, indices = without_computed(state), indices_of(state)
    return NamedWeights(tensors, indices, layout)


def without_computed(state: Mapping[str, Tensor]) -> State:
    """All but what follows from the window size."""
    return {name: tensor for name, tensor in state.items() if not name.endswith(_COMPUTED)}


def indices_of(state: Mapping[str, Tensor]) -> State:
    """The relative position indices, by the names of the bias tables they are for."""
    return {
        name.removesuffix(_INDEX) + BIAS_TABLE: tensor
        for name, tensor in state.items()
        if name.endswith(_INDEX)
    }


def in_mmaction2_naming(state: State) -> tuple[State, str]:
    """The same tensors under mmaction2's names, and the layout they had, in words.

    Raises:
        CheckpointError: they are of no layout that is known here.
    """
    for pattern, sentence in _REFUSED.items():
        if any(re.search(pattern, name) for name in state):
            raise CheckpointError(f"{sentence}.")
    if FIRST_LAYER not in state and any(name.startswith("backbone.") for name in state):
        return state, "mmaction2"  # of another family
    layout = _layout_of(state)
    if layout.startswith("torchvision"):
        state = _from_torchvision(state, images="image" in layout)
    elif layout.startswith("timm"):
        state = _merging_last(state)
    if "patch_embed.proj.weight" in state:
        state = {_prefixed(name): tensor for name, tensor in state.items()}
    _refuse_other_models(state)
    last = f"backbone.norm{len(depths_of(state)) - 1}."
    state = {re.sub(r"^backbone\.norm\.", last, name): t for name, t in state.items()}
    return state, layout


def _layout_of(state: State) -> str:
    if "features.0.0.attn.qkv.weight" in state:
        return "torchvision"
    if "features.0.0.weight" in state:
        return "torchvision image Swin"
    first = state.get("patch_embed.proj.weight", state.get(FIRST_LAYER))
    if first is not None and first.dim() == 4:
        merging = {int(m[2]) for m in map(_MERGING.match, state) if m}
        return "timm image Swin" if merging and 0 not in merging else "official image Swin"
    if "patch_embed.proj.weight" in state:
        return "bare backbone"
    return "official Video Swin" if "backbone.norm.weight" in state else "mmaction2"


_MERGING = re.compile(r"((?:backbone\.)?layers\.)(\d+)(?=\.downsample\.)")


def _merging_last(state: State) -> State:
    """Since 0.9 timm merges patches at the start of a stage: ours do at the end of that before."""
    return {_MERGING.sub(lambda m: f"{m[1]}{int(m[2]) - 1}", n): t for n, t in state.items()}


def _from_torchvision(state: State, *, images: bool) -> State:
    """Entries of `features` are by turns a stage and the merging of patches after it.

    For images they begin with the patch embedding.
    """
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^features\.0\.0\.(?=\w+$)", "patch_embed.proj.", name)
        name = re.sub(r"^features\.0\.2\.(?=\w+$)", "patch_embed.norm.", name)
        if match := re.fullmatch(r"features\.(\d+)\.(.+)", name):
            number, rest = int(match[1]) - images, match[2]
            inner = f"downsample.{rest}" if number % 2 else f"blocks.{rest}"
            inner = inner.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2.")
            name = f"layers.{number // 2}.{inner}"
        renamed[name] = tensor
    return renamed


def _prefixed(name: str) -> str:
    """The name of a backbone's tensor or its head's within a recogniser."""
    head = re.match(r"head\.(fc\.)?", name)
    return f"cls_head.fc_cls.{name[head.end() :]}" if head else f"backbone.{name}"


def _refuse_other_models(state: State) -> None:
    if FIRST_LAYER not in state or not depths_of(state) or state[FIRST_LAYER].dim() not in (4, 5):
        some = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"it holds no Swin of a known layout (its first tensors: {some}); "
            "checkpoints/README.md lists files that fit."
        )


def depths_of(state: Iterable[str]) -> tuple[int, ...]:
    """Blocks per stage, counted from mmaction2's names."""
    matches = (re.match(r"backbone\.layers\.(\d+)\.blocks\.\d+\.", name) for name in state)
    blocks = {match[0]: int(match[1]) for match in matches if match}
    counts = Counter(blocks.values())
    return tuple(counts[stage] for stage in range(1 + max(counts, default=-1)))


def window_of(rows: int, index: Tensor | None, likely: Size, *, images: bool) -> Window:
    """The attention window that a bias table is made for.

    Args:
        rows: how many the table has.
        index: the row for each two tokens of a window, N * N in any shape; None: not known. Then
            the window is square, unless it can have `likely`'s H and W.
        likely: the window of the model; where several fit, one with its H and W is taken.
        images: whether a window has no time steps.

    Raises:
        CheckpointError: no window has such a table and such an index.
    """
    lengths = [n for n in range(1, rows // 2 + 2) if rows % (2 * n - 1) == 0]
    windows = [w for w in product(lengths, repeat=3) if _num_rows(w) == rows]
    if images:
        windows = [window for window in windows if window[0] == 1]
    if index is None:
        windows = [w for w in windows if w[1:] == likely[1:] or w[1] == w[2] > 1]
        windows.sort(key=lambda w: (w[0] == 1, -w[1]))  # with time, and large in space
    else:
        # The whole index is compared: rows in another order would be another table. A length of 1
        # leaves no trace in it: (8, 1, 1) has that of (1, 1, 8).
        windows = [w for w in windows if math.prod(w) ** 2 == index.numel()]
        windows = [w for w in windows if torch.equal(_index_of(w), index.flatten().long().cpu())]
    if not windows:
        tokens = "" if index is None else f" and {math.isqrt(index.numel())} tokens"
        raise CheckpointError(
            f"no attention window has bias tables of {rows} rows{tokens}; use weights whose bias "
            "tables are as they were published."
        )
    window = min(windows, key=lambda w: w[1:] != likely[1:])
    return window[1:] if images else window


def _index_of(window: Size) -> Tensor:
    return table_rows(window, window).flatten()


def _num_rows(window: Iterable[int]) -> int:
    return math.prod(2 * length - 1 for length in window)


def inflated_patches(weight: Tensor, steps: int) -> Tensor:
    """The patch embedding of images over time: (C, 3, H, W) → (C, 3, steps, H, W) float32.

    A clip that stands still gets the tokens of its frame (Carreira & Zisserman, "Quo Vadis, Action
    Recognition?", CVPR 2017, section 2.4).
    """
    return weight.float()[:, :, None].repeat(1, 1, steps, 1, 1) / steps


def resized_table(table: Tensor, window: Window, target: Size) -> Tensor:
    """A bias table for another window: bicubic over space, then linear over time.

    The table of an image is repeated for every offset in time, as in the official Video Swin. What
    needs no change is not touched: for the same window the values are the same bit by bit.

    Args:
        table: (rows of `window`, h).
        window: what the table is for: T, H and W, or of images H and W.
        target: what it shall be for.

    Returns:
        (rows of `target`, h) float32.
    """
    rows, columns = (2 * length - 1 for length in window[-2:])
    grid = table.float().view(-1, rows, columns, table.shape[1]).permute(0, 3, 1, 2)
    if window[-2:] != target[1:]:
        size = [2 * length - 1 for length in target[1:]]
        grid = F.interpolate(grid, size, mode="bicubic", align_corners=False)
    grid = _stretched(grid, 2 * target[0] - 1)
    return grid.permute(0, 2, 3, 1).reshape(-1, table.shape[1])


def _stretched(grid: Tensor, count: int) -> Tensor:
    """Sample (n, ...) along its first axis at `count` even places: middle to middle, end to end."""
    if count == len(grid):
        return grid
    step = (len(grid) - 1) / (count - 1) if count > 1 else 0.0
    positions = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
    positions = (positions * step + (len(grid) - 1) / 2).clamp(0, len(grid) - 1)
    before = positions.floor().long()
    after = (before + 1).clamp(max=len(grid) - 1)
    fraction = (positions - before).to(grid)[:, None, None, None]
    return grid[before].lerp(grid[after], fraction)
