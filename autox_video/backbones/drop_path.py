"""Stochastic depth (Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016)."""

from collections.abc import Callable

import torch
from torch import Tensor


def add_branch(
    x: Tensor, branch: Callable[[Tensor], Tensor], *, drop_path: float, whole_batch: bool
) -> Tensor:
    """x + branch(x), the branch left out for some clips; where it is not, it counts for more.

    Args:
        x: (B, ...).
        branch: what is computed for each clip by itself.
        drop_path: probability that a clip's branch is left out; 0 outside of training.
        whole_batch: whether it is computed all the same, so that shapes never change.
    """
    if not drop_path:
        return x + branch(x)
    scale = 1 / (1 - drop_path)
    if whole_batch:
        kept = torch.rand(len(x), device=x.device) >= drop_path
        return x + branch(x) * (scale * kept).to(x).view(-1, *[1] * (x.dim() - 1))
    # On the CPU, so that a GPU need not be waited for.
    kept = torch.rand(len(x)) >= drop_path
    if kept.all():
        return torch.add(x, branch(x), alpha=scale)
    # A branch that no clip takes is run on one, for nothing: each weight gets a gradient.
    taken = kept.nonzero()[:, 0] if kept.any() else torch.zeros(1, dtype=torch.int64)
    taken = taken.to(x.device, non_blocking=True)
    added = branch(x.index_select(0, taken)).to(x.dtype)
    return x.index_add(0, taken, added, alpha=scale * bool(kept.any()))
