"""Base classes of backbones: stochastic depth, precision, activation checkpointing."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A residual block with stochastic depth (Huang et al., ECCV 2016).

    Args:
        drop_path: probability that a branch is dropped for a clip in training.
    """

    def __init__(self, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.whole_batch = False
        """Whether dropped branches are computed nevertheless, so that shapes never change."""

    def add(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x + branch(x), (B, ...), with the branch dropped for some clips and scaled up."""
        drop_path = self.drop_path if self.training else 0.0
        if not drop_path:
            return x + branch(x)
        scale = 1 / (1 - drop_path)
        if self.whole_batch:
            keep = torch.rand(len(x), device=x.device) >= drop_path
            return x + branch(x) * (scale * keep).to(x).view(-1, *[1] * (x.dim() - 1))
        # On the CPU, to avoid waiting for a GPU.
        keep = torch.rand(len(x)) >= drop_path
        if keep.all():
            return torch.add(x, branch(x), alpha=scale)
        # If no clip takes the branch, one runs with scale 0, so that all weights get gradients.
        clips = keep.nonzero()[:, 0] if keep.any() else torch.zeros(1, dtype=torch.int64)
        clips = clips.to(x.device, non_blocking=True)
        added = branch(x.index_select(0, clips)).to(x.dtype)
        return x.index_add(0, clips, added, alpha=scale * bool(keep.any()))


class Backbone(BaseModule):
    """A backbone of residual blocks.

    Args:
        with_cp: activation checkpointing: whether blocks are recomputed in the backward pass,
            which saves memory and costs a second forward pass.
        precision: dtype of the computation, "float32", "bfloat16" or "float16"; weights and
            output features are always float32.
        init_cfg: mmengine's initialisation.
    """

    def __init__(
        self, *, with_cp: bool, precision: str, init_cfg: list[dict] | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.with_cp = with_cp
        self.dtype = getattr(torch, precision)
        # The range of float16 is too small for the sum over all blocks.
        self.sum_dtype = torch.float32 if self.dtype == torch.float16 else self.dtype
        self.frozen_stages = 0

    def blocks(self) -> Iterator[Block]:
        """Return all blocks in forward order."""
        return (module for module in self.modules() if isinstance(module, Block))

    def stage_modules(self) -> list[list[nn.Module]]:
        """The modules of each stage, from the first to the last; none: it cannot be frozen."""
        return []

    def freeze(self, stages: int) -> None:
        """Stop training the first stages: no gradients, and evaluation mode at all times."""
        self.frozen_stages = stages
        for module in self._frozen():
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode of everything that is not frozen."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        return [module for stage in self.stage_modules()[: self.frozen_stages] for module in stage]

    def run_block(self, block: Block, x: Tensor, *arguments: Any) -> Tensor:
        """Return block(x, *arguments), with activation checkpointing if enabled."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, x, *arguments, use_reentrant=False)
        return block(x, *arguments)

    def compile_blocks(self) -> None:
        """Let torch compile each block on first use."""
        # All blocks share one code object, so there is a variant per stage, shift and mode.
        limit = torch._dynamo.config
        limit.recompile_limit = max(limit.recompile_limit, 64)
        for block in self.blocks():
            block.whole_batch = True
            block.compile(dynamic=False)
