"""`fastapi.applications`: the application class under its name there, and what else is patched there."""

from turboapi import applications, exceptions, params, types
from turboapi.applications import TurboAPI
from turboapi.compat._view import show
from turboapi.openapi import pages

__all__ = ["FastAPI"]


class FastAPI(TurboAPI):
    """`TurboAPI` under the name that code for FastAPI knows: 405 for HEAD, where no route declares it."""

    _auto_head = False


show(
    __name__,
    applications,
    pages,
    renamed={
        "Depends": (params, "Depends"),
        "HTTPException": (exceptions, "StarletteHTTPException"),
        "IncEx": (types, "IncEx"),
    },
)
