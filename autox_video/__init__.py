"""Automatic machine learning for video understanding."""

from typing import TYPE_CHECKING, Any

from autox_video.machine.mm_import import install_import_hook

if TYPE_CHECKING:
    from autox_video.api import AutoXVideo

__all__ = ["AutoXVideo"]
__version__ = "0.1.0"

install_import_hook()


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for, so that a mistake in a config is found without loading anything.
    if name == "AutoXVideo":
        from autox_video.api import AutoXVideo

        return AutoXVideo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
