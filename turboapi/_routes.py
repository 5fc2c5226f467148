"""Starlette's routing: single routes, mounts, hosts, and the router that tries them in order.

A route answers two questions: does it match a scope (`matches`), and what is its path (`url_path_for`). FastAPI's
routing (`turboapi.routing`) is built on top, and replaces the router's linear scan by a compiled table.
"""

from __future__ import annotations

import functools
import inspect
import re
import traceback
import types
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from enum import Enum
from typing import Any, Literal, TypeVar

from turboapi._exception_handler import wrap_app_handling_exceptions
from turboapi._foreign import is_foreign
from turboapi._speedups import innermost, routes_epoch
from turboapi._utils import get_route_path, is_async_callable, parse_host_header, warn_as
from turboapi.concurrency import run_in_threadpool
from turboapi.convertors import CONVERTOR_TYPES, Convertor
from turboapi.datastructures import URL, Headers, URLPath
from turboapi.exceptions import StarletteDeprecationWarning, StarletteHTTPException
from turboapi.middleware import Middleware
from turboapi.middleware.body_limit import RequestBodyLimitMiddleware
from turboapi.requests import Request
from turboapi.responses import PlainTextResponse, RedirectResponse, Response
from turboapi.types import ASGIApp, Lifespan, Receive, Scope, Send
from turboapi.websockets import WebSocket, WebSocketClose

__all__ = [
    "BaseRoute",
    "Host",
    "Match",
    "Mount",
    "NoMatchFound",
    "Route",
    "RouteList",
    "Router",
    "WebSocketRoute",
    "compile_path",
    "get_name",
    "is_no_match",
    "replace_params",
    "request_response",
    "websocket_session",
]

T = TypeVar("T")

# A parameter in a path, {name} or {name:convertor}, and in a path format, where the convertors are gone.
PARAM_REGEX = re.compile("{([a-zA-Z_][a-zA-Z0-9_]*)(:[a-zA-Z_][a-zA-Z0-9_]*)?}")
PARAM_FORMAT_REGEX = re.compile("{([a-zA-Z_][a-zA-Z0-9_]*)}")


class NoMatchFound(Exception):
    """No route has the name and exactly the parameters that a URL was asked for."""

    def __init__(self, name: str, path_params: Mapping[str, Any]) -> None:
        super().__init__(f'No route exists for name "{name}" and params "{", ".join(path_params)}".')


class Match(Enum):
    """How a route matches a request: not at all, by path only (the method is another one), or fully."""

    NONE = 0
    PARTIAL = 1
    FULL = 2


