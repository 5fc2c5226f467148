"""The handlers every application starts with; register others to change what clients see."""

from __future__ import annotations

import math
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


class _WrittenJSONResponse(JSONResponse):
    """Its content is JSON already."""

    def render(self, content: Any) -> bytes:
        return content  # type: ignore[no-any-return]


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
    """Answer 422 with the list of errors. What JSON cannot say of the input is shown as text, such as "NaN"."""
    errors = exc.errors()
    # PERF: nearly always the encoder would only make a copy of them.
    plain = plain_json({"detail": errors})
    if plain is not None:
        return _WrittenJSONResponse(plain, status_code=422)
    try:
        return _invalid(jsonable_encoder(errors))
    except RecursionError:  # the parser takes deeper documents than the encoders
        return _invalid(jsonable_encoder([{**error, "input": None} for error in errors]))


def _invalid(detail: Any) -> JSONResponse:
    try:
        return _PlainJSONResponse({"detail": detail}, status_code=422)
    except ValueError:  # NaN, infinities, or a surrogate without its other half
        return _PlainJSONResponse({"detail": _writable(detail)}, status_code=422)


async def websocket_request_validation_exception_handler(
    websocket: WebSocket, exc: WebSocketRequestValidationError
) -> None:
    """Close the connection with 1008 and the list of errors as the reason."""
    await websocket.close(code=WS_1008_POLICY_VIOLATION, reason=jsonable_encoder(exc.errors()))


def _writable(data: Any) -> Any:
    """Return JSON-compatible data with text in place of what JSON and UTF-8 have no way to write."""
    if isinstance(data, str):
        return data.encode(errors="backslashreplace").decode()
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, dict):
        return {_writable(key): _writable(value) for key, value in data.items()}
    return [_writable(item) for item in data] if isinstance(data, list) else data
