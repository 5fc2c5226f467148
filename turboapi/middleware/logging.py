"""A structured access log: one record for each request, on the logger "turboapi.requests"."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from math import floor
from os import urandom
from typing import Any, Literal, get_args
from urllib.parse import unquote_plus

from turboapi._speedups import Exchange
from turboapi._utils import path_matcher
from turboapi.exceptions import ClientDisconnect
from turboapi.middleware._client import ClientAddresses, ProxyHeader
from turboapi.middleware.errors import add_error_header
from turboapi.middleware.hooks import HookMiddleware, ResponseHook
from turboapi.types import ASGIApp

__all__ = ["LogFormat", "LoggingMiddleware", "request_id"]

LogFormat = Literal["json", "text"]
Fields = dict[str, Any]
_RawHeaders = list[tuple[bytes, bytes]]

logger = logging.getLogger("turboapi.requests")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, for log records and requests to other services."""

REDACTED = "[redacted]"
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key"})
SECRET_QUERY = frozenset(
    {"access_token", "api_key", "apikey", "client_secret", "id_token", "password", "refresh_token", "secret", "token"}
)
_HEADERS_WITH_URLS = ("location", "referer")
_LAST_RESORT = 500  # what the client gets for an exception

# Escapes all that is not printable ASCII.
_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
_BARE_TEXT = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII but blank, quotation mark, equals sign, backslash


