"""Base classes for backbones whose networks come from other libraries.

Shape letters: B clips, T frames, H and W height and width, N images, C channels, T', H' and W'
time steps, rows and columns of the feature map.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from autox_video.backbones.backbone import Backbone
from autox_video.backbones.lora import add_adapters, is_adapted, is_adapter

State = dict[str, Tensor]
Parts = list[tuple[nn.Module, bool]]
"""The parts of a network in forward order, each with a flag that is true for blocks."""
NET = "net."
"""Prefix added to the library's tensor names in a backbone's state dict."""
SHIFTED = 8
"""One in this many channels is shifted in each direction, as in TSM."""


class LibraryBackbone(Backbone):
    """A backbone that wraps a network from another library.

    Subclasses build the network and implement `features`. Mixed precision, freezing, layer-wise
    learning rate decay, activation checkpointing and compilation work for any network that is a
    sequence of blocks.

    Args:
        net: the library's network, without a classification head.
        with_cp, precision: see `Backbone`.
        compile: whether to compile the blocks with torch.compile.
        frozen_stages: number of leading blocks to freeze.
        lora: arguments `rank` and `layers` for `add_adapters`, which adds adapters and freezes all
            other weights; None to train the network's own weights.
        norm_eval: whether batch norms keep their pretrained statistics during training.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        with_cp: bool = False,
        precision: str = "float32",
        compile: bool = False,
        frozen_stages: int = 0,
        lora: Mapping[str, Any] | None = None,
        norm_eval: bool = False,
    ) -> None:
        super().__init__(with_cp=with_cp, precision=precision)
        self.net, self.norm_eval = net, norm_eval
        if lora:
            add_adapters(net, **lora)
        if compile:
            self.compile_blocks()
        if with_cp:
            for block in self.blocks():
                _checkpoint(block)
        self.freeze(frozen_stages)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""

    @property
    def name(self) -> str:
        """The class name of the network, for use in messages."""
        return type(self.net).__name__

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return the tensors of a published file under the network's tensor names.

        The result may contain tensors that the network lacks, such as a classification head.
        """
        return dict(state)

    def forward(self, x: Tensor) -> Tensor:
        """Return the float32 feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""
        mixes = self.dtype != torch.float32
        with torch.autocast(x.device.type, self.dtype) if mixes else nullcontext():
            return self.features(x).float()

    def init_weights(self) -> None:
        """Do nothing, since the library has already initialised the weights."""

    def parts(self) -> Parts:
        """Return the network's parts in forward order, each with a flag that is true for blocks.

        In a network without lists of blocks, every part counts as a block.
        """
        parts = chain(self.net)
        has_blocks = any(is_block for _, is_block in parts)
        return parts if has_blocks else [(part, True) for part, _ in parts]

    def blocks(self) -> Iterator[nn.Module]:
        """Return the network's blocks in forward order."""
        return (part for part, is_block in self.parts() if is_block)

    def shifted_layers(self) -> list[nn.Module]:
        """Return the layers before which `time_shift` shifts channels; empty if there are none."""
        return []

    def in_forward_order(self) -> Iterator[nn.Parameter]:
        """Return all parameters in forward order; those that belong to no part come first."""
        inside = dict.fromkeys(p for part, _ in self.parts() for p in part.parameters())
        yield from (p for p in self.parameters() if p not in inside)
        yield from inside

    def stage_modules(self) -> list[list[nn.Module]]:
        """Return the modules of each stage; a stage is a block and the layers up to the next block.

        The first stage includes all layers before the first block.
        """
        stages: list[list[nn.Module]] = [[]]
        found = False
        for part, is_block in self.parts():
            if is_block and found:
                stages.append([])
            found |= is_block
            stages[-1].append(part)
        return stages

    def freeze(self, stages: int) -> None:
        """Freeze the first stages and, unless `stages` is 0, all parameters outside the parts."""
        super().freeze(stages)
        if stages:
            inside = {p for part, _ in self.parts() for p in part.parameters()}
            for parameter in set(self.net.parameters()) - inside:
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> "LibraryBackbone":
        """Set the training mode, except for frozen stages and (with `norm_eval`) batch norms."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def compile_blocks(self) -> None:
        """Set up torch.compile for each block; compilation happens on first use."""
        limit = torch._dynamo.config
        limit.recompile_limit = max(limit.recompile_limit, 64)
        for block in self.blocks():
            block.forward = torch.compile(block.forward, dynamic=False)


class FrameBackbone(LibraryBackbone):
    """A backbone that applies an image network to each frame separately.

    The head combines the frame features over time, by averaging or by attention. With `time_shift`,
    the network itself combines them as well: before the first convolution of each residual branch,
    an eighth of the channels comes from the next frame, and another eighth from the previous frame
    (TSM, Lin et al. 2019, arXiv 1811.08383). The shift adds no weights. At both ends of a clip,
    where the paper inserts zeros, the channels stay unchanged, so that a clip of identical frames
    has the same features as without the shift.

    Args:
        net: the library's network, without a classification head.
        time_shift: whether to shift channels between frames.
        options: see LibraryBackbone.
    """

    def __init__(self, net: nn.Module, *, time_shift: bool = False, **options: Any) -> None:
        super().__init__(net, **options)
        self.time_shift = TimeShift()
        self.shifts = time_shift
        """Whether a frame's features depend on its neighbours."""
        if time_shift:
            for layer in self.shifted_layers():
                layer.register_forward_pre_hook(self.time_shift)

    @abstractmethod
    def frame_features(self, images: Tensor) -> Tensor:
        """Return feature maps (N, C, H', W') of images (N, 3, H, W)."""

    def features(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T, H', W') of clips (B, 3, T, H, W)."""
        clips, _, frames = x.shape[:3]
        self.time_shift.frames = frames
        images = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        maps = self.frame_features(images)
        return maps.unflatten(0, (clips, frames)).transpose(1, 2)


class TimeShift:
    """A forward pre-hook that shifts some channels of a layer's input between frames.

    Attributes:
        frames: number of frames per clip, T.
    """

    frames: int = 1

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        """Return the input (B*T, C, H, W) with a quarter of its channels shifted."""
        clips = inputs[0].unflatten(0, (-1, self.frames))
        count = clips.shape[2] // SHIFTED
        shifted = clips.clone()
        shifted[:, :-1, :count] = clips[:, 1:, :count]
        shifted[:, 1:, count : 2 * count] = clips[:, :-1, count : 2 * count]
        return shifted.flatten(0, 1)


def chain(net: nn.Module) -> Parts:
    """Return a network's parts in forward order, each with a flag that is true for blocks.

    The elements of a list of composite modules are blocks. Parts without parameters are left out.
    """
    parts: Parts = []
    for child in net.children():
        if _size(child) == 0:
            continue
        if _is_list(child):
            blocks = [part for element in child for part in _elements(element)]
            parts += [(block, True) for block in blocks if _size(block)]
        elif _holds_most_in_lists(child):
            parts += chain(child)
        else:
            parts.append((child, False))
    return parts


def _elements(module: nn.Module) -> list[nn.Module]:
    """Flatten nested lists of composite modules; return any other module as a single element."""
    if not _is_list(module):
        return [module]
    return [part for element in module for part in _elements(element)]


def _is_list(module: nn.Module) -> bool:
    """Return whether a module is a list of composite modules, such as the blocks of a stage."""
    is_list = isinstance(module, (nn.Sequential, nn.ModuleList))
    return is_list and any(map(_is_composite, module))


def _is_composite(module: nn.Module) -> bool:
    return next(module.children(), None) is not None and not is_adapted(module)


def _holds_most_in_lists(module: nn.Module) -> bool:
    lists = [child for child in module.children() if _is_list(child)]
    inner = [child for child in module.children() if not _is_list(child)]
    held = sum(map(_size, lists)) + sum(_size(m) for m in inner if _holds_most_in_lists(m))
    return 2 * held > _size(module)


def _size(module: nn.Module) -> int:
    # Adapters do not change what counts as a block.
    sizes = (p.numel() for name, p in module.named_parameters() if not is_adapter(name))
    return sum(sizes)


def _checkpoint(block: nn.Module) -> None:
    """Make a block recompute its activations in the backward pass."""
    forward = block.forward
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]

    def contexts():
        return nullcontext(), _without_statistics(norms)

    def recomputing(*args, **keys):
        if not torch.is_grad_enabled():
            return forward(*args, **keys)
        options = {"use_reentrant": False, "context_fn": contexts}
        return checkpoint(partial(forward, **keys), *args, **options)

    block.forward = recomputing


@contextmanager
def _without_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Keep batch norms from updating their statistics twice when a block is recomputed."""
    tracking = [norm for norm in norms if norm.training and norm.track_running_stats]
    momenta = [norm.momentum for norm in tracking]
    for norm in tracking:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(tracking, momenta, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked -= 1
