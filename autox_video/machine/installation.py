"""What must be installed, and what to do when it is not: read from package metadata alone.

Nothing here imports the packages it speaks of, so it answers in milliseconds and works where they
are missing or broken.
"""

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

REQUIRED: Mapping[str, str] = MappingProxyType(
    {
        "torch": "2.6",
        "torchvision": "0.21",
        "onedl-mmcv": "2.3.6",
        "onedl-mmengine": "0.10.12",
        "mmaction2": "1.2.0",
        "importlib_metadata": "",
        "pyyaml": "6",
        "decord": "0.6",
        "av": "17",
        "numpy": "1.26",
        "pillow": "9.1",
        "timm": "1.0",
        "einops": "0.8",
        "safetensors": "0.5",
        "pydantic": "2.10",
        "rich": "13",
        "fsspec": "2024.6",
        "aiohttp": "3.9",
        "optuna": "4.2",
        "sqlalchemy": "2",
    }
)
"""Lowest version by distribution name; a test holds it in step with pyproject.toml."""

OPTIONAL = frozenset({"decord"})
"""Of these, what mmaction2 demands and nothing here needs: a second decoder."""

_TWINS = {
    "mmcv": "onedl-mmcv",
    "mmcv-full": "onedl-mmcv",
    "mmcv-lite": "onedl-mmcv",
    "mmengine": "onedl-mmengine",
    "mmengine-lite": "onedl-mmengine",
}
"""Packages that write the same files as the maintained fork we need, by their names."""

_DISTRIBUTION_OF = {
    "mmcv": "onedl-mmcv",
    "mmengine": "onedl-mmengine",
    "mmaction": "mmaction2==1.2.0",
    "cv2": "opencv-contrib-python",
    "yaml": "pyyaml",
    "PIL": "pillow",
}
"""What to install for a module whose package has another name."""

_SYSTEM_PACKAGE_OF = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libX11.so.6": "libx11-6",
    "libxcb.so.1": "libxcb1",
}
"""Debian's package for each system library that OpenCV loads at import."""

IMPORT_FAILURES = (
    ImportError,
    OSError,
    RuntimeError,
    SystemError,
    ValueError,
    AttributeError,
    TypeError,
    AssertionError,
)
"""What a package raises at import when it, or something under it, is broken."""

_MISSING_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object file")
_NUMPY_ABI = re.compile(
    r"numpy\.(core|_core)\.multiarray failed to import|numpy\.dtype size changed"
    r"|compiled using NumPy 1|_ARRAY_API not found|module compiled against (ABI|API) version",
    re.IGNORECASE,
)
_TORCH_MISMATCH = re.compile(r"torchvision::|undefined symbol|partially initialized module 'torchv")
_SAME_INDEX = (
    "install both again from the same place: `pip install --force-reinstall torch torchvision` "
    "(for a machine without a GPU add `--index-url https://download.pytorch.org/whl/cpu`)"
)


def check_installation() -> list[str]:
    """Every conflict, missing package and package that is too old, as one sentence each."""
    return [*find_conflicts(), *find_missing()]


def find_conflicts() -> list[str]:
    """What is installed and cannot work together: twins of the forks, and too old packages."""
    problems = []
    for twin, fork in _TWINS.items():
        version = installed_version(twin)
        if version is not None:
            problems.append(
                f"The package {twin} {version} writes the same files as {fork}, which this project "
                f"needs, and one breaks the other: run `pip uninstall -y {twin} {fork}` and then "
                f"`pip install {fork}`."
            )
    for package, lowest in REQUIRED.items():
        version = installed_version(package)
        if version is not None and _release(version) < _release(lowest):
            problems.append(
                f"The package {package} {version} is too old, {lowest} or newer is needed: run "
                f"`{_upgrade_command(package, lowest)}`."
            )
    return problems


def find_missing() -> list[str]:
    """The packages that are needed and not installed."""
    twins_of = {fork for twin, fork in _TWINS.items() if installed_version(twin) is not None}
    return [
        _missing_sentence(package, f'"{package}>={lowest}"' if lowest else package)
        for package, lowest in REQUIRED.items()
        if installed_version(package) is None and package not in twins_of | OPTIONAL
    ]


def installed_version(package: str) -> str | None:
    """The version of a distribution, "unknown" where its metadata name none, None if absent."""
    try:
        return metadata.distribution(package).metadata.get("Version") or "unknown"
    except metadata.PackageNotFoundError:
        return None


def explain_import_error(module: str, error: BaseException) -> str:
    """One sentence for a failed `import module`: what is broken and what to do.

    Args:
        module: the module that was being imported, e.g. "torchvision" or "mmaction.models".
        error: what the import raised.
    """
    text = _first_line(error)
    library = _MISSING_LIBRARY.search(str(error))
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _explain_missing_module(module, error.name)
    if library is not None and library[1] in _SYSTEM_PACKAGE_OF:
        return _explain_missing_library(module, library[1])
    if _NUMPY_ABI.search(str(error)):
        return (
            f"{module} was built for another version of NumPy than the installed "
            f"{installed_version('numpy')} ({text}): run `pip install --upgrade --force-reinstall "
            f"numpy {_distribution_of(module)}`."
        )
    if module in ("torch", "torchvision") or _TORCH_MISMATCH.search(str(error)):
        return (
            f"{module} cannot be imported: torch {installed_version('torch')} and torchvision "
            f"{installed_version('torchvision')} are broken or do not belong together ({text}); "
            f"{_SAME_INDEX}."
        )
    return (
        f"{module} cannot be imported ({type(error).__name__}: {text}): its installation is "
        f"broken; run `pip install --force-reinstall --no-deps {_distribution_of(module)}`, and "
        "`autox-video doctor` to see what else is wrong."
    )


def _explain_missing_module(module: str, missing: str) -> str:
    top = missing.partition(".")[0]
    if top == missing:
        needed_by = "" if module == top else f", which {module} needs,"
        return _missing_sentence(f"{top}{needed_by}", _distribution_of(top))
    return (
        f"{module} cannot be imported: the file of {missing} is missing from its package; run "
        f"`pip install --force-reinstall --no-deps {_distribution_of(top)}`."
    )


def _explain_missing_library(module: str, library: str) -> str:
    return (
        f"{module} needs the system library {library}, which is not there: run `apt-get install "
        f"{_SYSTEM_PACKAGE_OF[library]}` as root, or, without root, `pip uninstall -y "
        "opencv-python opencv-contrib-python` and then `pip install "
        "opencv-contrib-python-headless`."
    )


def _missing_sentence(subject: str, requirement: str) -> str:
    return f"The package {subject} is not installed: run `pip install {requirement}`."


def _upgrade_command(package: str, lowest: str) -> str:
    if package in ("torch", "torchvision"):
        return "pip install --upgrade torch torchvision"
    return f'pip install --upgrade "{package}>={lowest}"'


def _distribution_of(module: str) -> str:
    top = module.partition(".")[0]
    return _DISTRIBUTION_OF.get(top, top)


def _release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, so that 2.10 is above 2.6 and "unknown" above nothing."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def source_tree() -> Path | None:
    """Give the folder of the source tree that this runs from; None where it is installed apart.

    Beside an installed package lie the folders of anybody.
    """
    package = Path(__file__).parents[1]
    return None if (package / "configs").is_dir() else package.parent
