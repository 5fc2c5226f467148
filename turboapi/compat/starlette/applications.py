"""`starlette.applications`."""

from turboapi._application import Starlette

__all__ = ["Starlette"]
