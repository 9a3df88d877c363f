"""Import the user's own modules (`custom_imports`), which can add entries to the registries."""

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autox_video.core.errors import ConfigError

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def import_custom_modules(names: Any, folder: Path, origin: str) -> None:
    """Import modules from the config's folder, the current folder or the installed packages.

    Both folders are appended to `sys.path`, so that their modules cannot shadow a package that is
    imported later.

    Args:
        names: the value of the key `custom_imports`; this function ignores an invalid value.
        folder: the folder of the config file.
        origin: where the value was given, such as `my.yaml:3`, for messages.

    Raises:
        ConfigError: a module cannot be imported, or an installed module has the same name.
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
                f"{origin}: key `custom_imports`: the module {name} cannot be imported ({reason}). "
                f"Searched: the installed packages, {', '.join(map(str, folders))}."
            ) from error
        _refuse_hidden(name.partition(".")[0], folders, origin)


def read_module_names(value: Any) -> tuple[str, ...]:
    """Parse a list of module names, or text such as `a,b.c`; raise ValueError if it is invalid."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("not a list of names")
    names = tuple(str(name).strip() for name in names)
    if not all(_MODULE.fullmatch(name) for name in names):
        raise ValueError("not the name of a module")
    return names


def _refuse_hidden(package: str, folders: Sequence[Path], origin: str) -> None:
    """Raise ConfigError if an installed package was imported instead of the user's module."""
    imported = getattr(sys.modules[package], "__file__", None)
    for folder in folders:
        if (folder / f"{package}.py").is_file() or (folder / package / "__init__.py").is_file():
            if imported is None or not Path(imported).resolve().is_relative_to(folder):
                raise ConfigError(
                    f"{origin}: key `custom_imports`: {package} in {folder} has the same name as "
                    f"an installed module ({imported or 'built into Python'}); rename yours."
                )
            return
