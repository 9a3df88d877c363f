"""Use package metadata to check the installed packages, and explain how to fix problems.

The packages are not imported, so the check takes milliseconds and works even if packages are
missing or broken.
"""

import re
from importlib import metadata
from pathlib import Path

PROJECT = "autox-video"
OPTIONAL = frozenset({"decord"})
"""Requirements that may be missing; only the decord decoder needs the package decord."""
_FORKS = {
    "onedl-mmcv": ("mmcv", "mmcv-full", "mmcv-lite"),
    "onedl-mmengine": ("mmengine", "mmengine-lite"),
}
"""For each required fork, the packages that conflict because they install the same files."""
_DISTRIBUTION_OF = {
    "mmcv": "onedl-mmcv",
    "mmengine": "onedl-mmengine",
    "mmaction": "mmaction2==1.2.0",
    "cv2": "opencv-contrib-python",
    "yaml": "pyyaml",
    "PIL": "pillow",
}
"""The package to install for each module whose name differs from the package name."""
_SYSTEM_PACKAGE_OF = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libX11.so.6": "libx11-6",
    "libxcb.so.1": "libxcb1",
}
"""The Debian package of each system library that OpenCV loads when it is imported."""
IMPORT_FAILURES = (
    *(ImportError, OSError, RuntimeError, SystemError),
    *(ValueError, AttributeError, TypeError, AssertionError),
)
"""Exceptions raised by the import of a package that is broken or has a broken dependency."""

_MISSING_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object file")
_NUMPY_ABI = re.compile(
    r"numpy\.(core|_core)\.multiarray failed to import|numpy\.dtype size changed"
    r"|compiled using NumPy 1|_ARRAY_API not found|module compiled against (ABI|API) version",
    re.IGNORECASE,
)
_TORCH_MISMATCH = re.compile(r"torchvision::|undefined symbol|partially initialized module 'torchv")


def requirements() -> dict[str, str]:
    """Return the version specifier, such as `>=2.6`, of each required package, keyed by name.

    The result is empty if this project itself is not installed.
    """
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return {}
    listed = [Requirement(line) for line in lines]
    needed = [r for r in listed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return {requirement.name: str(requirement.specifier) for requirement in needed}


def check_installation() -> list[str]:
    """Return one message for each missing or conflicting package and each unsuitable version."""
    itself = []
    if installed_version(PROJECT) is None:
        itself = [f"{PROJECT} itself is not installed: run `pip install -e .` in its folder."]
    return [*itself, *find_conflicts(), *find_missing()]


def find_conflicts() -> list[str]:
    """Report packages that conflict with the required forks or have a wrong version."""
    problems = [
        f"The package {twin} {version} conflicts with {fork}, which this project needs, as both "
        f"install the same files: run `pip uninstall -y {twin} {fork}` and then `pip install "
        f"{fork}`."
        for fork, twins in _FORKS.items()
        for twin in twins
        if (version := installed_version(twin)) is not None
    ]
    for package, specifier in requirements().items():
        version = installed_version(package)
        if version is not None and not _fits(version, specifier):
            pair = package in ("torch", "torchvision")
            what = "torch torchvision" if pair else f'"{package}{specifier}"'
            problems.append(
                f"The package {package} {version} is installed, but {package}{specifier} is "
                f"required: run `pip install --upgrade {what}`."
            )
    return problems


def find_missing() -> list[str]:
    """Report required packages that are not installed."""
    replaced = {fork for fork, twins in _FORKS.items() if any(map(installed_version, twins))}
    return [
        _missing_sentence(package, f'"{package}{specifier}"' if specifier else package)
        for package, specifier in requirements().items()
        if installed_version(package) is None and package not in replaced | OPTIONAL
    ]


def installed_version(package: str) -> str | None:
    """Return a package's version; "unknown" if no version is recorded, None if not installed."""
    try:
        return metadata.distribution(package).metadata.get("Version") or "unknown"
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidVersion:
        return False


def explain_import_error(module: str, error: BaseException) -> str:
    """Return a message that explains why a module cannot be imported, and what to do.

    Args:
        module: the module that was imported, such as "torchvision" or "mmaction.models".
        error: the exception that the import raised.
    """
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    library = _MISSING_LIBRARY.search(str(error))
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _explain_missing_module(module, error.name)
    if library is not None and library[1] in _SYSTEM_PACKAGE_OF:
        return (
            f"{module} needs the system library {library[1]}, which is not installed: run `apt-get "
            f"install {_SYSTEM_PACKAGE_OF[library[1]]}` as root; without root access, run `pip "
            "uninstall -y opencv-python opencv-contrib-python` and then `pip install "
            "opencv-contrib-python-headless`."
        )
    if _NUMPY_ABI.search(str(error)):
        return (
            f"{module} was built for a different version of NumPy than the installed "
            f"{installed_version('numpy')} ({text}): run `pip install --upgrade --force-reinstall "
            f"numpy {_distribution_of(module)}`."
        )
    if module in ("torch", "torchvision") or _TORCH_MISMATCH.search(str(error)):
        return (
            f"{module} cannot be imported: torch {installed_version('torch')} and torchvision "
            f"{installed_version('torchvision')} are broken or incompatible ({text}); reinstall "
            "both from the same source: `pip install --force-reinstall torch torchvision` (on a "
            "machine without a GPU add `--index-url https://download.pytorch.org/whl/cpu`)."
        )
    return (
        f"{module} cannot be imported ({type(error).__name__}: {text}); its installation is "
        f"broken: run `pip install --force-reinstall --no-deps {_distribution_of(module)}`, then "
        "`autox-video doctor` to check for other problems."
    )


def _explain_missing_module(module: str, missing: str) -> str:
    top = missing.partition(".")[0]
    if top == missing:
        needed_by = "" if module == top else f", which {module} needs,"
        return _missing_sentence(f"{top}{needed_by}", _distribution_of(top))
    return (
        f"{module} cannot be imported: {missing} is missing from its package; run `pip install "
        f"--force-reinstall --no-deps {_distribution_of(top)}`."
    )


def _missing_sentence(subject: str, requirement: str) -> str:
    return f"The package {subject} is not installed: run `pip install {requirement}`."


def _distribution_of(module: str) -> str:
    top = module.partition(".")[0]
    return _DISTRIBUTION_OF.get(top, top)


def source_tree() -> Path | None:
    """Return the root of the source tree that contains this file; None outside a source tree."""
    folder = Path(__file__).parents[2]
    return folder if (folder / "autotrain.py").is_file() else None
