"""Stubs for large packages that mmengine, mmcv and mmaction2 import, but a model never uses.

Python runs this file at startup if its folder is in PYTHONPATH, which `run.sh` sets. Each of these
packages that is not installed is replaced by empty modules whose classes cannot be instantiated:
code that really needs one ends with its name. The functions of OpenCV that training uses are done
by torch.
"""

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGES = ("cv2", "matplotlib", "scipy", "decord")


class _Refusing(type):
    """Classes that can be named, subclassed and inspected, but not instantiated."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{cls.__name__}.{name}")

    def __call__(cls, *_args, **_options):
        if cls.__name__.startswith("matplotlib."):
            return _Nothing()  # mmengine creates a figure that is never used
        raise ImportError(f"{cls.__name__}: the package is not installed here.")


class _Nothing:
    """Accepts any operation, and returns itself."""

    def __getattr__(self, name: str) -> "_Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_args, **_options) -> "_Nothing":
        return self


def _stand_in(name: str) -> type:
    return _Refusing(name, (), {})


class _Module(ModuleType):
    __path__ = ()
    __version__ = "9999"

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{self.__name__}.{name}")


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        if name.partition(".")[0] not in _MISSING:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "cv2":
            module.INTER_LINEAR, module.resize = 1, _resize
            module.setNumThreads = lambda count: None


def _resize(picture, size, dst=None, interpolation=1):
    """OpenCV's `resize` as used in training, with torch: (H, W, 3) uint8, bilinear, into `dst`."""
    import torch

    moved = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(moved, size[::-1], mode="bilinear")
    dst[...] = scaled.round_().byte()[0].permute(1, 2, 0).numpy()
    return dst


_MISSING = {name for name in PACKAGES if importlib.util.find_spec(name) is None}
if _MISSING:
    sys.meta_path.append(_Finder())
