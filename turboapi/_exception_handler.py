"""Turning exceptions into responses: which handler is responsible, and the wrapper that calls it."""

from __future__ import annotations

from typing import Any, cast

from turboapi._foreign import derives_from, own_class
from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.exceptions import StarletteHTTPException
from turboapi.requests import Request
from turboapi.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send
from turboapi.websockets import WebSocket

__all__ = ["ExceptionHandlers", "StatusHandlers", "lookup_exception_handler", "wrap_app_handling_exceptions"]

ExceptionHandlers = dict[Any, ExceptionHandler]
StatusHandlers = dict[int, ExceptionHandler]


def lookup_exception_handler(
    exception_handlers: ExceptionHandlers, status_handlers: StatusHandlers, exc: Exception
) -> ExceptionHandler | None:
    """Return the handler for `exc`, or `None`.

    A handler for the status code of an HTTP exception comes first, then the one for the closest class of the exception.
    """
    if status_handlers and derives_from(type(exc), StarletteHTTPException):
        handler = status_handlers.get(cast(StarletteHTTPException, exc).status_code)
        if handler is not None:
            return handler
    for cls in type(exc).__mro__:
        if cls in exception_handlers:
            return exception_handlers[cls]
        if (twin := own_class(cls)) in exception_handlers:
            return exception_handlers[twin]
    return None


def wrap_app_handling_exceptions(app: ASGIApp, conn: Request | WebSocket) -> ASGIApp:
    """Return `app` with its exceptions answered by the handlers in `conn.scope["starlette.exception_handlers"]`.

    Exceptions nobody handles propagate. Raises `RuntimeError` when a handler exists but the response has already begun.
    """
    exception_handlers, status_handlers = conn.scope.get("starlette.exception_handlers", ({}, {}))

    async def wrapped_app(scope: Scope, receive: Receive, send: Send) -> None:
        response_started = False

        async def sender(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
            await send(message)

        try:
            # Nothing that is sent to a WebSocket begins a response, and each message would go through here.
            await app(scope, receive, send if scope["type"] == "websocket" else sender)
        except Exception as exc:
            handler = lookup_exception_handler(exception_handlers, status_handlers, exc)
            if handler is None:
                raise
            if response_started:
                raise RuntimeError("Caught handled exception, but response already started.") from exc
            response = await _call_handler(handler, conn, exc)
            if response is not None:
                await response(scope, receive, sender)
            # An exception instance may be raised again, by another request; each time would add to its traceback.
            exc.__traceback__ = None

    return wrapped_app


async def _call_handler(handler: Any, conn: Request | WebSocket, exc: Exception) -> Any:
    if is_async_callable(handler):
        return await handler(conn, exc)
    return await run_in_threadpool(handler, conn, exc)
