"""The log of a run, and an mmengine Runner without mmengine's usual files and messages."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from autox_video.core.console import LOGGER
from autox_video.core.run_log import LogFile, log_file
from autox_video.distributed import processes
from autox_video.run.work_dir import LOG
from autox_video.training.checkpoints.model_state import is_sharded
from autox_video.training.config.build_config import config_text


@RUNNERS.register_module()
class ClipRunner(Runner):
    """An mmengine Runner that writes no additional files to the work dir.

    Messages from mmengine go to `run_log`; messages for the user come from our hooks.
    """

    @property
    def timestamp(self) -> str:
        """An empty string, because mmengine would create a folder named after the timestamp."""
        return ""

    def build_logger(self, log_level: int | str = "INFO", **kwargs) -> MMLogger:
        """Return the logger shared by all runs; errors also go to the terminal."""
        return _logger()

    def register_custom_hooks(self, hooks: Sequence[Hook | dict]) -> None:
        """Register the hooks; `Progress` is registered only in the main process."""
        if not processes.current().is_main:
            hooks = [hook for hook in hooks if hook["type"] != "Progress"]
        super().register_custom_hooks(hooks)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Return the model on its device, wrapped for distributed training if necessary."""
        device, several = torch.device(self.cfg.get("device", "cpu")), processes.current().size > 1
        if not several:
            return model.to(device)
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if self.cfg.get("strategy") == "fsdp":
            # Each process initialises the same weights in main memory, since the whole model may
            # not fit on a GPU.
            model.init_weights()
            # `to` moves no weights; it only sets the device of the other parts.
            return shard(model, device.type).to(device)
        with warnings.catch_warnings():
            # The oldest supported PyTorch lacks the argument that replaces `broadcast_buffers`.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                model.to(device),
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )

    def _init_model_weights(self) -> None:
        if not is_sharded(self.model):
            super()._init_model_weights()

    def dump_config(self) -> None:
        """Do nothing, since config.py has already been written."""

    def _log_env(self, env_cfg: dict) -> None:
        # mmengine's version queries compilers, which takes seconds.
        self.logger.info("Config:\n%s", config_text(self.cfg))


def shard(model: nn.Module, device_type: str) -> nn.Module:
    """Shard a model over all processes (FSDP), in place, and return the model.

    The weights are moved from main memory to the device block by block, so a device never holds
    more than one full block in addition to the shards.
    """
    mesh = init_device_mesh(device_type, (processes.current().size,))
    for block in model.backbone.blocks():
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@contextmanager
def run_log(work_dir: str) -> Iterator[None]:
    """Write mmengine's messages to train.log during the `with` block, in the main process only.

    Our own messages are also written to train.log, unless the command has already opened a log (see
    `log_file`).

    Raises:
        ResourceError: train.log cannot be opened.
    """
    if not processes.current().is_main:
        yield
        return
    with log_file(Path(work_dir, LOG)) as handler:
        logger = _logger()
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


def _logger() -> MMLogger:
    logger = MMLogger.get_instance(LOGGER)
    for handler in logger.handlers:
        if not isinstance(handler, LogFile):
            handler.setLevel(logging.ERROR)
    return logger
