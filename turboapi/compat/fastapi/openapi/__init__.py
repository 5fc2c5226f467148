"""`fastapi.openapi`: TurboAPI's, but for `fastapi.openapi.utils`."""

from types import ModuleType

from turboapi.compat import submodule


def __getattr__(name: str) -> ModuleType:
    return submodule("fastapi.openapi", name)