class RouteList(list[Any]):
    """A list of routes that counts its changes, so that what was compiled from it is compiled anew.

    What is added to it passes `understand`, which may return another object in its place.
    """

    changes = 0
    understand: Callable[[Any], Any] | None = None  # a copy is filled before it has attributes

    def __init__(self, routes: Iterable[Any] = (), understand: Callable[[Any], Any] | None = None) -> None:
        self.understand = understand
        super().__init__(routes if understand is None else map(understand, routes))

    def _understood(self, method: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.understand is None or method not in _ADDING:
            return args
        *place, added = args
        is_many = method in ("extend", "__iadd__") or isinstance(args[0], slice)
        return (*place, list(map(self.understand, added)) if is_many else self.understand(added))


_ADDING = ("append", "insert", "extend", "__setitem__", "__iadd__")


def _counting(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    @functools.wraps(method)
    def call(self: RouteList, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *self._understood(name, args), **kwargs)
        finally:  # a method that fails may have changed the list, too
            self.changes += 1
            routes_epoch.value += 1

    return call


for _name in (
    *("append", "insert", "extend", "remove", "pop", "clear", "sort", "reverse"),
    *("__setitem__", "__delitem__", "__iadd__", "__imul__"),
):
    setattr(RouteList, _name, _counting(_name))


# --- functions as ASGI applications -----------------------------------------------------------------------------------


def request_response(func: Callable[[Request], Awaitable[Response] | Response]) -> ASGIApp:
    """Return the ASGI application of `func(request) -> response`; a plain function runs in a worker thread."""
    called: Any = func
    call = called if is_async_callable(called) else functools.partial(run_in_threadpool, called)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            response = await call(request)
            await response(scope, receive, send)

        await wrap_app_handling_exceptions(respond, request)(scope, receive, send)

    return app


def websocket_session(func: Callable[[WebSocket], Awaitable[None]]) -> ASGIApp:
    """Return the ASGI application of the coroutine function `func(websocket)`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = WebSocket(scope, receive=receive, send=send)

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            await innermost(func(session))

        await wrap_app_handling_exceptions(run, session)(scope, receive, send)

    return app


def get_name(endpoint: Callable[..., Any]) -> str:
    """Return the name of a route that was not given one."""
    return getattr(endpoint, "__name__", endpoint.__class__.__name__)


def _is_function(endpoint: Callable[..., Any]) -> bool:
    while isinstance(endpoint, functools.partial):
        endpoint = endpoint.func
    return inspect.isfunction(endpoint) or inspect.ismethod(endpoint)


def _wrapped(app: ASGIApp, middleware: Sequence[Middleware] | None, max_body_size: int | None) -> ASGIApp:
    for cls, args, kwargs in reversed(middleware or ()):
        app = cls(app, *args, **kwargs)
    return app if max_body_size is None else RequestBodyLimitMiddleware(app, max_body_size=max_body_size)


# --- paths ------------------------------------------------------------------------------------------------------------


def compile_path(path: str) -> tuple[re.Pattern[str], str, dict[str, Convertor[Any]]]:
    """Return regex, format and convertors of a path template ("/users/{id:int}") or a host template.

    The example gives the regex "^/users/(?P<id>[0-9]+)$", the format "/users/{id}" and an integer convertor for "id".
    Raises AssertionError for an unknown convertor and ValueError for a name that is there twice.
    """
    is_host = not path.startswith("/")
    regex, path_format, position = "^", "", 0
    convertors: dict[str, Convertor[Any]] = {}
    repeated: set[str] = set()
    for found in PARAM_REGEX.finditer(path):
        name, kind = found[1], (found[2] or ":str")[1:]
        assert kind in CONVERTOR_TYPES, f"Unknown path convertor '{kind}'"
        if name in convertors:
            repeated.add(name)
        convertors[name] = CONVERTOR_TYPES[kind]
        literal = path[position : found.start()]
        regex += f"{re.escape(literal)}(?P<{name}>{convertors[name].regex})"
        path_format += f"{literal}{{{name}}}"
        position = found.end()
    if repeated:
        plural = "s" if len(repeated) > 1 else ""
        raise ValueError(f"Duplicated param name{plural} {', '.join(sorted(repeated))} at path {path}")
    rest = path[position:]
    path_format += rest
    if is_host and not rest.endswith("]"):
        rest = rest.rsplit(":", 1)[0]  # hosts are compared without their port
    # Host names are case-insensitive (RFC 9110, section 4.2.3).
    return re.compile(f"{regex}{re.escape(rest)}$", re.IGNORECASE if is_host else 0), path_format, convertors


def replace_params(
    path: str, param_convertors: dict[str, Convertor[Any]], path_params: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Fill a path format with the values it has places for; return the path and the values that are left."""
    if not path_params:
        return path, path_params
    parts = PARAM_FORMAT_REGEX.split(path)
    for index in range(1, len(parts), 2):
        name = parts[index]
        filled = name in path_params
        parts[index] = param_convertors[name].to_string(path_params.pop(name)) if filled else f"{{{name}}}"
    return "".join(parts), path_params


def _convert(found: re.Match[str], convertors: Mapping[str, Convertor[Any]]) -> dict[str, Any]:
    return {name: convertors[name].convert(text) for name, text in found.groupdict().items()}


def _with_params(scope: Scope, values: Mapping[str, Any], **child_scope: Any) -> Scope:
    return {"path_params": {**scope.get("path_params", {}), **values}, **child_scope}


def _routes_of(app: ASGIApp) -> list[BaseRoute]:
    routes: list[BaseRoute] = getattr(app, "routes", [])
    return routes


def _first_url(routes: Iterable[BaseRoute], name: str, path_params: dict[str, Any]) -> URLPath | None:
    for route in routes:
        try:
            return route.url_path_for(name, **path_params)
        except Exception as exc:
            if not is_no_match(exc):
                raise
    return None


def is_no_match(exc: Exception) -> bool:
    """Say whether the exception is NoMatchFound, or that of Starlette itself: its applications may be mounted."""
    return isinstance(exc, NoMatchFound) or (is_foreign(type(exc)) and type(exc).__name__ == "NoMatchFound")


# --- routes -----------------------------------------------------------------------------------------------------------


class BaseRoute:
    """What a router can hold."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how the route matches, and what to update the scope with if it is taken."""
        raise NotImplementedError

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the route called `name`; raises NoMatchFound."""
        raise NotImplementedError

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the route matches."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route on its own is an ASGI application, too."""
        match, child_scope = self.matches(scope)
        if match is not Match.NONE:
            scope.update(child_scope)
            await self.handle(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)


class _PathRoute(BaseRoute):
    """A route with one path and one endpoint."""

    _scope_type: Literal["http", "websocket"]

    path: str
    endpoint: Callable[..., Any]
    name: str
    path_regex: re.Pattern[str]
    path_format: str
    param_convertors: dict[str, Convertor[Any]]

    def _set_path(self, path: str, endpoint: Callable[..., Any], name: str | None) -> None:
        assert path.startswith("/"), "Routed paths must start with '/'"
        self.path = path
        self.endpoint = endpoint
        self.name = get_name(endpoint) if name is None else name
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == self._scope_type and (found := self.path_regex.match(get_route_path(scope))):
            values = _convert(found, self.param_convertors)
            return self._degree(scope), _with_params(scope, values, endpoint=self.endpoint)
        return Match.NONE, {}

    def _degree(self, scope: Scope) -> Match:
        return Match.FULL

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if name != self.name or path_params.keys() != self.param_convertors.keys():
            raise NoMatchFound(name, path_params)
        path, _ = replace_params(self.path_format, self.param_convertors, path_params)
        return URLPath(path=path, protocol=self._scope_type)


class Route(_PathRoute):
    """An HTTP route: a function `f(request) -> response` (GET and HEAD by default), or an ASGI class for any method."""

    _scope_type = "http"
    app: ASGIApp

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
    ) -> None:
        self._set_path(path, endpoint, name)
        self.include_in_schema = include_in_schema
        is_function = _is_function(endpoint)
        self.app = _wrapped(request_response(endpoint) if is_function else endpoint, middleware, max_body_size)
        if methods is None and is_function:
            methods = ["GET"]
        self.methods: set[str] | None = None if methods is None else {method.upper() for method in methods}
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")

    def _degree(self, scope: Scope) -> Match:
        return Match.PARTIAL if self.methods and scope["method"] not in self.methods else Match.FULL

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._degree(scope) is Match.FULL:
            await self.app(scope, receive, send)
            return
        headers = {"Allow": ", ".join(self.methods or ())}
        if "app" in scope:
            raise StarletteHTTPException(status_code=405, headers=headers)
        await PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)(scope, receive, send)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Route)
            and self.path == other.path
            and self.endpoint == other.endpoint
            and self.methods == other.methods
        )

    def __repr__(self) -> str:
        methods = sorted(self.methods or [])
        return f"{type(self).__name__}(path={self.path!r}, name={self.name!r}, methods={methods!r})"


