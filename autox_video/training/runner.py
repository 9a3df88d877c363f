"""mmengine's Runner with what this project writes itself left out."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

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


@RUNNERS.register_module()
class ClipRunner(Runner):
    """A Runner whose work dir holds the contract's files and nothing else.

    mmengine's own log goes to `train.log`; what the user sees comes from our hooks.
    """

    _logs: ClassVar[list[tuple[MMLogger, "_LogFile"]]] = []
    """Those that are open: mmengine keeps a logger for ever, and gives it to the next run too."""

    @property
    def timestamp(self) -> str:
        """Nothing: mmengine would make a folder of this name in the work dir."""
        return ""

    def build_logger(self, log_level: int | str = "INFO", **kwargs) -> MMLogger:
        """mmengine's logger: everything to `train.log`, errors to the terminal as well."""
        logger = MMLogger.get_instance(self._experiment_name, log_level=log_level)
        for handler in logger.handlers:
            handler.setLevel(logging.ERROR)
        if processes.current().is_main:
            self._logs.append((logger, _log_to(Path(self.work_dir, LOG))))
            logger.addHandler(self._logs[-1][1])
        return logger

    @classmethod
    @contextmanager
    def closed_behind(cls) -> Iterator[None]:
        """Close behind the block what runners in it have opened, one that failed at its start too.

        The logs of one run are then not those of the next.
        """
        try:
            yield
        finally:
            while cls._logs:
                logger, log = cls._logs.pop()
                logger.removeHandler(log)
                log.close()

    def register_custom_hooks(self, hooks: Sequence[Hook | dict]) -> None:
        """Leave what the user sees to the main process."""
        if not processes.current().is_main:
            hooks = [hook for hook in hooks if hook["type"] != "Progress"]
        super().register_custom_hooks(hooks)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Put the model on this process's device, and share it with the others."""
        device, several = torch.device(self.cfg.get("device", "cpu")), processes.current().size > 1
        if several and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if several and self.cfg.get("strategy") == "fsdp":
            # In main memory, and the same in each process: all of it may not fit on a GPU.
            model.init_weights()
            # What is left is told of the device; nothing moves any more.
            return shard(model, device.type).to(device)
        model = model.to(device)
        if not several:
            return model
        with warnings.catch_warnings():
            # The name that replaces `broadcast_buffers` is not in the oldest PyTorch we take.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                model,
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


def _log_to(path: Path) -> _LogFile:
    """Give a handler that appends to a file; raises ResourceError where that cannot be opened."""
    try:
        log = _LogFile(open(path, "a", encoding="utf-8"))  # noqa: SIM115
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror}).") from error
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return log
