"""`starlette.background`: `BackgroundTasks` is FastAPI's base class there."""

from turboapi.background import BackgroundTask
from turboapi.background import StarletteBackgroundTasks as BackgroundTasks

__all__ = ["BackgroundTask", "BackgroundTasks"]
