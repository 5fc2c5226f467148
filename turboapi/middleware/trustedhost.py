"""Refuses requests for hosts that this application does not serve.

The Host header (RFC 9110 section 7.2) says what the client wants it to say; links that are built from it would lead
there.
"""

from __future__ import annotations

from collections.abc import Sequence

from turboapi._speedups import Layer
from turboapi._utils import parse_host_header
from turboapi.datastructures import URL, Headers
from turboapi.middleware.hooks import Exchange, NativeMiddleware
from turboapi.responses import PlainTextResponse, RedirectResponse, Response
from turboapi.types import ASGIApp, Receive, Scope, Send

__all__ = ["ENFORCE_DOMAIN_WILDCARD", "TrustedHostMiddleware"]

ENFORCE_DOMAIN_WILDCARD = "Domain wildcard patterns must be like '*.example.com'."


def _is_pattern(text: str) -> bool:
    return "*" not in text[1:] and (text == "*" or not text.startswith("*") or text.startswith("*."))


class TrustedHostMiddleware(NativeMiddleware):
    """Answers 400 unless the host is one of `allowed_hosts`, or below one that is written like "*.example.com".

    Without `allowed_hosts`, or with "*" among them, everything passes. `www_redirect`: a host that is only allowed with
    "www." in front is sent there. The port does not matter. Raises AssertionError for a wrong pattern.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Sequence[str] | None = None,
        www_redirect: bool = True,
    ) -> None:
        if allowed_hosts is None:
            allowed_hosts = ["*"]
        assert all(map(_is_pattern, allowed_hosts)), ENFORCE_DOMAIN_WILDCARD
        self.app = app
        self.allowed_hosts = [pattern.lower() for pattern in allowed_hosts]
        self.allow_any = "*" in allowed_hosts
        self.www_redirect = www_redirect
        self._passed: bytes | None = None  # the last Host that did: nearly always the next one, too

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(TrustedHostMiddleware, "__call__") else self.hook_layer()

    def before(self, exchange: Exchange) -> Response | None:
        """Return the response to a request that may not pass, None for one that may."""
        host = exchange.header(b"host")
        if self.allow_any or (host is not None and host == self._passed):
            return None
        refusal = self._refusal(exchange.scope())
        if refusal is None:
            self._passed = host
        return refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if not self.allow_any and scope["type"] in ("http", "websocket"):
            refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the response to a request that may not pass, None for one that may."""
        parsed = parse_host_header(Headers(scope=scope).get("host"))
        if parsed is not None:
            host = parsed.host.lower()
            if self._is_allowed(host):
                return None
            if self.www_redirect and f"www.{host}" in self.allowed_hosts:
                url = URL(scope=scope)
                return RedirectResponse(str(url.replace(netloc=f"www.{url.netloc}")))
        return PlainTextResponse("Invalid host header", status_code=400)

    def _is_allowed(self, host: str) -> bool:
        return any(
            host == pattern or (pattern.startswith("*") and host.endswith(pattern[1:]))
            for pattern in self.allowed_hosts
        )
