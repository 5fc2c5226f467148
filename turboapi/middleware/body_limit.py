"""Limits the size of request bodies: 413 Content Too Large (RFC 9110 section 15.5.14).

The middleware may be nested: application, router, mount and route can each set a limit, and the innermost one that has
been reached applies. Only the outermost counts bytes, in a `RequestBodyLimitResponder` which the inner ones find in the
scope and give their own limit. A body that is too large shows in three places:

* declared by `content-length`: the first `receive` raises, or the response is replaced if the body is never read;
* while it is received: the `receive` that exceeds the limit raises;
* a limit that an inner middleware lowers below what was already received: that middleware raises.
"""

from __future__ import annotations

from typing import Any

from turboapi._speedups import Layer
from turboapi.datastructures import Headers
from turboapi.exceptions import StarletteHTTPException
from turboapi.middleware.hooks import AS_ASGI, Exchange, NativeMiddleware, ResponseHook, ScopeHook
from turboapi.responses import PlainTextResponse
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "MAX_BODY_SIZE_SCOPE_KEY",
    "RequestBodyLimitMiddleware",
    "RequestBodyLimitResponder",
    "RequestBodyLimitResponseSent",
    "RequestBodyTooLarge",
]

MAX_BODY_SIZE_SCOPE_KEY = "starlette.max_body_size"
_RESPONDER_SCOPE_KEY = "starlette._body_limit_responder"
_ABSENT = object()


class RequestBodyTooLarge(StarletteHTTPException):
    """The body exceeds the limit. Whoever handles HTTP exceptions may answer it; else the middleware does."""

    def __init__(self) -> None:
        super().__init__(status_code=413, detail="Content Too Large")


class RequestBodyLimitResponseSent(Exception):
    """Stops an application whose response was replaced by the 413 that is sent already."""


class RequestBodyLimitMiddleware(NativeMiddleware):
    """Answers 413 to requests whose body has more than `max_body_size` bytes."""

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.app = app
        self.max_body_size = max_body_size
        self._hook = LimitInScope(max_body_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await RequestBodyLimitResponder(self.app, self.max_body_size)(scope, receive, send)

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(RequestBodyLimitMiddleware, "__call__") else self.hook_layer()

    def before(self, exchange: Exchange) -> Any:
        """Let pass what has no body, and leave everything else to the counting."""
        return keep_body_below(exchange, self._hook)


class LimitInScope(ScopeHook):
    """Lets the scope of a request name the limit for its body."""

    def __init__(self, max_body_size: int) -> None:
        self.max_body_size = max_body_size

    def open(self, scope: Scope) -> ResponseHook:
        scope[MAX_BODY_SIZE_SCOPE_KEY] = self.max_body_size
        return ResponseHook()


def keep_body_below(exchange: Exchange, limit: LimitInScope) -> Any:
    """Return what a hook does: requests whose body is not known to be small enough are counted, under ASGI."""
    if exchange.header(b"transfer-encoding") is not None:
        return AS_ASGI
    length = exchange.header(b"content-length")
    if length is None:
        return None
    return limit if length.isdigit() and int(length) <= limit.max_body_size else AS_ASGI


class RequestBodyLimitResponder:
    """Counts the body of one request; `max_body_size` is the limit in force and may change on the way inwards."""

    scope: Scope
    receive: Receive
    send: Send

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.app = app
        self.max_body_size = max_body_size
        self.content_length: int | None = None
        self.total_size = 0
        self.response_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outer_limit = scope.get(MAX_BODY_SIZE_SCOPE_KEY, _ABSENT)
        scope[MAX_BODY_SIZE_SCOPE_KEY] = self.max_body_size
        counting: RequestBodyLimitResponder | None = scope.get(_RESPONDER_SCOPE_KEY)
        if counting is not None:
            counting.change_limit(self.max_body_size)
            await self.app(scope, receive, send)
            return

        scope[_RESPONDER_SCOPE_KEY] = self
        try:
            await self.respond(scope, receive, send)
        finally:
            scope.pop(_RESPONDER_SCOPE_KEY, None)
            if outer_limit is _ABSENT:
                scope.pop(MAX_BODY_SIZE_SCOPE_KEY, None)
            else:
                scope[MAX_BODY_SIZE_SCOPE_KEY] = outer_limit

    def change_limit(self, max_body_size: int) -> None:
        """Apply the limit of an inner middleware. Raises `RequestBodyTooLarge` if it is exceeded by now."""
        self.max_body_size = max_body_size
        if self.total_size > max_body_size:
            raise RequestBodyTooLarge

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with its body counted, and answer for it when the limit stops it."""
        self.scope, self.receive, self.send = scope, receive, send
        self.content_length = _content_length(scope)
        try:
            await self.app(scope, self.receive_with_limit, self.send_with_limit)
        except RequestBodyTooLarge:
            if self.response_started:
                raise
            await self._send_refusal()
        except RequestBodyLimitResponseSent:
            pass

    @property
    def _declared_too_large(self) -> bool:
        return self.content_length is not None and self.content_length > self.max_body_size

    async def _send_refusal(self) -> None:
        refusal = PlainTextResponse("Content Too Large", status_code=413)
        await refusal(self.scope, self.receive, self.send)

    async def receive_with_limit(self) -> Message:
        """Receive for the application. Raises `RequestBodyTooLarge`."""
        if self._declared_too_large:
            raise RequestBodyTooLarge
        message = await self.receive()
        if message["type"] == "http.request":
            self.total_size += len(message.get("body", b""))
            if self.total_size > self.max_body_size:
                raise RequestBodyTooLarge
        return message

    async def send_with_limit(self, message: Message) -> None:
        """Send for the application. Raises `RequestBodyLimitResponseSent` if 413 was sent in place of its response."""
        if message["type"] == "http.response.start":
            self.response_started = True
            if self._declared_too_large:
                await self._send_refusal()
                raise RequestBodyLimitResponseSent
        await self.send(message)


def _content_length(scope: Scope) -> int | None:
    try:
        return int(Headers(scope=scope)["content-length"])
    except (KeyError, ValueError):
        return None
