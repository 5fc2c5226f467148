"""A server span of OpenTelemetry for each HTTP request, named and described by the semantic conventions for HTTP.

Experimental, as in Starlette: arguments and attributes may change in any release. Importing this needs
opentelemetry-api, and raises ImportError without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from turboapi._routes import Mount
from turboapi._utils import STARLETTE_RELEASE
from turboapi.datastructures import URL
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ImportError as exc:
    raise ImportError(
        "The `opentelemetry-api` library must be installed to use OpenTelemetryMiddleware. "
        'It comes with `pip install "turboapi[opentelemetry]"`.'
    ) from exc

__all__ = ["OpenTelemetryMiddleware"]

_SEEN = "starlette.opentelemetry"  # in the scope of a request that an outer middleware of this class looks after


class OpenTelemetryMiddleware:
    """Traces the HTTP requests to `app`; of several around each other, only the outermost does.

    Args:
        app: the application inside.
        excluded_urls: regular expressions, in a list or joined by commas. A request is not traced if one of them is
            found in its URL.
        tracer_provider: where the spans go; by default the provider that is set for the process.
        meter_provider: for the metrics that this does not have yet.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        excluded_urls: str | Sequence[str] = (),
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self.app = app
        self._meter_provider = meter_provider
        if isinstance(excluded_urls, str):
            excluded_urls = [part.strip() for part in excluded_urls.split(",")] if excluded_urls else []
        self._excluded_urls = [re.compile(pattern) for pattern in excluded_urls]
        self._tracer_provider = tracer_provider or trace.get_tracer_provider()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get(_SEEN):
            await self.app(scope, receive, send)
            return
        scope[_SEEN] = True
        try:
            url = None if isinstance(self._tracer_provider, trace.NoOpTracerProvider) else URL(scope=scope)
            if url is None or self._is_excluded(url):
                await self.app(scope, receive, send)
            else:
                await self._trace(url, scope, receive, send)
        finally:
            del scope[_SEEN]  # the application may use the scope for a request of its own

    def _is_excluded(self, url: URL) -> bool:
        return any(pattern.search(str(url)) for pattern in self._excluded_urls)

    async def _trace(self, url: URL, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _decoded_headers(scope)
        attributes = _attributes(url, scope, headers)
        method = str(attributes["http.request.method"])
        # Asked for each time: a provider that is set later replaces the one that was found at the start.
        tracer = self._tracer_provider.get_tracer("starlette", STARLETTE_RELEASE)
        with tracer.start_as_current_span(
            method,
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
        ) as span:

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note_status(span, message["status"])
                await send(message)

            try:
                await self.app(scope, receive, send_and_note)
            except Exception as exc:
                span.set_attribute("error.type", type(exc).__qualname__)
                raise
            finally:
                if (path := _route_path(scope)) is not None:
                    span.update_name(f"{method} {path}")
                    span.set_attribute("http.route", path)


def _decoded_headers(scope: Scope) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope.get("headers", []):
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _attributes(url: URL, scope: Scope, headers: dict[str, list[str]]) -> dict[str, str | int]:
    written: str = scope.get("method", "")
    method = written.upper()
    client, server = scope.get("client"), scope.get("server")
    found: dict[str, str | int | None] = {
        "http.request.method": method,
        "http.request.method_original": None if written == method else written,
        "url.path": scope.get("path", ""),
        "url.scheme": scope.get("scheme", "http"),
        "url.query": url.query or None,
        "network.protocol.version": scope.get("http_version") or None,
        "client.address": None if client is None else client[0],
        "user_agent.original": headers.get("user-agent", [None])[0],
    }
    if url.hostname is not None:
        found["server.address"] = url.hostname
        found["server.port"] = server[1] if url.port is None and server is not None else url.port
    return {name: value for name, value in found.items() if value is not None}


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


def _route_path(scope: Scope) -> str | None:
    """Return the path of the route that the request has come to, with what is mounted above it; None if it has none."""
    route = scope.get("route")
    root_path: str = scope.get("root_path", "")
    if isinstance(route, Mount):
        return root_path or "/"
    path_format = getattr(route, "path_format", None)
    return root_path.rstrip("/") + path_format or "/" if isinstance(path_format, str) else None
