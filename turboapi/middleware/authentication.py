"""Finds out who sends a request, before the application sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from turboapi._speedups import Layer
from turboapi.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, UnauthenticatedUser
from turboapi.middleware.hooks import Exchange, NativeMiddleware
from turboapi.requests import HTTPConnection
from turboapi.responses import PlainTextResponse, Response
from turboapi.types import ASGIApp, Receive, Scope, Send

__all__ = ["AuthenticationMiddleware"]

OnError = Callable[[HTTPConnection[Any], AuthenticationError], Response]


class AuthenticationMiddleware(NativeMiddleware):
    """Asks `backend` about every request and WebSocket; the answer becomes `request.auth` and `request.user`.

    If the backend raises AuthenticationError, the application is not called: the client gets the response that
    `on_error` returns, by default 400 with the error's text; a WebSocket is closed.
    """

    def __init__(self, app: ASGIApp, backend: AuthenticationBackend, on_error: OnError | None = None) -> None:
        self.app = app
        self.backend = backend
        self.on_error: OnError = self.default_on_error if on_error is None else on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            refusal = await self._authenticate(scope)
            if refusal is not None:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1000})
                else:
                    await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(AuthenticationMiddleware, "__call__") else self.hook_layer()

    async def before(self, exchange: Exchange) -> Response | None:
        """Put user and credentials into the scope, or return the response of `on_error`."""
        return await self._authenticate(exchange.scope())

    async def _authenticate(self, scope: Scope) -> Response | None:
        conn: HTTPConnection[Any] = HTTPConnection(scope)
        try:
            found = await self.backend.authenticate(conn)
        except AuthenticationError as exc:
            return self.on_error(conn, exc)
        scope["auth"], scope["user"] = (AuthCredentials(), UnauthenticatedUser()) if found is None else found
        return None

    @staticmethod
    def default_on_error(conn: HTTPConnection[Any], exc: Exception) -> Response:
        """The response of a middleware without `on_error`."""
        return PlainTextResponse(str(exc), status_code=400)
