"""Answers exceptions with the handlers that were registered for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from turboapi._exception_handler import ExceptionHandlers, StatusHandlers, wrap_app_handling_exceptions
from turboapi._foreign import derives_from, own_class
from turboapi.exceptions import StarletteHTTPException, StarletteWebSocketException
from turboapi.requests import Request
from turboapi.responses import PlainTextResponse, Response
from turboapi.types import ASGIApp, ExceptionHandler, Receive, Scope, Send
from turboapi.websockets import WebSocket

__all__ = ["ExceptionMiddleware"]


class ExceptionMiddleware:
    """Calls the handler registered for an exception's status code or class; others propagate.

    Routes below find the same handlers in `scope["starlette.exception_handlers"]`, so that most exceptions are
    answered before they reach this middleware. `HTTPException` and `WebSocketException` have handlers by default.
    """

    def __init__(
        self, app: ASGIApp, handlers: Mapping[Any, ExceptionHandler] | None = None, debug: bool = False
    ) -> None:
        self.app = app
        self.debug = debug
        self._status_handlers: StatusHandlers = {}
        self._exception_handlers: ExceptionHandlers = {
            StarletteHTTPException: self.http_exception,
            StarletteWebSocketException: self.websocket_exception,
        }
        for key, handler in (handlers or {}).items():
            self.add_exception_handler(key, handler)

    def add_exception_handler(self, exc_class_or_status_code: int | type[Exception], handler: ExceptionHandler) -> None:
        """Register `handler(conn, exc)` for a status code or for an exception class and its subclasses."""
        if isinstance(exc_class_or_status_code, int):
            self._status_handlers[exc_class_or_status_code] = handler
        else:
            assert issubclass(exc_class_or_status_code, Exception)
            self._exception_handlers[own_class(exc_class_or_status_code)] = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope["starlette.exception_handlers"] = (self._exception_handlers, self._status_handlers)
        connection = Request if scope["type"] == "http" else WebSocket
        await wrap_app_handling_exceptions(self.app, connection(scope, receive, send))(scope, receive, send)

    async def http_exception(self, request: Request, exc: Exception) -> Response:
        """Answer with the exception's status and its detail as plain text."""
        assert derives_from(type(exc), StarletteHTTPException)
        exc = cast(StarletteHTTPException, exc)
        if exc.status_code in (204, 304):
            return Response(status_code=exc.status_code, headers=exc.headers)
        return PlainTextResponse(exc.detail, status_code=exc.status_code, headers=exc.headers)

    async def websocket_exception(self, websocket: WebSocket, exc: Exception) -> None:
        """Close the connection with the exception's code and reason."""
        assert derives_from(type(exc), StarletteWebSocketException)
        exc = cast(StarletteWebSocketException, exc)
        await websocket.close(code=exc.code, reason=exc.reason)
