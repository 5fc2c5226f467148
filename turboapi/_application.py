"""Starlette's application: a router inside of middleware. FastAPI's (`turboapi.applications`) is one, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from turboapi._routes import BaseRoute, Router
from turboapi.datastructures import State, URLPath
from turboapi.middleware import Middleware
from turboapi.middleware.body_limit import RequestBodyLimitMiddleware
from turboapi.middleware.errors import ServerErrorMiddleware
from turboapi.middleware.exceptions import ExceptionMiddleware
from turboapi.requests import Request
from turboapi.responses import Response
from turboapi.types import ASGIApp, ExceptionHandler, Lifespan, Receive, Scope, Send
from turboapi.websockets import WebSocket

__all__ = ["Starlette"]


class Starlette:
    """An ASGI application.

    Args:
        debug: show tracebacks to clients.
        routes: what to serve.
        middleware: around the routes, the first one outermost.
        exception_handlers: by exception class or status code; those for 500 or Exception answer for all that is left.
        lifespan: an async context manager around the time in which the application serves.
        max_body_size: the limit of request bodies in bytes.
    """

    _error_middleware: type[ServerErrorMiddleware] = ServerErrorMiddleware

    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan[Any] | None = None,
        *,
        max_body_size: int | None = None,
    ) -> None:
        self.debug = debug
        self.state = State()
        self.router = Router(routes, lifespan=lifespan)
        self.max_body_size = max_body_size
        self.exception_handlers = dict(exception_handlers or {})
        self.user_middleware = list(middleware or [])
        self.middleware_stack: ASGIApp | None = None

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of the application's router, in order."""
        return self.router.routes

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the route `name`; raises NoMatchFound."""
        return self.router.url_path_for(name, **path_params)

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        """Let an ASGI application answer everything below `path`."""
        self.router.mount(path, app=app, name=name)

    def host(self, host: str, app: ASGIApp, name: str | None = None) -> None:
        """Let an ASGI application answer every request to `host`."""
        self.router.host(host, app=app, name=name)

    def add_route(
        self,
        path: str,
        route: Callable[[Request], Awaitable[Response] | Response],
        methods: list[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
    ) -> None:
        """Declare a plain route: `handler(request) -> Response`, or an ASGI class."""
        self.router.add_route(path, route, methods=methods, name=name, include_in_schema=include_in_schema)

    def add_websocket_route(
        self, path: str, route: Callable[[WebSocket], Awaitable[None]], name: str | None = None
    ) -> None:
        """Declare a plain WebSocket route: `handler(websocket)`, or an ASGI class."""
        self.router.add_websocket_route(path, route, name=name)

    def add_middleware(self, middleware_class: Callable[..., ASGIApp], *args: Any, **kwargs: Any) -> None:
        """Put an ASGI middleware around the application, outside of those added before.

        Raises RuntimeError once the application has started.
        """
        if self.middleware_stack is not None:
            raise RuntimeError("Cannot add middleware after an application has started")
        self.user_middleware.insert(0, Middleware(cast(Any, middleware_class), *args, **kwargs))

    def add_exception_handler(self, exc_class_or_status_code: int | type[Exception], handler: ExceptionHandler) -> None:
        """Answer exceptions of a class, or with a status code, by `handler(request, exc) -> Response`."""
        self.exception_handlers[exc_class_or_status_code] = handler

    def split_exception_handlers(self) -> tuple[dict[Any, ExceptionHandler], ExceptionHandler | None]:
        """Return the handlers of expected exceptions, and the one for all others (registered for 500 or Exception)."""
        expected = {key: handler for key, handler in self.exception_handlers.items() if key not in (500, Exception)}
        others = [handler for key, handler in self.exception_handlers.items() if key in (500, Exception)]
        return expected, others[-1] if others else None

    def build_middleware_stack(self) -> ASGIApp:
        """Return the router inside of all middleware."""
        expected, unexpected = self.split_exception_handlers()
        stack = [
            Middleware(cast(Any, self._error_middleware), handler=unexpected, debug=self.debug),
            *self._limiting_middleware(),
            *self.user_middleware,
            Middleware(cast(Any, ExceptionMiddleware), handlers=expected, debug=self.debug),
            *self._innermost_middleware(),
        ]
        app: ASGIApp = self.router
        for cls, args, kwargs in reversed(stack):
            app = cast(Any, cls)(app, *args, **kwargs)
        return app

    def _limiting_middleware(self) -> list[Middleware]:
        if self.max_body_size is None:
            return []
        return [Middleware(cast(Any, RequestBodyLimitMiddleware), max_body_size=self.max_body_size)]

    def _innermost_middleware(self) -> list[Middleware]:
        return []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entrance."""
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)
