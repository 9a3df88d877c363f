"""Registries of components selected by name: backbones, list formats, decoders, metrics and tasks.

Built-in components are listed by name and module, so that a name can be checked without importing
anything. Components in a user's module (`custom_imports`) are registered when the module is
imported. A family creates components for names such as `timm:resnet18` if there are too many names
to list.
"""

import difflib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from autox_video.core.errors import ConfigError

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """Named components of one kind, in the order in which they are tried or shown.

    Args:
        kind: the noun for such a component in messages, for example `backbone`.
        modules: the module that registers each built-in component, imported on first use.
        families: the module that registers each family, keyed by the family's prefix.
    """

    def __init__(
        self, kind: str, modules: Mapping[str, str], families: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self._modules = dict(modules)
        self._families = dict(families or {})
        self._items: dict[str, Item] = {}
        self._makers: dict[str, Callable[[str], Item]] = {}
        self._restorers: dict[str, Callable[[Mapping[str, Any]], Item]] = {}

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

    def register_family(
        self, prefix: str, *, restore: Callable[[Mapping[str, Any]], Item] | None = None
    ) -> Callable[[Callable[[str], Item]], Callable[[str], Item]]:
        """Return a decorator that registers a function as the factory of a family of components.

        The function receives the part of a name after `prefix` and a colon, and raises ConfigError
        if the family has no component with that name.

        Args:
            prefix: the part of the family's names before the colon, such as `timm`.
            restore: function that recreates a component from the plain values in a run record.
        """

        def keep(make: Callable[[str], Item]) -> Callable[[str], Item]:
            self._makers[prefix] = make
            if restore is not None:
                self._restorers[prefix] = restore
            return make

        return keep

    def restore(self, name: str, published: Mapping[str, Any]) -> None:
        """Recreate a family's component from the plain values in a run record, and register it.

        Raises:
            ValueError: the name does not belong to a family whose components can be restored.
        """
        family = self.family_of(name)
        if family is not None:
            self._import_family(family)
        if family not in self._restorers:
            raise ValueError(f"{self.kind} {name} cannot be restored")
        self._items[name] = self._restorers[family](published)

    def _import_family(self, family: str) -> None:
        try:
            importlib.import_module(self._families[family])
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{self.kind}: names that begin with {family}: need the package {error.name}, "
                f"which is not installed: run `pip install {error.name}`."
            ) from error

    def family_of(self, name: object) -> str | None:
        """Return the prefix of the family that a name belongs to; None if it belongs to none."""
        prefix, colon, rest = str(name).partition(":")
        return prefix if colon and rest and prefix in self._families else None

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all components that do not belong to a family."""
        yield from self._modules
        yield from (n for n in self._items if n not in self._modules and not self.family_of(n))

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._items or self.family_of(name) is not None

    def __getitem__(self, name: str) -> Item:
        """Return the component with this name.

        Raises:
            ConfigError: the name is unknown; the message lists the known names.
        """
        if name not in self._items and name in self._modules:
            importlib.import_module(self._modules[name])
        elif name not in self._items and (family := self.family_of(name)):
            self._import_family(family)
            self._items[name] = self._makers[family](name.partition(":")[2])
        if name not in self._items:
            raise ConfigError(self.unknown(name))
        return self._items[name]

    def unknown(self, name: str) -> str:
        """Return an error message that reports an unknown name and lists the known names."""
        near = difflib.get_close_matches(name, list(self), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        known = [*self, *(f"{family}:NAME" for family in self._families)]
        return f"{self.kind}: unknown name {name}; known names: {', '.join(known)}.{meant}"
