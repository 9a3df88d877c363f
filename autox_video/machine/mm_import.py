"""`import mmaction` works once autox_video is imported: what is broken in it is mended first.

Nothing is loaded before somebody asks for it. What mmaction2 stands on brings it along, so that
whatever is missing or broken below it is explained in one place.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MENDED = ("mmengine", "mmcv", "mmaction")
_MENDING = "autox_video.machine.mm_compat"


# Without the base classes of importlib.abc, which take as long to import as all the rest.
class _MendedLoader:
    """Loads a package by way of `mm_compat`, which imports it whole."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        importlib.import_module(_MENDING)
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = self._real


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _MENDED or _MENDING in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _MendedLoader(spec.loader)
        return spec


def mend_when_imported() -> None:
    """See to it that whoever imports mmaction gets it mended."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
