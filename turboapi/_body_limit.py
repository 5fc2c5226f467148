"""`max_body_size` of applications, routers, inclusions and path operations, on top of the middleware that counts."""

from collections.abc import Awaitable
from typing import Any, cast

from turboapi._speedups import Layer
from turboapi.exception_handlers import http_exception_handler
from turboapi.exceptions import StarletteHTTPException
from turboapi.middleware.body_limit import (
    MAX_BODY_SIZE_SCOPE_KEY,
    LimitInScope,
    RequestBodyLimitMiddleware,
    RequestBodyLimitResponseSent,
    RequestBodyTooLarge,
    keep_body_below,
)
from turboapi.middleware.hooks import Exchange, NativeMiddleware
from turboapi.requests import Request
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "MAX_BODY_SIZE_SCOPE_KEY",
    "AppBodyLimitMiddleware",
    "get_body_limit_error",
    "get_body_size_limit",
    "validate_max_body_size",
    "wrap_app_with_body_limit",
]

_OWN_ERRORS = (RequestBodyTooLarge, RequestBodyLimitResponseSent)


def validate_max_body_size(max_body_size: object) -> None:
    """Check a limit where it is declared. Raises ValueError."""
    if max_body_size is None:
        return
    if isinstance(max_body_size, bool) or not isinstance(max_body_size, int) or max_body_size < 0:
        raise ValueError("max_body_size must be a non-negative integer or None")


def get_body_size_limit(*limits: int | None) -> int | None:
    """Return the first limit that was set, of some that go from the inside out."""
    return next((limit for limit in limits if limit is not None), None)


def get_body_limit_error(exc: Exception) -> Exception | None:
    """Return the limit's own exception, also out of a group in which there is nothing else; None for any other."""
    if isinstance(exc, ExceptionGroup):
        if exc.split(_OWN_ERRORS)[1] is not None:
            return None
        # A 413 that was sent already ends the matter, whatever else is in the group.
        exc = exc.subgroup(RequestBodyLimitResponseSent) or exc
        while isinstance(exc, ExceptionGroup):
            exc = exc.exceptions[0]
    return exc if isinstance(exc, _OWN_ERRORS) else None


def wrap_app_with_body_limit(app: ASGIApp, max_body_size: int | None) -> ASGIApp:
    """Return `app` with its requests' bodies limited; without a limit, `app` itself."""
    if max_body_size is None:
        return app
    return RequestBodyLimitMiddleware(_Ungrouping(app), max_body_size=max_body_size)


class _Ungrouping:
    """Raises the limit's exception in place of a group that holds only that: a task group may have been in between."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except ExceptionGroup as exc:
            if scope["type"] == "http" and (error := get_body_limit_error(exc)):
                raise error from exc
            raise


class AppBodyLimitMiddleware(NativeMiddleware):
    """The application's own limit, and the answer of a mounted application to the limit of the one around it.

    The outer application could answer as well, but its exception would pass the inner `ServerErrorMiddleware`, which
    would make a 500 of it.
    """

    def __init__(self, app: ASGIApp, max_body_size: int | None) -> None:
        self.app = wrap_app_with_body_limit(app, max_body_size)
        self.inside = app
        self.max_body_size = max_body_size
        self._hook = LimitInScope(cast(int, max_body_size))

    def layer(self) -> Layer | None:
        """Return the layer; None where there is no limit."""
        return None if self.max_body_size is None else self.hook_layer()

    def before(self, exchange: Exchange) -> Any:
        """Let pass what has no body, and leave everything else to the counting."""
        return keep_body_below(exchange, self._hook)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if MAX_BODY_SIZE_SCOPE_KEY in scope:
            return self._answer(scope, receive, send)
        return self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_response(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_response)
        except Exception as exc:
            error = get_body_limit_error(exc)
            if started or not isinstance(error, StarletteHTTPException):
                raise
            response = await http_exception_handler(Request(scope, receive), error)
            await response(scope, receive, send)
