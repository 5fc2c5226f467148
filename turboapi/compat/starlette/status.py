"""`starlette.status`: what it says about unknown names has its own name in it."""

from turboapi import status
from turboapi.compat._view import show

__all__ = status.__all__
__deprecated__ = status.__deprecated__
__dir__ = status.__dir__

show(__name__, status)


def __getattr__(name: str) -> int:
    return status.deprecated_code(name, "starlette.status")
