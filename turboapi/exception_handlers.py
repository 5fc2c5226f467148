"""The handlers every application starts with; register others to change what clients see."""

from __future__ import annotations

from typing import Any

from turboapi._speedups.serialize import plain_json
from turboapi.encoders import jsonable_encoder
from turboapi.exceptions import RequestValidationError, StarletteHTTPException, WebSocketRequestValidationError
from turboapi.requests import Request
from turboapi.responses import JSONResponse, Response
from turboapi.status import WS_1008_POLICY_VIOLATION
from turboapi.websockets import WebSocket

__all__ = [
    "http_exception_handler",
    "request_validation_exception_handler",
    "websocket_request_validation_exception_handler",
]


class _PlainJSONResponse(JSONResponse):
    """PERF: the same, written by the compiled core where that can."""

    def render(self, content: Any) -> bytes:
        plain = plain_json(content)
        return super().render(content) if plain is None else plain


async def http_exception_handler(request: Request, exc: StarletteHTTPException) -> Response:
    """Answer with the exception's status and headers, and `{"detail": …}` where a body is allowed (RFC 9110)."""
    headers = getattr(exc, "headers", None)
    status_code = exc.status_code
    if status_code < 200 or status_code in (204, 205, 304):
        return Response(status_code=status_code, headers=headers)
    return _PlainJSONResponse({"detail": exc.detail}, status_code=status_code, headers=headers)


async def request_validation_exception_handler(request: Request, exc: RequestValidationError) -> JSONResponse:
    """Answer 422 with the list of errors."""
    errors = exc.errors()
    # PERF: nearly always the encoder would only make a copy of them.
    detail = jsonable_encoder(errors) if plain_json(errors) is None else errors
    return _PlainJSONResponse({"detail": detail}, status_code=422)


async def websocket_request_validation_exception_handler(
    websocket: WebSocket, exc: WebSocketRequestValidationError
) -> None:
    """Close the connection with 1008 and the list of errors as the reason."""
    await websocket.close(code=WS_1008_POLICY_VIOLATION, reason=jsonable_encoder(exc.errors()))
