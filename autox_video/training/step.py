"""One step of training: in parts where memory asks for it, shared by several processes."""

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
    """Forward, backward and update on one batch.

    What is drawn at random depends on the seed, the number of the step and the process alone. A
    step that does not fit in memory is done again in twice as many parts; the gradients of parts
    add up to those of the whole.

    Args:
        runner: mmengine's, with model and optimizer.
        accumulation: parts to begin with; more where the work dir remembers that it took more.
        seed: of all that is random.

    Raises:
        ResourceError: one of several processes found that not even one clip fits.
    """

    def __init__(self, runner, *, accumulation: int, seed: int) -> None:
        self.runner = runner
        self.seed = seed
        self.processes = processes.current()
        self.accumulation = max(accumulation, processes.run_on_rank_zero(self._remembered))

    def __call__(self, number: int, batch: dict[str, Any], weight: float) -> dict[str, Tensor]:
        """Do step `number`; returns its loss and top-1 accuracy over the clips of all processes.

        Args:
            number: counted from 0 over the whole run.
            batch: what the data preprocessor takes.
            weight: of the mean over these clips, for the mean over the processes to be that over
                all clips.
        """
        while True:
            try:
                return self._try(number, batch, weight)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Behind the except clause, which keeps what the failed step had computed.
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
        """Gradients travel between processes once a step, when they are complete."""
        if last or not isinstance(self.runner.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.runner.model.no_sync()

    def _remembered(self) -> int:
        folder = Path(self.runner.work_dir)
        parts = read_accumulation(folder) or 1
        if parts == NEVER:
            write_accumulation(folder, 1)  # there may be more memory the next time
            raise ResourceError(NOT_EVEN_ONE)
        return parts

    def _use_less_memory(self, clips: int) -> None:
        several, folder = self.processes.size > 1, Path(self.runner.work_dir)
        if self.accumulation >= clips:
            if several:
                # Raised here alone it would leave the others waiting; all see it when they start.
                write_accumulation(folder, NEVER)
                raise SystemExit(processes.OUT_OF_MEMORY)
            raise ResourceError(NOT_EVEN_ONE)
        self.accumulation = min(2 * self.accumulation, clips)
        try:
            write_accumulation(folder, self.accumulation)
        except ResourceError:
            if several:
                raise  # those that start again would not know
        sentence = (
            f"Out of memory: steps are done in {self.accumulation} parts from now on, which takes "
            "longer and gives the same."
        )
        self.runner.call_hook("on_trouble", sentence=sentence)
        if several:
            # The others wait for gradients that will not come.
            raise SystemExit(processes.OUT_OF_MEMORY)
        self.runner.optim_wrapper.zero_grad()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _parts(clips: int, count: int) -> Iterator[slice]:
    for number in range(count := min(count, clips)):
        yield slice(clips * number // count, clips * (number + 1) // count)


def compiled_for(model: nn.Module, *, is_full: bool) -> contextlib.AbstractContextManager:
    """Within the block what is compiled of a model runs compiled for full batches alone.

    The last batch of an epoch is mostly smaller. Blocks are compiled anew for each shape, which
    takes a minute: such a batch is computed without. Which ones these are follows from the order
    of the clips alone, so that a resumed run computes as one that never stopped.
    """
    if is_full or not any(part._compiled_call_impl is not None for part in model.modules()):
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")
