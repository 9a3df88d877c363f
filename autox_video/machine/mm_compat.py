"""Import mmaction2, mmengine and mmcv with all the workarounds that they need.

The first import of any of these packages runs this module (see `mm_import`), which also imports
mmaction's subpackages `models`, `datasets` and `evaluation`. If an import fails, an InstallError
explains the cause and how to fix it. Each workaround has a test that fails once the workaround is
no longer needed.
"""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from autox_video.core.errors import InstallError
from autox_video.machine.installation import IMPORT_FAILURES, explain_import_error, find_conflicts

_VERSION_THAT_PASSES = "2.1.0"
_DRN = "mmaction.models.localizers.drn"


def _prepare() -> None:
    """Import each package after its dependencies, so that errors name the package at fault."""
    if problems := find_conflicts():
        raise InstallError(*problems)
    with _without_transformers(), _late_scipy_stats():
        for module in ("torch", "torchvision", "cv2", "mmengine", "mmcv"):
            _import(module)
        with _accepted_mmcv_version():
            _import("mmaction")
        _add_drn_placeholder()
        _leave_out_multimodal()
        _silence_expected_warnings()
        for module in ("mmaction.models", "mmaction.datasets", "mmaction.evaluation"):
            _import(module)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except IMPORT_FAILURES as error:
        raise InstallError(explain_import_error(name, error)) from error


@contextmanager
def _without_transformers() -> Iterator[None]:
    """Keep mmengine from importing transformers, whose import takes half a second."""
    if "transformers" in sys.modules:
        yield
        return
    sys.modules["transformers"] = None
    try:
        yield
    finally:
        del sys.modules["transformers"]


@contextmanager
def _late_scipy_stats() -> Iterator[None]:
    """Keep mmaction2's pose transforms from importing scipy.stats, whose import takes 0.4 s."""
    name = "scipy.stats"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    sys.modules[name].mode = _mode
    try:
        yield
    finally:
        del sys.modules[name]


def _mode(*arguments: Any, **options: Any) -> Any:
    """Compute `scipy.stats.mode`, importing it on the first call."""
    from scipy.stats import mode

    return mode(*arguments, **options)


@contextmanager
def _accepted_mmcv_version() -> Iterator[None]:
    """Make mmcv report an older version, since mmaction2 1.2.0 needlessly asserts mmcv < 2.2.0."""
    mmcv = sys.modules["mmcv"]
    real_version = mmcv.__version__
    mmcv.__version__ = _VERSION_THAT_PASSES
    try:
        yield
    finally:
        mmcv.__version__ = real_version


def _add_drn_placeholder() -> None:
    """Add modules that `localizers` imports but that are missing from the mmaction2 1.2.0 wheel."""
    mmaction_folder = Path(sys.modules["mmaction"].__file__).parent
    localizers_folder = mmaction_folder / "models" / "localizers"
    if PathFinder.find_spec("drn", [str(localizers_folder)]) is not None or _DRN in sys.modules:
        return
    package, module = ModuleType(_DRN), ModuleType(f"{_DRN}.drn")
    package.__path__ = []
    module.DRN = _MissingDRN
    sys.modules[package.__name__], sys.modules[module.__name__] = package, module


class _MissingDRN:
    """A placeholder for mmaction2's DRN localizer, which cannot be instantiated."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        raise InstallError(
            "The DRN localizer is missing from the mmaction2 1.2.0 package: choose another model, "
            "or install mmaction2 from its source repository."
        )


def _leave_out_multimodal() -> None:
    """Skip mmaction2's multimodal models, which do not work with transformers versions above 4."""
    _import("mmaction.utils.dependency").WITH_MULTIMODAL = False


def _silence_expected_warnings() -> None:
    """Ignore these libraries' warnings that are irrelevant to this project.

    The forks' pure-Python wheel lacks compiled ops, which this project does not use, and
    mmaction2's Swin calls `torch.meshgrid` without the argument `indexing`.
    """
    for start in ("Fail to import ``MultiScaleDeformableAttention``", "torch.meshgrid: in an up"):
        warnings.filterwarnings("ignore", message=start, category=UserWarning)


_prepare()
