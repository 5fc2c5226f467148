"""What `import starlette` gives."""

from types import ModuleType

from turboapi._utils import STARLETTE_RELEASE
from turboapi.compat import submodule

__version__ = STARLETTE_RELEASE


def __getattr__(name: str) -> ModuleType:
    return submodule("starlette", name)
