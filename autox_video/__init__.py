"""Automatic training of video classification models: from a folder of clips to a trained model."""

from typing import TYPE_CHECKING, Any

from autox_video.core.errors import (
    AutoXVideoError,
    CheckpointError,
    ConfigError,
    FetchError,
    InstallError,
    ListingError,
    NumbersError,
    ResourceError,
    VideoError,
)
from autox_video.machine.mm_import import install_import_hook

if TYPE_CHECKING:
    from autox_video.api import AutoXVideo
    from autox_video.training.interrupt import Stopped

    __version__: str

__all__ = [
    "AutoXVideo",
    "AutoXVideoError",
    "CheckpointError",
    "ConfigError",
    "FetchError",
    "InstallError",
    "ListingError",
    "NumbersError",
    "ResourceError",
    "Stopped",
    "VideoError",
]

install_import_hook()


def __getattr__(name: str) -> Any:
    # Imported on first use, so that errors in a config are found without loading anything else.
    if name == "AutoXVideo":
        from autox_video.api import AutoXVideo

        return AutoXVideo
    if name == "Stopped":
        from autox_video.training.interrupt import Stopped

        return Stopped
    if name == "__version__":
        from autox_video.machine.installation import PROJECT, installed_version

        return installed_version(PROJECT) or "unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
