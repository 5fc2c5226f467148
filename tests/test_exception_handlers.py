import asyncio
from typing import Any

import fastapi.exception_handlers
import fastapi.exceptions
import pytest

from turboapi import exception_handlers
from turboapi._exception_handler import lookup_exception_handler, wrap_app_handling_exceptions
from turboapi.exceptions import (
    HTTPException,
    RequestValidationError,
    StarletteHTTPException,
    WebSocketRequestValidationError,
)
from turboapi.requests import Request
from turboapi.types import Receive, Scope, Send

ERRORS = [{"type": "missing", "loc": ("query", "q"), "msg": "Field required", "input": None, "ctx": {"s": {1}}}]


def head_and_body(response: Any) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    return response.status_code, response.raw_headers, bytes(response.body)


@pytest.mark.parametrize("status_code", [101, 200, 204, 205, 304, 400, 404, 500])
@pytest.mark.parametrize("detail", [None, "text", {"any": ["json"]}])
@pytest.mark.parametrize("headers", [None, {"x-a": "b"}])
def test_http_exceptions_are_answered_like_by_the_reference(
    status_code: int, detail: Any, headers: dict[str, str] | None
) -> None:
    ours = exception_handlers.http_exception_handler(None, HTTPException(status_code, detail, headers))  # type: ignore[arg-type]
    error = fastapi.exceptions.HTTPException(status_code, detail, headers)
    theirs = fastapi.exception_handlers.http_exception_handler(None, error)  # type: ignore[arg-type]
    assert head_and_body(asyncio.run(ours)) == head_and_body(asyncio.run(theirs))


def test_validation_errors_are_answered_like_by_the_reference() -> None:
    ours = exception_handlers.request_validation_exception_handler(None, RequestValidationError(ERRORS))  # type: ignore[arg-type]
    error = fastapi.exceptions.RequestValidationError(ERRORS)
    theirs = fastapi.exception_handlers.request_validation_exception_handler(None, error)  # type: ignore[arg-type]
    result = head_and_body(asyncio.run(ours))
    assert result == head_and_body(asyncio.run(theirs))
    assert result[0] == 422


def test_validation_errors_close_websockets_like_in_the_reference() -> None:
    closed: list[dict[str, Any]] = []

    class Socket:
        async def close(self, **arguments: Any) -> None:
            closed.append(arguments)

    websocket: Any = Socket()
    ours = WebSocketRequestValidationError(ERRORS)
    theirs = fastapi.exceptions.WebSocketRequestValidationError(ERRORS)
    asyncio.run(exception_handlers.websocket_request_validation_exception_handler(websocket, ours))
    asyncio.run(fastapi.exception_handlers.websocket_request_validation_exception_handler(websocket, theirs))
    assert closed[0] == closed[1]
    assert closed[0]["code"] == 1008


def on_status(request: Any, exc: Exception) -> Any: ...


def on_base(request: Any, exc: Exception) -> Any: ...


def on_own(request: Any, exc: Exception) -> Any: ...


@pytest.mark.parametrize(
    ("error", "handler"),
    [
        (HTTPException(404), on_status),
        (StarletteHTTPException(404), on_status),
        (HTTPException(400), on_own),
        (StarletteHTTPException(400), on_base),
        (ValueError(), None),
    ],
)
def test_status_comes_before_class_and_the_closest_class_wins(error: Exception, handler: Any) -> None:
    by_class = {StarletteHTTPException: on_base, HTTPException: on_own}
    assert lookup_exception_handler(by_class, {404: on_status}, error) is handler


def test_without_registered_handlers_everything_propagates() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise StarletteHTTPException(404)

    async def run() -> None:
        scope: Scope = {"type": "http"}
        request = Request(scope)
        await wrap_app_handling_exceptions(app, request)(scope, request.receive, request._send)

    with pytest.raises(StarletteHTTPException):
        asyncio.run(run())
