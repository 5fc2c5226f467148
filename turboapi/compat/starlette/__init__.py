"""What `import starlette` gives."""

from types import ModuleType

from turboapi import _utils
from turboapi.compat import submodule

__version__ = _utils.STARLETTE_VERSION


def __getattr__(name: str) -> ModuleType:
    return submodule("starlette", name)
