"""Modules with the names of other modules beside their own, which pass on what is patched into them.

Tests and instrumentations set attributes of modules. Set on a view, a name that another module looks up is set there.
"""

import sys
from types import ModuleType
from typing import Any

__all__ = ["show"]

Places = dict[str, list[tuple[ModuleType, str]]]


class _View(ModuleType):
    """A module whose names are set where they come from, too."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        places: Places = self.__dict__["__places__"]
        for module, known_as in places.get(name, ()):
            setattr(module, known_as, value)


def show(name: str, *modules: ModuleType, renamed: dict[str, tuple[ModuleType, str]] | None = None) -> None:
    """Make the module `name` a view of `modules`; `renamed` are names that a module has under another name."""
    view = sys.modules[name]
    places: Places = {known_as: [place] for known_as, place in (renamed or {}).items()}
    for module in modules:
        for attribute in vars(module):
            if not attribute.startswith("__"):
                places.setdefault(attribute, []).append((module, attribute))
    for attribute, (place, *_) in places.items():
        if attribute not in vars(view):
            setattr(view, attribute, getattr(*place))
    vars(view)["__places__"] = places
    view.__class__ = _View