class WebSocketRoute(_PathRoute):
    """A WebSocket route: a coroutine function `f(websocket)`, or an ASGI class."""

    _scope_type = "websocket"
    app: ASGIApp

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        name: str | None = None,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        self._set_path(path, endpoint, name)
        self.app = _wrapped(websocket_session(endpoint) if _is_function(endpoint) else endpoint, middleware, None)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WebSocketRoute) and self.path == other.path and self.endpoint == other.endpoint

    def __repr__(self) -> str:
        return f"{type(self).__name__}(path={self.path!r}, name={self.name!r})"


class _Branch(BaseRoute):
    """A route that hands over to an application with routes of its own."""

    app: ASGIApp
    name: str | None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def _inner_name(self, name: str) -> str | None:
        """The name of a route below this one: "branch:route" when the branch has a name."""
        if self.name is None:
            return name
        return name[len(self.name) + 1 :] if name.startswith(f"{self.name}:") else None


class Mount(_Branch):
    """Everything below a path, answered by another application or a list of routes."""

    def __init__(
        self,
        path: str,
        app: ASGIApp | None = None,
        routes: Sequence[BaseRoute] | None = None,
        name: str | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
    ) -> None:
        assert path == "" or path.startswith("/"), "Routed paths must start with '/'"
        assert app is not None or routes is not None, "Either 'app=...', or 'routes=' must be specified"
        self.path = path.rstrip("/")
        self._base_app: ASGIApp = app if app is not None else Router(routes=routes)
        self.app = _wrapped(self._base_app, middleware, max_body_size)
        self.name = name
        self.path_regex, self.path_format, self.param_convertors = compile_path(self.path + "/{path:path}")

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of the mounted application, if it has any."""
        return _routes_of(self._base_app)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        route_path = get_route_path(scope) if scope["type"] in ("http", "websocket") else ""
        found = self.path_regex.match(route_path) if route_path else None
        if found is None:
            return Match.NONE, {}
        values = _convert(found, self.param_convertors)
        matched_path = route_path[: -len("/" + values.pop("path"))]
        root_path = scope.get("root_path", "")
        # `app_root_path` keeps the outermost prefix, from which `request.url_for` starts.
        return Match.FULL, _with_params(
            scope,
            values,
            app_root_path=scope.get("app_root_path", root_path),
            root_path=root_path + matched_path,
            endpoint=self.app,
        )

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if self.name is not None and name == self.name and "path" in path_params:
            path_params["path"] = path_params["path"].lstrip("/")
            path, left = replace_params(self.path_format, self.param_convertors, path_params)
            if not left:
                return URLPath(path=path)
        elif (inner := self._inner_name(name)) is not None:
            path_below = path_params.get("path")
            path_params["path"] = ""
            prefix, left = replace_params(self.path_format, self.param_convertors, path_params)
            if path_below is not None:
                left["path"] = path_below
            if (url := _first_url(self.routes or [], inner, left)) is not None:
                return URLPath(path=prefix.rstrip("/") + str(url), protocol=url.protocol)
        raise NoMatchFound(name, path_params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mount) and self.path == other.path and self.app == other.app

    def __repr__(self) -> str:
        return f"{type(self).__name__}(path={self.path!r}, name={self.name or ''!r}, app={self.app!r})"


class Host(_Branch):
    """Every request to a host ("{subdomain}.example.org"), answered by another application."""

    def __init__(self, host: str, app: ASGIApp, name: str | None = None) -> None:
        assert not host.startswith("/"), "Host must not start with '/'"
        self.host = host
        self.app = app
        self.name = name
        self.host_regex, self.host_format, self.param_convertors = compile_path(host)

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of the host's application, if it has any."""
        return _routes_of(self.app)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] in ("http", "websocket"):
            parsed = parse_host_header(Headers(scope=scope).get("host"))
            if parsed is not None and (found := self.host_regex.match(parsed.host.lower())):
                return Match.FULL, _with_params(scope, _convert(found, self.param_convertors), endpoint=self.app)
        return Match.NONE, {}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if self.name is not None and name == self.name and "path" in path_params:
            path = path_params.pop("path")
            host, left = replace_params(self.host_format, self.param_convertors, path_params)
            if not left:
                return URLPath(path=path, host=host)
        elif (inner := self._inner_name(name)) is not None:
            host, left = replace_params(self.host_format, self.param_convertors, path_params)
            if (url := _first_url(self.routes or [], inner, left)) is not None:
                return URLPath(path=str(url), protocol=url.protocol, host=host)
        raise NoMatchFound(name, path_params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Host) and self.host == other.host and self.app == other.app

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r}, name={self.name or ''!r}, app={self.app!r})"


