"""The alias: code that imports `fastapi` and `starlette` runs on TurboAPI, unchanged.

`install()` puts a finder before all others. From then on `import fastapi.X` gives the very module `turboapi.X`, so that
an attribute patched by one name is patched by the other; where the same name means something else, it gives the thin
module `turboapi.compat.fastapi.X`. Neither package needs to be installed, and if they are, they are not looked at;
`importlib.metadata` tells of the releases whose behaviour this is.

    turboapi run --alias my_application:app
    python -m turboapi.compat -m my_application
    pytest -p turboapi.compat.pytest
"""

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import ModuleType

from turboapi._utils import FASTAPI_RELEASE, STARLETTE_RELEASE

__all__ = ["AliasFinder", "install", "submodule", "uninstall"]

_HERE = __name__
_PACKAGES = {"fastapi": FASTAPI_RELEASE, "starlette": STARLETTE_RELEASE}

# Modules of the two packages that have another name here.
_RENAMED = {
    "starlette.routing": "turboapi._routes",
}


def _target(name: str) -> str | None:
    """Return the module that stands for an aliased one: its own thin module, or the one of the same name."""
    package, _, rest = name.partition(".")
    thin = f"{_HERE}.{package}.{rest}".rstrip(".")
    for candidate in (_RENAMED.get(name), thin, f"turboapi.{rest}" if rest else None):
        try:
            if candidate and find_spec(candidate) is not None:
                return candidate
        except ModuleNotFoundError:  # a parent of the candidate is missing, too
            continue
    return None


def submodule(package: str, name: str) -> ModuleType:
    """Return what `package.name` stands for, for `from package import name`. Raises AttributeError if nothing does."""
    target = _target(f"{package}.{name}")
    if target is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return import_module(target)


class _AliasLoader(Loader):
    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system returns what it finds here afterwards, and forgets the empty module it made.
        sys.modules[module.__name__] = import_module(self.target)

    def get_code(self, fullname: str) -> object:
        """Return the code of the target, for `python -m`."""
        spec = find_spec(self.target)
        assert spec is not None
        return spec.loader.get_code(self.target)  # type: ignore[union-attr]


class _AliasDistribution(Distribution):
    """What stands for an installed package, for those who ask for its version."""

    def __init__(self, name: str) -> None:
        self._metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {_PACKAGES[name]}\n"

    def read_text(self, filename: str) -> str | None:
        return self._metadata if filename == "METADATA" else None

    def locate_file(self, path: str | PathLike[str]) -> Path:
        return Path(path)


class AliasFinder(DistributionFinder):
    """Finds TurboAPI's modules under the names of FastAPI's and Starlette's."""

    def find_distributions(
        self,
        context: DistributionFinder.Context = DistributionFinder.Context(),  # noqa: B008
    ) -> Iterable[Distribution]:
        """Return what `importlib.metadata` is asked for: all packages where no name is given."""
        names = _PACKAGES if context.name is None else [context.name.lower()]
        return [_AliasDistribution(name) for name in names if name in _PACKAGES]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _PACKAGES:
            return None
        found = _target(fullname)
        if found is None:  # looking further would find a module of the real package
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        spec = find_spec(found)
        assert spec is not None
        alias = ModuleSpec(fullname, _AliasLoader(found), origin=spec.origin)
        alias.submodule_search_locations = spec.submodule_search_locations
        return alias


def install() -> None:
    """Make `import fastapi` and `import starlette` give TurboAPI. Calling it again changes nothing.

    Raises:
        RuntimeError: one of the packages has been imported already.
    """
    if any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        return
    if loaded := [package for package in _PACKAGES if package in sys.modules]:
        raise RuntimeError(f"{loaded[0]} has been imported already: install the alias before anything imports it")
    sys.meta_path.insert(0, AliasFinder())


def uninstall() -> None:
    """Undo `install()`. Modules that were imported by an alias stay with those who imported them."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, AliasFinder)]
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
        del sys.modules[name]
