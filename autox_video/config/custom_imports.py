"""Import the modules of a user (`custom_imports`), which add to the registries."""

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autox_video.core.errors import ConfigError

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def import_custom_modules(names: Any, folder: Path, origin: str) -> None:
    """Import modules from a folder, the current folder, or what is installed.

    The two folders stay in `sys.path`, behind everything else, so that nothing in them can take
    the place of a package that is imported later.

    Args:
        names: the value of the key `custom_imports`; one that is not allowed is left alone.
        folder: that of the config file.
        origin: where the value was given, to begin messages with: `my.yaml:3`.

    Raises:
        ConfigError: a module cannot be imported, or another of its name would be.
    """
    try:
        modules = read_module_names(names or ())
    except ValueError:
        return
    folders = list(dict.fromkeys((folder.resolve(), Path.cwd().resolve()))) if modules else []
    sys.path.extend(str(path) for path in folders if str(path) not in sys.path)
    importlib.invalidate_caches()
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"{origin}: key `custom_imports`: the module {name} cannot be imported ({reason}); "
                "it is looked for in the installed packages and in "
                f"{' and '.join(map(str, folders))}."
            ) from error
        _refuse_hidden(name.partition(".")[0], folders, origin)


def read_module_names(value: Any) -> tuple[str, ...]:
    """Give the names in a list of modules, or in text such as `a,b.c`; raises ValueError."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("not a list of names")
    names = tuple(str(name).strip() for name in names)
    if not all(_MODULE.fullmatch(name) for name in names):
        raise ValueError("not the name of a module")
    return names


def _refuse_hidden(package: str, folders: Sequence[Path], origin: str) -> None:
    """Raise ConfigError where an installed package was imported in place of the user's."""
    imported = getattr(sys.modules[package], "__file__", None)
    for folder in folders:
        if (folder / f"{package}.py").is_file() or (folder / package / "__init__.py").is_file():
            if imported is None or not Path(imported).resolve().is_relative_to(folder):
                raise ConfigError(
                    f"{origin}: key `custom_imports`: {package} in {folder} has the name of a "
                    f"module that is installed ({imported or 'in Python'}); rename yours."
                )
            return
