"""What `import starlette` gives."""

from types import ModuleType

from turboapi.compat import submodule

__version__ = "1.10.0"  # the release whose behaviour this is


def __getattr__(name: str) -> ModuleType:
    return submodule("starlette", name)
