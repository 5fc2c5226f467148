"""Prints what `fastapi` and `starlette` offer in this process, as JSON: `python surface.py [--alias] [MODULE…]`.

Without modules, all of the two packages are looked at, which must be the real ones then.
"""

import importlib
import inspect
import json
import pkgutil
import re
import sys
import typing
import warnings
from types import ModuleType
from typing import Any

from pydantic import BaseModel

PACKAGES = ("fastapi", "starlette")


def all_modules() -> list[str]:
    """Return the names of the modules of both packages."""
    packages = map(importlib.import_module, PACKAGES)
    found = [m.name for package in packages for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [*PACKAGES, *(name for name in found if not name.endswith(".__main__"))]


def names_of(module: ModuleType) -> dict[str, Any]:
    """Return the names in a module that have to do with the two packages, with their signatures."""
    return {name: describe(value) for name, value in vars(module).items() if is_of_interest(name, value)}


def is_of_interest(name: str, value: Any) -> bool:
    """Leave out submodules, type variables, and what comes from other packages."""
    home = getattr(value, "__module__", None)
    is_elsewhere = isinstance(home, str) and home.partition(".")[0] not in (*PACKAGES, "turboapi")
    return not (
        name.startswith("__")
        or name in ("TYPE_CHECKING", "annotations")
        or isinstance(value, (ModuleType, typing.TypeVar, typing.ParamSpec))
        or (is_elsewhere and not hasattr(value, "__origin__"))
    )


def describe(value: Any) -> Any:
    """Return the signature of a callable; for a class those of its public attributes, too."""
    if not inspect.isclass(value):
        return signature(value)
    if issubclass(value, BaseModel):
        return {"fields": sorted(value.model_fields)}
    attributes = {
        name: signature(getattr(value, name, None))
        for name in dir(value)
        if not name.startswith("_") and is_own_attribute(value, name)
    }
    return {"()": signature(value), **attributes}


def is_own_attribute(cls: type, name: str) -> bool:
    owner = next((base for base in cls.__mro__ if name in vars(base)), object)
    return owner.__module__.partition(".")[0] in (*PACKAGES, "turboapi")


def signature(value: Any) -> list[str] | None:
    """Return name, kind and default of each parameter; None for what is not called."""
    if not callable(value):
        return None
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    shown = [f"{each.kind.name} {each.name}{shown_default(each)}" for each in parameters]
    return sorted(shown, key=lambda text: text if text.startswith("KEYWORD_ONLY") else "")  # their order says nothing


def shown_default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return ""
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(parameter.default))
    return " = " + re.sub(r"\b(?:turboapi|fastapi|starlette)\.[\w.]*\.", "", text)


def main() -> None:
    arguments = sys.argv[1:]
    if "--alias" in arguments:
        arguments.remove("--alias")
        importlib.import_module("turboapi.compat").install()
    found: dict[str, Any] = {}
    for name in arguments or all_modules():
        try:
            found[name] = names_of(importlib.import_module(name))
        except ImportError:
            found[name] = None
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
