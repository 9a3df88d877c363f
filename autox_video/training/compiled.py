"""Compiled blocks, and the batches that they are not worth compiling for."""

import contextlib

import torch
from torch import nn


def compiled_for(model: nn.Module, *, is_full: bool) -> contextlib.AbstractContextManager:
    """Within the block what is compiled of a model runs compiled for full batches alone.

    The last batch of an epoch is mostly smaller. Blocks are compiled anew for each shape, which
    takes a minute: such a batch is computed without. Which ones these are follows from the order
    of the clips alone, so that a run that goes on computes as one that never stopped.
    """
    if is_full or not any(part._compiled_call_impl is not None for part in model.modules()):
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")
