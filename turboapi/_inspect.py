"""What an application is made of, for the commands `turboapi routes` and `turboapi openapi`."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from turboapi._api_routes import APIRoute
from turboapi._frontend import FrontendGroup, join_frontend_paths
from turboapi._included import EffectiveRoute, IncludedRouter, PrefixedRoute
from turboapi._plan.dependencies import Dependant, is_async_gen_callable, is_coroutine_callable, is_gen_callable
from turboapi._routes import Host, Mount, WebSocketRoute
from turboapi._speedups import Endpoint
from turboapi._utils import is_async_callable
from turboapi.applications import TurboAPI
from turboapi.datastructures import DefaultPlaceholder
from turboapi.routing import _iter_table
from turboapi.server import ServerError
from turboapi.server.importer import summary

NATIVE = "native"
_COLUMNS = ("METHODS", "PATH", "HANDLER", "MODE", "DEPENDENCIES", "SERVED")


class Row(NamedTuple):
    """One line of the table of routes."""

    methods: str
    path: str
    handler: str
    mode: str = "-"
    dependencies: str = "-"
    served: str = NATIVE


def openapi_document(app: Any) -> dict[str, Any]:
    """The OpenAPI document of `app`. Raises ServerError when it has none."""
    turboapi = _checked(app)
    try:
        return turboapi.openapi()
    except Exception as exc:
        raise ServerError(f"the OpenAPI document cannot be made: {summary(exc)}") from None


def routes_table(app: Any) -> Iterator[str]:
    """The routes of `app` in the order in which they are tried, as lines of a table.

    The last column says how the built-in server answers each: "native" by the compiled pipeline, or "ASGI" and why.
    Raises ServerError when `app` is no TurboAPI or has a route that cannot be served.
    """
    rows = list(_rows(_checked(app)))
    table = [_COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _checked(app: Any) -> TurboAPI:
    if not isinstance(app, TurboAPI):
        raise ServerError(f"this works for TurboAPI applications only, and the application is a {type(app).__name__}")
    return app


def _rows(app: TurboAPI) -> Iterator[Row]:
    reason = _whole_reason(app)
    for route in (*_iter_table(app.routes), *app.router._iter_low_priority_routes()):
        for row in _rows_of(route):
            served = _served(app, route) if reason is None else f"ASGI: {reason}"
            yield row._replace(served=served)


def _whole_reason(app: TurboAPI) -> str | None:
    """Why everything goes through ASGI, None if it does not."""
    try:
        entrance = app.freeze().asgi
    except Exception as exc:
        raise ServerError(f"the application cannot be served: {summary(exc)}") from None
    if entrance is None:
        return None
    if entrance is not app:
        return f"middleware {type(entrance).__name__}"
    return "instrumentation" if app._has_usual_entrance() else "entrance of its own"


def _served(app: TurboAPI, route: Any) -> str:
    shown = route.original_route if isinstance(route, PrefixedRoute) else route
    if isinstance(shown, FrontendGroup):  # not in the table, but asked when nothing in it matches
        return "ASGI: frontend"
    target = app.router._entry(route).target
    return NATIVE if isinstance(target, Endpoint) else f"ASGI: {_why(route, shown)}"


def _why(route: Any, shown: Any) -> str:
    """Why a route is not answered by the compiled pipeline."""
    if isinstance(route, (APIRoute, EffectiveRoute)):
        if not route._own_app and route.max_body_size is not None:
            return "max_body_size"
        original = route.original_route if isinstance(route, EffectiveRoute) else route
        return f"route class {type(original).__name__}" if type(original) is not APIRoute else "replaced handler"
    if isinstance(shown, Mount):
        return "mounted application"
    if isinstance(shown, Host):
        return "application of a host"
    if isinstance(shown, WebSocketRoute):
        return "WebSocket"
    if isinstance(shown, IncludedRouter):
        return f"router class {type(shown.original_router).__name__}"
    return "plain route"


def _rows_of(route: Any) -> Iterator[Row]:
    """The rows of one route; frontends have one for each."""
    if isinstance(route, PrefixedRoute):
        route = route.starlette_route
    if isinstance(route, FrontendGroup):
        for frontend in route.routes:
            path = join_frontend_paths(route.prefix, frontend.path)
            yield Row("GET,HEAD", path, str(frontend.app.directory), dependencies=_dependencies(route.dependant))
    elif isinstance(route, IncludedRouter):
        yield Row("*", f"{route.inclusion.prefix}/*", type(route.original_router).__name__)
    elif isinstance(route, Mount):
        yield Row("*", f"{route.path}/*", _name(route._base_app))
    elif isinstance(route, Host):
        yield Row("*", f"{route.host}/*", _name(route.app))
    else:
        yield _row(route)


def _row(route: Any) -> Row:
    methods = "WS" if isinstance(route, WebSocketRoute) else ",".join(sorted(getattr(route, "methods", None) or "*"))
    endpoint = getattr(route, "endpoint", None)
    return Row(
        methods,
        getattr(route, "path", "?"),
        _name(route if endpoint is None else endpoint),
        "-" if endpoint is None else _mode(route, endpoint),
        _dependencies(getattr(route, "dependant", None)),
    )


def _mode(route: Any, handler: Callable[..., Any]) -> str:
    """Whether a handler runs on the event loop or in a worker thread, or which of these is found out."""
    on_loop = isinstance(handler, type) or is_async_gen_callable(handler) or is_coroutine_callable(handler)
    if on_loop or is_async_callable(handler):
        return "async"
    if not isinstance(route, (APIRoute, EffectiveRoute)) or is_gen_callable(handler):
        return "thread"
    mode = route.sync_mode
    return str(mode.value if isinstance(mode, DefaultPlaceholder) else mode)


def _dependencies(dependant: Dependant | None) -> str:
    """The dependencies by name, each with its own in parentheses."""
    return ", ".join(map(_nested, dependant.dependencies)) if dependant and dependant.dependencies else "-"


def _nested(dependant: Dependant) -> str:
    name = _short_name(dependant.call)
    return f"{name}({_dependencies(dependant)})" if dependant.dependencies else name


def _short_name(value: Any) -> str:
    return getattr(value, "__qualname__", None) or type(value).__qualname__


def _name(value: Any) -> str:
    """`module.name` of a function or class, or of the class of anything else."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