class LoggingMiddleware(HookMiddleware):
    """Logs every request when its response has ended, and gives it an id.

    The id is taken from the request's header, if that has at most 128 letters, digits and `.:/+=@_-`, or made. It goes
    into the same header of the response, `request.state.request_id`, and the context variable `request_id`.

    2xx and 3xx are logged as info, 4xx as warnings, 5xx and exceptions as errors. The record's message is the text; its
    attribute `fields` is the dictionary. WebSockets are not logged.

    Args:
        app: the application inside.
        format: "json", or "text" for `name=value`. Neither contains control characters, whatever clients send.
        request_id_header: the header of request ids; None not to read and send any.
        sample: the share of requests to log, of those with a status below 400; from 0 to 1.
        exclude_paths: paths that are not logged, all that begin alike if one ends with "*".
        request_headers: headers of requests to log; ["*"] for all.
        response_headers: headers of responses to log; ["*"] for all.
        redact_headers: headers whose values are never logged, besides Authorization, Cookie, Set-Cookie,
            Proxy-Authorization and X-API-Key.
        redact_query: query parameters whose values are never logged, besides `token`, `password` and the like.
        trusted_proxies: as in `RateLimitMiddleware`.
        proxy_header: as in `RateLimitMiddleware`.

    Raises:
        ValueError: for wrong arguments.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        format: LogFormat = "json",
        request_id_header: str | None = "X-Request-ID",
        sample: float = 1.0,
        exclude_paths: Iterable[str] = (),
        request_headers: Iterable[str] = ("user-agent",),
        response_headers: Iterable[str] = (),
        redact_headers: Iterable[str] = (),
        redact_query: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
        proxy_header: ProxyHeader = "X-Forwarded-For",
    ) -> None:
        super().__init__(app)
        if format not in _FORMATS:
            raise ValueError(f"format must be one of {', '.join(get_args(LogFormat))}, not {format!r}")
        if not 0 <= sample <= 1:
            raise ValueError(f"sample must be between 0 and 1, not {sample}")
        self._format = _FORMATS[format]
        self._id_header = None if request_id_header is None else request_id_header.lower().encode("ascii")
        self._sample = sample
        self._sampled = 0
        self._is_excluded = path_matcher(exclude_paths)
        self._request_headers = _names(request_headers)
        self._response_headers = _names(response_headers)
        self._secret_headers = SECRET_HEADERS | _names(redact_headers)
        self._secret_query = SECRET_QUERY | _names(redact_query)
        self._clients = ClientAddresses(trusted_proxies, proxy_header)

    def before(self, exchange: Exchange) -> ResponseHook | None:
        """Note when the request came, and give it an id."""
        is_logged = not self._is_excluded(exchange.path)
        found = None
        if self._id_header is not None:
            found = self._request_id(exchange.headers)
            scope = exchange.scope()
            scope.setdefault("state", {})["request_id"] = found
            add_error_header(scope, self._id_header, found.encode("ascii"))
            request_id.set(found)
        elif not is_logged:
            return None
        return _Request(self, exchange, found, is_logged)

    def _request_id(self, headers: _RawHeaders) -> str:
        for name, value in headers:
            if name == self._id_header:
                text = value.decode("latin-1")
                if _REQUEST_ID.fullmatch(text):
                    return text
                break
        return urandom(16).hex()

    def log(self, request: _Request, error: BaseException | None) -> None:
        """Log an answered request, if it is one of those to log."""
        is_fault = isinstance(error, Exception) and not isinstance(error, ClientDisconnect)
        status = _LAST_RESORT if request.status is None and is_fault else request.status
        level = logging.ERROR if is_fault else _level(status, error)
        if (level < logging.WARNING and not self._is_sampled()) or not logger.isEnabledFor(level):
            return
        fields = self._fields(request, level, status, error)
        # `Logger.log` would look for the line of code that calls it, which is always this one.
        record = logger.makeRecord(logger.name, level, "", 0, self._format(fields), (), None, extra={"fields": fields})
        logger.handle(record)

    def _is_sampled(self) -> bool:
        """Whether this one is logged: evenly, and not by anything that a client can choose."""
        self._sampled += 1
        return floor(self._sampled * self._sample) > floor((self._sampled - 1) * self._sample)

    def _fields(self, request: _Request, level: int, status: int | None, error: BaseException | None) -> Fields:
        scope = request.scope
        query = self._without_secrets(scope["query_string"].decode("latin-1"))
        fields = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": logging.getLevelName(level).lower(),
            "request_id": request.id,
            "client": self._clients.find(scope),
            "method": scope["method"],
            "path": scope["path"],
            "query": query,
            "status": status,
            "disconnected": isinstance(error, ClientDisconnect) or None,
            "duration_ms": round((time.perf_counter() - request.begin) * 1000, 3),
            "request_headers": self._headers(request.headers, self._request_headers),
            "response_headers": self._headers(request.response_headers, self._response_headers),
            "error": None if error is None or isinstance(error, ClientDisconnect) else type(error).__qualname__,
        }
        return {name: value for name, value in fields.items() if value not in (None, "", {})}

    def _headers(self, headers: _RawHeaders, names: frozenset[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        if not names:
            return found
        for raw_name, raw_value in headers:
            name = raw_name.decode("latin-1").lower()
            if name in names or "*" in names:
                value = self._header(name, raw_value.decode("latin-1"))
                found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    def _header(self, name: str, value: str) -> str:
        if name in self._secret_headers:
            return REDACTED
        if name in _HEADERS_WITH_URLS:
            start, mark, query = value.partition("?")
            return start + mark + self._without_secrets(query)
        return value

    def _without_secrets(self, query: str) -> str:
        """Return a query string with the values of secret parameters replaced, as it was otherwise."""
        pairs = query.split("&")
        for index, pair in enumerate(pairs):
            name, is_pair, _ = pair.partition("=")
            if is_pair and unquote_plus(name).lower() in self._secret_query:
                pairs[index] = f"{name}={REDACTED}"
        return "&".join(pairs)


class _Request(ResponseHook):
    """One request, until it is logged."""

    __slots__ = ("begin", "headers", "id", "is_logged", "middleware", "response_headers", "scope", "status")

    def __init__(self, middleware: LoggingMiddleware, exchange: Exchange, id: str | None, is_logged: bool) -> None:
        self.middleware = middleware
        self.scope = exchange.scope()
        self.headers = exchange.headers
        self.id = id
        self.is_logged = is_logged
        self.status: int | None = None
        self.response_headers: _RawHeaders = []
        self.begin = time.perf_counter()

    def head(self, status: int, headers: _RawHeaders) -> None:
        """Note the status, and send the id."""
        self.status = status
        if self.id is not None:
            name = self.middleware._id_header
            headers[:] = [pair for pair in headers if pair[0] != name]
            headers.append((name or b"", self.id.encode("ascii")))
        self.response_headers = headers

    def end(self, error: BaseException | None) -> None:
        """Log the request."""
        if self.is_logged:
            self.middleware.log(self, error)


def _names(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise ValueError(f"names must be a list, not {names!r}")
    return frozenset(name.lower() for name in names)


def _level(status: int | None, error: BaseException | None) -> int:
    """Return the level for a response; it is a warning if the client has gone before its end."""
    if status is None or error is not None:
        return logging.WARNING
    return logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR


def _to_text(fields: Mapping[str, Any], prefix: str = "") -> str:
    parts = []
    for name, value in fields.items():
        if isinstance(value, dict):
            parts.append(_to_text(value, f"{name}."))
        else:
            parts.append(f"{_quoted(prefix + name)}={_quoted(str(value))}")
    return " ".join(parts)


def _quoted(text: str) -> str:
    return text if _BARE_TEXT.fullmatch(text) else _to_json(text)


_FORMATS: dict[str, Callable[[Fields], str]] = {"json": _to_json, "text": _to_text}
