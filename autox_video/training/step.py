"""A training step, with gradient accumulation if memory is short."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from autox_video.core.errors import ResourceError
from autox_video.distributed import processes
from autox_video.training.checkpoints.model_state import unwrapped
from autox_video.training.memory import (
    NEVER,
    NOT_EVEN_ONE,
    is_out_of_memory,
    read_accumulation,
    write_accumulation,
)


class TrainStep:
    """Run the forward pass, the backward pass and the optimizer step for one batch.

    Random numbers depend only on the seed, the step and the rank. A step that does not fit in
    memory is repeated with twice as many gradient accumulation parts, without changing the result.

    Args:
        runner: mmengine's runner with the model and the optimizer.
        accumulation: initial number of gradient accumulation parts; a larger number stored in the
            work dir takes precedence.
        seed: random seed.

    Raises:
        ResourceError: a single clip does not fit in the memory of one of several processes.
    """

    def __init__(self, runner, *, accumulation: int, seed: int) -> None:
        self.runner = runner
        self.seed = seed
        self.processes = processes.current()
        self.accumulation = max(accumulation, processes.run_on_rank_zero(self._remembered))

    def __call__(self, number: int, batch: dict[str, Any], weight: float) -> dict[str, Tensor]:
        """Run a training step; return loss and top-1 accuracy over the clips of all processes.

        Args:
            number: step number, counted from 0 at the start of the run.
            batch: input for the data preprocessor.
            weight: weight for this process's mean loss, chosen so that the average over processes
                is the mean over all clips.
        """
        while True:
            try:
                return self._try(number, batch, weight)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # This is outside the except clause, which would keep the failed step's tensors alive.
            self._use_less_memory(len(batch["inputs"]))

    def _try(self, number: int, batch: dict[str, Any], weight: float) -> dict[str, Tensor]:
        model, optimizer = self.runner.model, self.runner.optim_wrapper
        entropy = [self.seed, number, self.processes.rank, 2]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        data = unwrapped(model).data_preprocessor(batch, training=True)
        clips, totals = len(data["inputs"]), 0.0
        for part in _parts(clips, self.accumulation):
            part_weight = weight * (part.stop - part.start) / clips
            with self._exchange(last=part.stop == clips):
                losses = model(**{k: values[part] for k, values in data.items()}, mode="loss")
                loss, _ = unwrapped(model).parse_losses(losses)
                optimizer.backward(loss * part_weight)
            figures = [loss, *(losses[key] for key in ("top1_acc",) if key in losses)]
            totals = totals + part_weight * torch.stack([f.detach().float() for f in figures])
        if self.processes.size > 1:
            distributed.all_reduce(totals)
            totals = totals / self.processes.size
        optimizer.step(loss=totals[0])
        optimizer.zero_grad()
        return dict(zip(("loss", "top1_acc"), totals, strict=False))

    def _exchange(self, *, last: bool) -> contextlib.AbstractContextManager:
        """Return a context manager that synchronises gradients only in the last part."""
        if last or not isinstance(self.runner.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.runner.model.no_sync()

    def _remembered(self) -> int:
        folder = Path(self.runner.work_dir)
        parts = read_accumulation(folder) or 1
        if parts == NEVER:
            write_accumulation(folder, 1)  # the next run may have more memory
            raise ResourceError(NOT_EVEN_ONE)
        return parts

    def _use_less_memory(self, clips: int) -> None:
        several, folder = self.processes.size > 1, Path(self.runner.work_dir)
        if self.accumulation >= clips:
            if several:
                # An error raised here would leave the other processes waiting, so all processes
                # raise it after a restart.
                write_accumulation(folder, NEVER)
                raise SystemExit(processes.OUT_OF_MEMORY)
            raise ResourceError(NOT_EVEN_ONE)
        self.accumulation = min(2 * self.accumulation, clips)
        try:
            write_accumulation(folder, self.accumulation)
        except ResourceError:
            if several:
                raise  # after a restart the new number of parts would be unknown
        sentence = (
            f"Out of memory: from now on each step is done in {self.accumulation} parts (gradient "
            "accumulation). Steps take longer; the result is the same."
        )
        self.runner.call_hook("on_trouble", sentence=sentence)
        if several:
            # The other processes are waiting for gradients that will not arrive.
            raise SystemExit(processes.OUT_OF_MEMORY)
        self.runner.optim_wrapper.zero_grad()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _parts(clips: int, count: int) -> Iterator[slice]:
    for number in range(count := min(count, clips)):
        yield slice(clips * number // count, clips * (number + 1) // count)


def compiled_for(model: nn.Module, *, is_full: bool) -> contextlib.AbstractContextManager:
    """Return a context manager that disables compiled code for batches that are not full.

    The last batch of an epoch is usually smaller. torch.compile would take about a minute to
    recompile for the smaller shape, so smaller batches run uncompiled. Which batches are smaller
    depends only on the clip order, so a resumed run gives the same result as an uninterrupted run.
    """
    if is_full or not any(part._compiled_call_impl is not None for part in model.modules()):
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")
