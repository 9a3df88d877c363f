"""Base classes for backbones with stochastic depth, mixed precision and checkpointing."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A residual block with stochastic depth (Huang et al., ECCV 2016).

    Args:
        drop_path: probability of dropping the branch for a clip during training.
    """

    def __init__(self, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.whole_batch = False
        """Whether to compute the branch even for dropped clips, which keeps tensor shapes fixed."""

    def add(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x + branch(x), of shape (B, ...).

        In training, the branch is randomly dropped for some clips and scaled up for the others.
        """
        drop_path = self.drop_path if self.training else 0.0
        if not drop_path:
            return x + branch(x)
        scale = 1 / (1 - drop_path)
        if self.whole_batch:
            keep = torch.rand(len(x), device=x.device) >= drop_path
            return x + branch(x) * (scale * keep).to(x).view(-1, *[1] * (x.dim() - 1))
        # Drawn on the CPU to avoid waiting for a GPU.
        keep = torch.rand(len(x)) >= drop_path
        if keep.all():
            return torch.add(x, branch(x), alpha=scale)
        # If no clip takes the branch, run one with scale 0 so that all weights get gradients.
        clips = keep.nonzero()[:, 0] if keep.any() else torch.zeros(1, dtype=torch.int64)
        clips = clips.to(x.device, non_blocking=True)
        added = branch(x.index_select(0, clips)).to(x.dtype)
        return x.index_add(0, clips, added, alpha=scale * bool(keep.any()))


class Backbone(BaseModule):
    """A backbone of residual blocks.

    Args:
        with_cp: whether to use activation checkpointing, which recomputes blocks in the backward
            pass; this saves memory at the cost of a second forward pass.
        precision: compute dtype, "float32", "bfloat16" or "float16"; the weights and output
            features are always float32.
        init_cfg: weight initialisation config in mmengine's format.
    """

    def __init__(
        self, *, with_cp: bool, precision: str, init_cfg: list[dict] | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.with_cp = with_cp
        self.dtype = getattr(torch, precision)
        # The range of float16 is too small for the sum of all blocks' outputs.
        self.sum_dtype = torch.float32 if self.dtype == torch.float16 else self.dtype
        self.frozen_stages = 0

    def blocks(self) -> Iterator[Block]:
        """Return all blocks in forward order."""
        return (module for module in self.modules() if isinstance(module, Block))

    def stage_modules(self) -> list[list[nn.Module]]:
        """Return the modules of each stage, or an empty list if the backbone cannot be frozen."""
        return []

    def freeze(self, stages: int) -> None:
        """Freeze the first stages: disable their gradients and keep them in evaluation mode."""
        self.frozen_stages = stages
        for module in self._frozen():
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> "Backbone":
        """Set training or evaluation mode, and keep frozen modules in evaluation mode."""
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
        """Set up torch.compile for each block; compilation happens on first use."""
        # All blocks share one code object, which is recompiled for each stage, shift and mode.
        limit = torch._dynamo.config
        limit.recompile_limit = max(limit.recompile_limit, 64)
        for block in self.blocks():
            block.whole_batch = True
            block.compile(dynamic=False)
