"""`fastapi.dependencies`: private names that published code imports."""

from types import ModuleType

from turboapi.compat import submodule


def __getattr__(name: str) -> ModuleType:
    return submodule("fastapi.dependencies", name)
