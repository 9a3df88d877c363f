"""An import hook that applies `mm_compat` before mmaction2, mmengine or mmcv is imported.

The packages are loaded only when they are needed. Importing any of the three packages imports all
of them, so that missing or broken dependencies are explained in one place.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_PATCHED = ("mmengine", "mmcv", "mmaction")
_PATCHES = "autox_video.machine.mm_compat"


# The base classes of importlib.abc are not used because they would double the import time.
class _PatchedLoader:
    """Loads a package through `mm_compat`."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        importlib.import_module(_PATCHES)
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = self._real


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _PATCHED or _PATCHES in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _PatchedLoader(spec.loader)
        return spec


def install_import_hook() -> None:
    """Install the import hook, unless it is already installed."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
