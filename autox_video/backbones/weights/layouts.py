"""Recognise the layout of a weight file, and map its tensor names to those of our models.

Our models use mmaction2's tensor names, such as `backbone.layers.<stage>.blocks.<block>...`,
`backbone.norm<last stage>` and `cls_head.fc_cls`. Only names are changed here, not tensor shapes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from autox_video.core.errors import CheckpointError

State = dict[str, Tensor]

FIRST_LAYER = "backbone.patch_embed.proj.weight"
"""Name of the first layer's weight in a Swin Transformer."""
BIAS_TABLE = "relative_position_bias_table"
_INDEX = "relative_position_index"
_COMPUTED = (_INDEX, "attn_mask")
"""State dict entries that are computed from the window size and therefore never loaded."""

_REFUSED = {
    r"\.(cpb_mlp|logit_scale)\b": "it contains a Swin v2, whose attention differs; use weights of "
    "Swin v1, whose file names do not contain v2 or swinv2",
    r"(^|\.)absolute_pos_embed$": "it contains a Swin with absolute position embeddings, which "
    "Video Swin does not have; use weights trained without them",
    r"\.attn\.w_msa\.": "it is in mmpretrain's layout, which merges patches in a different order; "
    "use the official, timm or torchvision file of the same model",
}
"""Error messages for unsupported layouts, keyed by regular expressions for tensor names."""
_MERGING = re.compile(r"((?:backbone\.)?layers\.)(\d+)(?=\.downsample\.)")


@dataclass(frozen=True, slots=True)
class NamedWeights:
    """The weights of a file or a model, under mmaction2's tensor names."""

    state: Mapping[str, Tensor]
    layout: str = "mmaction2"
    """Original layout of the file, shown in messages."""

    @property
    def tensors(self) -> State:
        """All tensors except those computed from the window size."""
        return {n: tensor for n, tensor in self.state.items() if not n.endswith(_COMPUTED)}

    @property
    def tables(self) -> State:
        """The relative position bias tables (rows, h) by name."""
        items = self.state.items()
        return {name: t for name, t in items if name.endswith(BIAS_TABLE) and t.dim() == 2}

    def index_of(self, table: str) -> Tensor | None:
        """Return the bias table row of each pair of tokens in a window; None if unknown."""
        return self.state.get(table.removesuffix(BIAS_TABLE) + _INDEX)

    @property
    def images(self) -> bool:
        """Whether the weights are image weights, which have no time dimension."""
        return FIRST_LAYER in self.state and self.state[FIRST_LAYER].dim() == 4


def depths_of(names: Iterable[str]) -> tuple[int, ...]:
    """Return the number of blocks in each stage, given mmaction2's tensor names."""
    matches = (re.match(r"backbone\.layers\.(\d+)\.blocks\.\d+\.", name) for name in names)
    stage_of_block = {match[0]: int(match[1]) for match in matches if match}
    counts = Counter(stage_of_block.values())
    return tuple(counts[stage] for stage in range(1 + max(counts, default=-1)))


def named_weights(state: State) -> NamedWeights:
    """Rename a file's tensors to mmaction2's names.

    Raises:
        CheckpointError: the layout is unknown or not supported.
    """
    for pattern, sentence in _REFUSED.items():
        if any(re.search(pattern, name) for name in state):
            raise CheckpointError(f"{sentence}.")
    if FIRST_LAYER not in state and any(name.startswith("backbone.") for name in state):
        return NamedWeights(state)  # another backbone family
    layout = _layout_of(state)
    if layout.startswith("torchvision"):
        images = "image" in layout
        state = {_from_torchvision(name, images=images): t for name, t in state.items()}
    elif layout.startswith("timm"):
        # Since 0.9, timm merges patches at the start of a stage; ours are merged before it.
        state = {_MERGING.sub(lambda m: f"{m[1]}{int(m[2]) - 1}", n): t for n, t in state.items()}
    if "patch_embed.proj.weight" in state:
        state = {_prefixed(name): tensor for name, tensor in state.items()}
    depths = depths_of(state)
    if FIRST_LAYER not in state or not depths or state[FIRST_LAYER].dim() not in (4, 5):
        names = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"it does not contain a Swin in a known layout (its first tensors: {names}); "
            "`autox-video weights list` shows supported files."
        )
    last = f"backbone.norm{len(depths) - 1}."
    state = {re.sub(r"^backbone\.norm\.", last, name): t for name, t in state.items()}
    return NamedWeights(state, layout)


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


def _from_torchvision(name: str, *, images: bool) -> str:
    """Return mmaction2's name for a tensor in torchvision's layout.

    In torchvision's `features`, stages alternate with patch merging layers. In image models,
    `features` starts with the patch embedding.
    """
    if match := re.fullmatch(r"features\.0\.(0|2)\.(\w+)", name):
        return f"patch_embed.{'proj' if match[1] == '0' else 'norm'}.{match[2]}"
    match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
    if match is None:
        return name
    stage, is_merging = divmod(int(match[1]) - images, 2)
    rest = match[2].replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2.")
    return f"layers.{stage}.{'downsample' if is_merging else 'blocks'}.{rest}"


def _prefixed(name: str) -> str:
    """Return a recogniser's full name for a tensor of the backbone or head."""
    head = re.match(r"head\.(fc\.)?", name)
    return f"cls_head.fc_cls.{name[head.end() :]}" if head else f"backbone.{name}"
