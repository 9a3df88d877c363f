"""mmengine's Runner with what this project writes itself left out."""

import logging
from pathlib import Path

import autox_video.mm_compat  # noqa: F401

from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

LOG_FILE = "train.log"


@RUNNERS.register_module()
class ClipRunner(Runner):
    """A Runner whose work dir holds the contract's files and nothing else.

    mmengine's own log goes to `train.log`; what the user sees comes from our hooks.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        _remove_if_empty(Path(self.log_dir))

    def build_logger(self, log_level: int | str = "INFO", **kwargs) -> MMLogger:
        """mmengine's logger: everything to `train.log`, errors to the terminal as well."""
        logger = super().build_logger(log_level, log_file=str(Path(self.work_dir, LOG_FILE)))
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.ERROR)
        return logger

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Put the model on the device that the config names."""
        return model.to(self.cfg.get("device", "cpu"))

    def dump_config(self) -> None:
        """Write nothing: config.py was written before, and is what this run was built from."""

    def _log_env(self, env_cfg: dict) -> None:
        # mmengine asks compilers for their versions here, which takes seconds.
        self.logger.info("Config:\n%s", self.cfg.pretty_text)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
