"""`starlette.exceptions`: the two exceptions are FastAPI's base classes there."""

from turboapi.exceptions import StarletteDeprecationWarning
from turboapi.exceptions import StarletteHTTPException as HTTPException
from turboapi.exceptions import StarletteWebSocketException as WebSocketException

__all__ = ["HTTPException", "StarletteDeprecationWarning", "WebSocketException"]
