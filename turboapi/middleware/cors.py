"""Cross-origin resource sharing: who lets pages of other origins read responses (CORS protocol, Fetch standard).

What does not depend on the request is decided once: `simple_headers` go on every response to a request that names its
origin, `preflight_headers` on every answer to a preflight request.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

from turboapi._speedups import Layer
from turboapi.datastructures import Headers, MutableHeaders
from turboapi.middleware.hooks import Exchange, HeaderHook, NativeMiddleware
from turboapi.responses import PlainTextResponse, Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ALL_METHODS", "SAFELISTED_HEADERS", "CORSMiddleware"]

ALL_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY")
SAFELISTED_HEADERS = {"Accept", "Accept-Language", "Content-Language", "Content-Type"}

_ALLOW_ORIGIN = b"access-control-allow-origin"
_VARY_ORIGIN = (b"vary", b"Origin")
_KEPT_ORIGINS = 128
_PREFLIGHT_VARY = ", ".join(
    (
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Access-Control-Request-Private-Network",
    )
)


class CORSMiddleware(NativeMiddleware):
    """Answers preflight requests, and adds the headers that let the allowed origins read the other responses.

    Args:
        app: the application inside.
        allow_origins: origins like "https://example.org"; "*" stands for all.
        allow_methods: methods that may be used; "*" stands for `ALL_METHODS`.
        allow_headers: request headers allowed besides `SAFELISTED_HEADERS`; "*" stands for all.
        allow_credentials: whether cookies and the like may be sent. The browser is told the origin then, never "*".
        allow_origin_regex: also allows the origins that match as a whole.
        allow_private_network: whether pages of public addresses may reach this server at a private one.
        expose_headers: response headers that scripts may see besides the safelisted ones.
        max_age: for how many seconds a browser may remember the answer to a preflight request.
    """

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Collection[str] = (),
        allow_methods: Collection[str] = ("GET",),
        allow_headers: Collection[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: str | None = None,
        allow_private_network: bool = False,
        expose_headers: Collection[str] = (),
        max_age: int = 600,
    ) -> None:
        header_names = sorted(SAFELISTED_HEADERS.union(allow_headers))
        self.app = app
        self.allow_origins = allow_origins
        self.allow_methods = ALL_METHODS if "*" in allow_methods else allow_methods
        self.allow_headers = [name.lower() for name in header_names]
        self.allow_all_origins = "*" in allow_origins
        self.allow_all_headers = "*" in allow_headers
        self.allow_credentials = allow_credentials
        self.preflight_explicit_allow_origin = allow_credentials or not self.allow_all_origins
        self.allow_origin_regex = None if allow_origin_regex is None else re.compile(allow_origin_regex)
        self.allow_private_network = allow_private_network
        self.simple_headers = self._build_simple_headers(expose_headers)
        self.preflight_headers = self._build_preflight_headers(header_names, max_age)
        self._simple = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.simple_headers.items()
        ]
        self._without_origin = self._hook(None, [])
        self._with_any_origin = self._hook("", self._simple)
        self._explicit_hook = functools.lru_cache(maxsize=_KEPT_ORIGINS)(self._make_explicit_hook)

    def _build_simple_headers(self, expose_headers: Collection[str]) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.allow_all_origins:
            headers["Access-Control-Allow-Origin"] = "*"
        if self.allow_credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if expose_headers:
            headers["Access-Control-Expose-Headers"] = ", ".join(expose_headers)
        return headers

    def _build_preflight_headers(self, allow_headers: Collection[str], max_age: int) -> dict[str, str]:
        headers = {"Vary": _PREFLIGHT_VARY}
        if not self.preflight_explicit_allow_origin:
            headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Allow-Methods"] = ", ".join(self.allow_methods)
        headers["Access-Control-Max-Age"] = str(max_age)
        if not self.allow_all_headers:
            headers["Access-Control-Allow-Headers"] = ", ".join(allow_headers)
        if self.allow_credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        return headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers:
            response = self.preflight_response(request_headers=headers)
            await response(scope, receive, send)
        else:
            await self.simple_response(scope, receive, send, request_headers=headers)

    def layer(self) -> Layer | None:
        """Return the layer; None if a method that only ASGI calls is overridden."""
        overridden = self.has_own(CORSMiddleware, "__call__", "simple_response", "send", "allow_explicit_origin")
        return None if overridden else self.hook_layer()

    def before(self, exchange: Exchange) -> Response | HeaderHook:
        """Answer a preflight request, or leave the hook that adds the headers."""
        origin = exchange.header(b"origin")
        if origin is None:
            return self._without_origin
        if exchange.method == "OPTIONS" and exchange.header(b"access-control-request-method") is not None:
            return self.preflight_response(request_headers=Headers(raw=exchange.headers))
        if not self.preflight_explicit_allow_origin:
            return self._with_any_origin
        name = origin.decode("latin-1")
        return self._explicit_hook(name) if self.is_allowed_origin(origin=name) else self._hook(name, self._simple)

    def _make_explicit_hook(self, origin: str) -> HeaderHook:
        # An explicit origin takes the place of "*", or stands behind the other headers.
        before, after = ([], self._simple[1:]) if self.allow_all_origins else (self._simple, [])
        return self._hook(origin, [*before, (_ALLOW_ORIGIN, origin.encode("latin-1")), *after])

    def _hook(self, origin: str | None, pairs: list[tuple[bytes, bytes]]) -> HeaderHook:
        """Return what adds `pairs` and Vary to a response without such headers; to others, what `origin` calls for."""
        return HeaderHook(
            [*pairs, _VARY_ORIGIN],
            unless=(b"vary", b"access-control-"),
            otherwise=lambda headers: self._add_headers(MutableHeaders(raw=headers), origin),
        )

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether pages of `origin` may read responses."""
        if self.allow_all_origins or origin in self.allow_origins:
            return True
        return self.allow_origin_regex is not None and self.allow_origin_regex.fullmatch(origin) is not None

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request: 200, or 400 with a text that names what is not allowed.

        A browser does not look at the status but compares the headers itself; the text is for humans.
        """
        headers = dict(self.preflight_headers)
        checks = {
            "origin": self._allow_origin(request_headers["origin"], headers),
            "method": request_headers["access-control-request-method"] in self.allow_methods,
            "headers": self._allow_headers(request_headers.get("access-control-request-headers"), headers),
            "private-network": self._allow_private_network(request_headers, headers),
        }
        failures = [name for name, passed in checks.items() if not passed]
        if failures:
            return PlainTextResponse(f"Disallowed CORS {', '.join(failures)}", status_code=400, headers=headers)
        return PlainTextResponse("OK", status_code=200, headers=headers)

    # The steps of a preflight request: each returns whether its part is allowed, and says so in `headers`.

    def _allow_origin(self, origin: str, headers: dict[str, str]) -> bool:
        allowed = self.is_allowed_origin(origin=origin)
        if allowed and self.preflight_explicit_allow_origin:
            headers["Access-Control-Allow-Origin"] = origin
        return allowed

    def _allow_headers(self, requested: str | None, headers: dict[str, str]) -> bool:
        if requested is None:
            return True
        if self.allow_all_headers:
            # "*" would not cover Authorization, nor anything when there are credentials.
            headers["Access-Control-Allow-Headers"] = requested
            return True
        return all(name.strip() in self.allow_headers for name in requested.lower().split(","))

    def _allow_private_network(self, request_headers: Headers, headers: dict[str, str]) -> bool:
        if "access-control-request-private-network" not in request_headers:
            return True
        if self.allow_private_network:
            headers["Access-Control-Allow-Private-Network"] = "true"
        return self.allow_private_network

    async def simple_response(self, scope: Scope, receive: Receive, send: Send, request_headers: Headers) -> None:
        """Let the application answer a request that is not a preflight."""
        await self.app(scope, receive, functools.partial(self.send, send=send, request_headers=request_headers))

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Send for the application: adds the headers to the start of the response."""
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            self._add_headers(MutableHeaders(scope=message), request_headers.get("origin"))
        await send(message)

    def _add_headers(self, headers: MutableHeaders, origin: str | None) -> None:
        if origin is not None:
            headers.update(self.simple_headers)
            if self.preflight_explicit_allow_origin and (
                self.allow_all_origins or self.is_allowed_origin(origin=origin)
            ):
                self.allow_explicit_origin(headers, origin)
                return
        # Also without an origin: caches must not hand this response to a page that has one.
        headers.add_vary_header("Origin")

    @staticmethod
    def allow_explicit_origin(headers: MutableHeaders, origin: str) -> None:
        """Allow exactly the origin that asks."""
        headers["Access-Control-Allow-Origin"] = origin
        headers.add_vary_header("Origin")
