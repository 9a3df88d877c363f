"""Registries of components selected by name: backbones, list formats, decoders, metrics, tasks.

Built-in components are listed by name and module, so that a name can be checked without importing
anything. Components in a user's module (`custom_imports`) are registered when the module is
imported.
"""

import difflib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from autox_video.core.errors import ConfigError

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """Named components of one kind, in the order in which they are tried or shown.

    Args:
        kind: what messages call a component of this kind, such as `backbone`.
        modules: for each built-in name, the module that is imported on first use to register it.
    """

    def __init__(self, kind: str, modules: Mapping[str, str]) -> None:
        self.kind = kind
        self._modules = dict(modules)
        self._items: dict[str, Item] = {}

    def register(self, name: str) -> Callable[[Item], Item]:
        """Return a decorator that registers a component under a name.

        Raises:
            ConfigError: the name is already taken.
        """

        module = sys._getframe(1).f_globals["__name__"]  # as collections.namedtuple finds it

        def keep(item: Item) -> Item:
            if name in self._items or self._modules.get(name, module) != module:
                raise ConfigError(
                    f"custom_imports: the {self.kind} name {name} is already taken; choose another."
                )
            self._items[name] = item
            return item

        return keep

    def __iter__(self) -> Iterator[str]:
        yield from self._modules
        yield from (name for name in self._items if name not in self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._items

    def __getitem__(self, name: str) -> Item:
        """Return the component with this name.

        Raises:
            ConfigError: the name is unknown; the message lists the known names.
        """
        if name not in self._items and name in self._modules:
            importlib.import_module(self._modules[name])
        if name not in self._items:
            raise ConfigError(self.unknown(name))
        return self._items[name]

    def unknown(self, name: str) -> str:
        """Return an error message for an unknown name, which lists the known names."""
        near = difflib.get_close_matches(name, list(self), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        return f"{self.kind}: unknown name {name}; known names: {', '.join(self)}.{meant}"