# --- lifespan ---------------------------------------------------------------------------------------------------------


class _Lifted(AbstractAsyncContextManager[T]):
    """A context manager as an asynchronous one."""

    def __init__(self, manager: AbstractContextManager[T]) -> None:
        self._manager = manager

    async def __aenter__(self) -> T:
        return self._manager.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: types.TracebackType | None
    ) -> bool | None:
        return self._manager.__exit__(kind, exc, tb)


def lifted_generator(lifespan: Callable[[Any], Generator[Any]]) -> Lifespan[Any]:
    """Return a plain generator function as a lifespan."""
    make = contextmanager(lifespan)
    return lambda app: _Lifted(make(app))


@asynccontextmanager
async def _no_lifespan(app: Any) -> Any:
    yield


def _as_lifespan(lifespan: Any) -> Lifespan[Any]:
    if lifespan is None:
        return _no_lifespan
    if inspect.isasyncgenfunction(lifespan):
        _warn_of_generator("async generator")
        return asynccontextmanager(lifespan)
    if inspect.isgeneratorfunction(lifespan):
        _warn_of_generator("generator")
        return lifted_generator(lifespan)
    result: Lifespan[Any] = lifespan
    return result


def _warn_of_generator(kind: str) -> None:
    warn_as(
        "starlette.routing",
        f"{kind} function lifespans are deprecated, use an @contextlib.asynccontextmanager function instead",
        StarletteDeprecationWarning,
        stacklevel=4,
    )


