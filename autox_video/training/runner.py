"""mmengine's Runner with what this project writes itself left out, and the log of a run."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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

from autox_video.core.errors import ResourceError
from autox_video.distributed import processes
from autox_video.run.work_dir import LOG
from autox_video.training.checkpoints.model_state import is_sharded
from autox_video.training.config.build_config import config_text

LOGGER = "autox_video"


@RUNNERS.register_module()
class ClipRunner(Runner):
    """A Runner whose work dir holds the contract's files and nothing else.

    mmengine's own messages go to `run_log`; what the user sees comes from our hooks.
    """

    @property
    def timestamp(self) -> str:
        """Nothing: mmengine would make a folder of this name in the work dir."""
        return ""

    def build_logger(self, log_level: int | str = "INFO", **kwargs) -> MMLogger:
        """The logger of all runs: errors go to the terminal."""
        return _logger()

    def register_custom_hooks(self, hooks: Sequence[Hook | dict]) -> None:
        """Leave what the user sees to the main process."""
        if not processes.current().is_main:
            hooks = [hook for hook in hooks if hook["type"] != "Progress"]
        super().register_custom_hooks(hooks)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Put the model on this process's device, and share it with the others."""
        device, several = torch.device(self.cfg.get("device", "cpu")), processes.current().size > 1
        if not several:
            return model.to(device)
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if self.cfg.get("strategy") == "fsdp":
            # In main memory, and the same in each process: all of it may not fit on a GPU.
            model.init_weights()
            # What is left is told of the device; nothing moves any more.
            return shard(model, device.type).to(device)
        with warnings.catch_warnings():
            # The name that replaces `broadcast_buffers` is not in the oldest PyTorch we take.
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
        """Write nothing: config.py was written before, and is what this run was built from."""

    def _log_env(self, env_cfg: dict) -> None:
        # mmengine asks compilers for their versions here, which takes seconds.
        self.logger.info("Config:\n%s", config_text(self.cfg))


def shard(model: nn.Module, device_type: str) -> nn.Module:
    """Leave each process a part of each weight (FSDP): blocks are put together when they compute.

    The model is changed in place; it computes the same. It comes from main memory, and goes to the
    device block by block: no device ever holds more than a block and its own part of the others.
    """
    mesh = init_device_mesh(device_type, (processes.current().size,))
    for block in model.backbone.blocks():
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@contextmanager
def run_log(work_dir: str) -> Iterator[None]:
    """Within the block the main process appends what is logged to the work dir's train.log.

    Raises:
        ResourceError: it cannot be opened.
    """
    if not processes.current().is_main:
        yield
        return
    path = Path(work_dir, LOG)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = _LogFile(open(path, "a", encoding="utf-8"))  # noqa: SIM115
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror}).") from error
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = _logger()
    logger.addHandler(log)
    try:
        yield
    finally:
        logger.removeHandler(log)
        log.close()


def _logger() -> MMLogger:
    logger = MMLogger.get_instance(LOGGER)
    for handler in logger.handlers:
        if not isinstance(handler, _LogFile):
            handler.setLevel(logging.ERROR)
    return logger


class _LogFile(logging.StreamHandler):
    """Appends to a file, and says nothing where there is no room for it.

    Not a FileHandler: mmengine writes to the files of those by itself, and fails with them.
    """

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            self.stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass
