"""Routes and routers made by the packages `fastapi` and `starlette` themselves, as routes of ours.

What is exactly one of their classes becomes one of ours with the same declaration. A route of another class decides for
itself what it matches and how it answers; it is asked through `ForeignRoute`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from turboapi._api_routes import ROUTE_DEFAULTS, APIRoute, APIWebSocketRoute
from turboapi._foreign import is_foreign, own_class
from turboapi._included import IncludedRouter, Inclusion
from turboapi._routes import BaseRoute, Host, Match, Mount, NoMatchFound, Route, WebSocketRoute, is_no_match
from turboapi.datastructures import Default, URLPath
from turboapi.exceptions import FastAPIError
from turboapi.types import Receive, Scope, Send
from turboapi.utils import generate_unique_id

__all__ = ["ForeignRoute", "own_route", "own_router"]

# Of a router, and of what including it adds.
_SHARED_OPTIONS = (
    *("prefix", "tags", "dependencies", "default_response_class", "responses", "callbacks", "deprecated"),
    *("include_in_schema", "generate_unique_id_function", "strict_content_type", "max_body_size", "form_limits"),
)


def _name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}" if is_foreign(cls) else ""


def _names(cls: type[Any]) -> list[str]:
    return [_name(base) for base in cls.__mro__]


def _own_value(value: Any) -> Any:
    """Return the value of an option in our terms: their defaults become ours."""
    if is_foreign(type(value)) and type(value).__name__ == "DefaultPlaceholder":
        return Default(_own_value(value.value))
    if is_foreign(value) and getattr(value, "__name__", "") == "generate_unique_id":
        return generate_unique_id
    return own_class(value)


def _options(source: Any, names: Any) -> dict[str, Any]:
    """Return the options that an object of theirs has; one of an older release has fewer of them."""
    found = {name: _own_value(getattr(source, name)) for name in names if hasattr(source, name)}
    if found.get("callbacks"):
        found["callbacks"] = list(map(own_route, found["callbacks"]))
    return found


class ForeignRoute(BaseRoute):
    """A route of theirs that answers for itself. What it has else is found as attributes here."""

    def __init__(self, route: Any) -> None:
        self.original = route

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = self.original.matches(scope)
        return Match(match.value), child_scope

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.original.handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        try:
            return cast(URLPath, self.original.url_path_for(name, **path_params))
        except Exception as exc:
            if is_no_match(exc):
                raise NoMatchFound(name, path_params) from None
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def own_route(route: Any) -> Any:
    """Return our route for one of theirs; anything else is returned unchanged.

    Raises FastAPIError for a path operation of a class that makes its handlers itself.
    """
    if isinstance(route, BaseRoute):
        return route
    names = _names(type(route))
    if "starlette.routing.BaseRoute" not in names:
        return route
    if "fastapi.routing.APIRoute" in names:  # of a subclass, too, if it is no more than that
        return _own_api_route(route)
    if (make := _MAKERS.get(names[0])) is not None:
        return make(route)
    return ForeignRoute(route)


def _own_api_route(route: Any) -> APIRoute:
    base = next(base for base in type(route).__mro__ if _name(base) == "fastapi.routing.APIRoute")
    for method in ("get_route_handler", "matches", "handle"):
        if getattr(type(route), method) is not getattr(base, method):
            raise FastAPIError(
                f"{route.path!r} is a route of {type(route).__qualname__}, which derives from fastapi.routing.APIRoute "
                f"and replaces {method}(): derive it from turboapi.routing.APIRoute, or use the alias"
            )
    options = _options(route, ROUTE_DEFAULTS)
    if getattr(route, "stream_item_type", None) is not None:
        options["response_model"] = Default(None)  # to be read off the annotation once more
    return APIRoute(route.path, route.endpoint, **cast(Any, options))


def _own_websocket_operation(route: Any) -> APIWebSocketRoute:
    return APIWebSocketRoute(route.path, route.endpoint, name=route.name, dependencies=route.dependencies)


def _own_plain_route(route: Any) -> Route:
    made = Route(
        route.path,
        route.endpoint,
        methods=route.methods,
        name=route.name,
        include_in_schema=route.include_in_schema,
    )
    made.app = route.app  # inside of the route's own middleware
    return made


def _own_websocket_route(route: Any) -> WebSocketRoute:
    made = WebSocketRoute(route.path, route.endpoint, name=route.name)
    made.app = route.app
    return made


def _own_mount(route: Any) -> Mount:
    made = Mount(route.path, app=getattr(route, "_base_app", route.app), name=route.name)
    made.app = route.app
    return made


def _own_host(route: Any) -> Host:
    return Host(route.host, app=route.app, name=route.name)


_MAKERS: dict[str, Callable[[Any], BaseRoute]] = {
    "fastapi.routing.APIRoute": _own_api_route,
    "fastapi.routing.APIWebSocketRoute": _own_websocket_operation,
    "starlette.routing.Route": _own_plain_route,
    "starlette.routing.WebSocketRoute": _own_websocket_route,
    "starlette.routing.Mount": _own_mount,
    "starlette.routing.Host": _own_host,
}

Router = TypeVar("Router")


def own_router(router: Any, make: Callable[..., Router]) -> Router:
    """Return a router of ours, made by `make`, with the present routes of one of theirs; ours is returned unchanged.

    Raises FastAPIError for what has no counterpart: a frontend, or a path operation that makes its handlers itself.
    """
    if "fastapi.routing.APIRouter" not in _names(type(router)):
        return cast(Router, router)
    if getattr(router, "_low_priority_routes", None):
        raise FastAPIError("A router of FastAPI's own with a frontend cannot be included: use the alias")
    options = _options(router, _SHARED_OPTIONS)
    if _name(type(router.lifespan_context)) != "fastapi.routing._DefaultLifespan":
        options["lifespan"] = router.lifespan_context
    made: Any = make(on_startup=router.on_startup, on_shutdown=router.on_shutdown, **options)
    made.routes = [_own_included(route, make) for route in router.routes]
    return cast(Router, made)


def _own_included(route: Any, make: Callable[..., Any]) -> BaseRoute:
    names = _names(type(route))
    if names[0] == "fastapi.routing._IncludedRouter":
        context = route.include_context
        included = own_router(route.original_router, make)
        options = _options(context, _SHARED_OPTIONS)
        return IncludedRouter(included, Inclusion.of(included, options))
    # An inclusion makes routes anew, so that nothing is left of what their class does differently.
    return cast(BaseRoute, next((_MAKERS[name] for name in names if name in _MAKERS), own_route)(route))
