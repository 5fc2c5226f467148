"""`fastapi.applications`: the application class under its name there."""

from turboapi.applications import TurboAPI

__all__ = ["FastAPI"]


class FastAPI(TurboAPI):
    """`TurboAPI` under the name that code for FastAPI knows."""
