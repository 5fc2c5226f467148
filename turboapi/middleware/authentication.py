"""Finds out who sends a request, before the application sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from turboapi.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, UnauthenticatedUser
from turboapi.requests import HTTPConnection
from turboapi.responses import PlainTextResponse, Response
from turboapi.types import ASGIApp, Receive, Scope, Send

__all__ = ["AuthenticationMiddleware"]

OnError = Callable[[HTTPConnection[Any], AuthenticationError], Response]


class AuthenticationMiddleware:
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
            conn: HTTPConnection[Any] = HTTPConnection(scope)
            try:
                found = await self.backend.authenticate(conn)
            except AuthenticationError as exc:
                await self._refuse(conn, exc, receive, send)
                return
            scope["auth"], scope["user"] = (AuthCredentials(), UnauthenticatedUser()) if found is None else found
        await self.app(scope, receive, send)

    async def _refuse(self, conn: HTTPConnection[Any], exc: AuthenticationError, receive: Receive, send: Send) -> None:
        response = self.on_error(conn, exc)
        if conn.scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await response(conn.scope, receive, send)

    @staticmethod
    def default_on_error(conn: HTTPConnection[Any], exc: Exception) -> Response:
        """The response of a middleware without `on_error`."""
        return PlainTextResponse(str(exc), status_code=400)
