"""Middleware: applications around the application, and the declaration that one should be put there.

The ready-made ones can be imported from here. `wsgi`, which is deprecated and warns when it is imported, and the parts
that every application has by itself (`errors`, `exceptions`, `asyncexitstack`) are only in their modules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ParamSpec, Protocol

from turboapi.middleware.authentication import AuthenticationMiddleware
from turboapi.middleware.base import BaseHTTPMiddleware
from turboapi.middleware.body_limit import RequestBodyLimitMiddleware
from turboapi.middleware.cors import CORSMiddleware
from turboapi.middleware.custom import CustomMiddleware
from turboapi.middleware.gzip import GZipMiddleware
from turboapi.middleware.hooks import HookMiddleware, ResponseHook
from turboapi.middleware.httpsredirect import HTTPSRedirectMiddleware
from turboapi.middleware.logging import LoggingMiddleware
from turboapi.middleware.metrics import MetricsMiddleware
from turboapi.middleware.ratelimit import RateLimit, RateLimitMiddleware
from turboapi.middleware.server_sessions import ServerSessionMiddleware
from turboapi.middleware.sessions import SessionMiddleware
from turboapi.middleware.trustedhost import TrustedHostMiddleware

__all__ = [
    "AuthenticationMiddleware",
    "BaseHTTPMiddleware",
    "CORSMiddleware",
    "CustomMiddleware",
    "GZipMiddleware",
    "HTTPSRedirectMiddleware",
    "HookMiddleware",
    "LoggingMiddleware",
    "MetricsMiddleware",
    "Middleware",
    "RateLimit",
    "RateLimitMiddleware",
    "RequestBodyLimitMiddleware",
    "ResponseHook",
    "ServerSessionMiddleware",
    "SessionMiddleware",
    "TrustedHostMiddleware",
]

P = ParamSpec("P")

# Wider than `turboapi.types.ASGIApp`, so that type checkers also accept applications typed by other libraries.
_AnyASGIApp = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class _MiddlewareFactory(Protocol[P]):
    def __call__(self, app: _AnyASGIApp, /, *args: P.args, **kwargs: P.kwargs) -> _AnyASGIApp: ...


class Middleware:
    """A middleware class and the arguments to make it with: the application will call `cls(app, *args, **kwargs)`.

    Unpacks into `cls, args, kwargs`.
    """

    def __init__(self, cls: _MiddlewareFactory[P], *args: P.args, **kwargs: P.kwargs) -> None:
        self.cls = cls
        self.args = args
        self.kwargs = kwargs

    def __iter__(self) -> Iterator[Any]:
        return iter((self.cls, self.args, self.kwargs))

    def __repr__(self) -> str:
        parts = [getattr(self.cls, "__name__", "")]
        parts += [repr(value) for value in self.args]
        parts += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{type(self).__name__}({', '.join(parts)})"
