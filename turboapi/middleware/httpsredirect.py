"""Sends clients that come by `http` or `ws` to the same URL with `https` or `wss`."""

from __future__ import annotations

from turboapi._speedups import Layer
from turboapi.datastructures import URL
from turboapi.middleware.hooks import Exchange, NativeMiddleware
from turboapi.responses import PlainTextResponse, RedirectResponse, Response
from turboapi.types import ASGIApp, Receive, Scope, Send

__all__ = ["HTTPSRedirectMiddleware"]

_SECURE = {"http": "https", "ws": "wss"}


class HTTPSRedirectMiddleware(NativeMiddleware):
    """Answers 307 to every request that is not encrypted; 400 if it does not say for which host it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(HTTPSRedirectMiddleware, "__call__") else self.hook_layer()

    def before(self, exchange: Exchange) -> Response | None:
        """Return the redirection of a request that is not encrypted."""
        scope = exchange.scope()
        return _redirect(URL(scope=scope)) if scope["scheme"] in _SECURE else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope["scheme"] in _SECURE:
            await _redirect(URL(scope=scope))(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _redirect(url: URL) -> Response:
    if not url.netloc:
        return PlainTextResponse("Invalid host header", status_code=400)
    # A default port is that of the old scheme, and would be wrong in the new one.
    netloc = url.hostname if url.port in (80, 443) else url.netloc
    return RedirectResponse(url.replace(scheme=_SECURE[url.scheme], netloc=netloc), status_code=307)