# --- the router -------------------------------------------------------------------------------------------------------


class Router:
    """Tries its routes in order: the first full match answers, else the first that matches but for the method."""

    _routes: RouteList
    _understand: Callable[[Any], Any] | None = None
    """What routes pass when they are added: it returns our route for one of another make."""

    def __init__(
        self,
        routes: Sequence[BaseRoute] | None = None,
        redirect_slashes: bool = True,
        default: ASGIApp | None = None,
        lifespan: Lifespan[Any] | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
    ) -> None:
        self.routes = [] if routes is None else list(routes)
        self.redirect_slashes = redirect_slashes
        self.default: ASGIApp = self.not_found if default is None else default
        self.lifespan_context = _as_lifespan(lifespan)
        self.middleware_stack = _wrapped(self.app, middleware, max_body_size)

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes, in order. The list may be changed at any time."""
        return self._routes

    @routes.setter
    def routes(self, routes: Iterable[BaseRoute]) -> None:
        before: int = self._routes.changes if hasattr(self, "_routes") else 0
        self._routes = RouteList(routes, self._understand)
        self._routes.changes = before + 1
        routes_epoch.value += 1

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what no route matches: inside an application by an exception, for its handlers."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        elif "app" in scope:
            raise StarletteHTTPException(status_code=404)
        else:
            await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the route called `name`; raises NoMatchFound."""
        url = _first_url(self.routes, name, path_params)
        if url is None:
            raise NoMatchFound(name, path_params)
        return url

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan context manager between the ASGI messages for startup and shutdown."""
        started = False
        await receive()
        try:
            async with self.lifespan_context(scope.get("app")) as state:
                if state is not None:
                    if "state" not in scope:
                        raise RuntimeError('The server does not support "state" in the lifespan scope.')
                    scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                started = True
                await receive()
        except BaseException:
            stage = "shutdown" if started else "startup"
            await send({"type": f"lifespan.{stage}.failed", "message": traceback.format_exc()})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.middleware_stack(scope, receive, send)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI call, inside of the router's middleware."""
        assert scope["type"] in ("http", "websocket", "lifespan")
        scope.setdefault("router", self)
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
        elif (found := self._find(scope)) is not None:
            route, child_scope = found
            scope["route"] = route
            scope.update(child_scope)
            await route.handle(scope, receive, send)
        elif (other := self._slash_redirect(scope)) is not None:
            await RedirectResponse(url=str(URL(scope=other)))(scope, receive, send)
        else:
            await self.default(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[BaseRoute, Scope] | None:
        partial: tuple[BaseRoute, Scope] | None = None
        for route in self.routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                return route, child_scope
            if match is Match.PARTIAL and partial is None:
                partial = route, child_scope
        return partial

    def _slash_redirect(self, scope: Scope) -> Scope | None:
        """Return the scope that was meant, where a path has one slash too many or too few at its end."""
        path = get_route_path(scope)
        if scope["type"] != "http" or not self.redirect_slashes or path == "/":
            return None
        other = dict(scope)
        other["path"] = other["path"].rstrip("/") if path.endswith("/") else other["path"] + "/"
        return other if self._has_match(other) else None

    def _has_match(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self.routes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Router) and self.routes == other.routes

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        """Let `app` answer everything below `path`."""
        self.routes.append(Mount(path, app=app, name=name))

    def host(self, host: str, app: ASGIApp, name: str | None = None) -> None:
        """Let `app` answer every request to `host`."""
        self.routes.append(Host(host, app=app, name=name))

    def add_route(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response] | Response],
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
    ) -> None:
        """Add a `Route`."""
        self.routes.append(
            Route(path, endpoint=endpoint, methods=methods, name=name, include_in_schema=include_in_schema)
        )

    def add_websocket_route(
        self, path: str, endpoint: Callable[[WebSocket], Awaitable[None]], name: str | None = None
    ) -> None:
        """Add a `WebSocketRoute`."""
        self.routes.append(WebSocketRoute(path, endpoint=endpoint, name=name))
