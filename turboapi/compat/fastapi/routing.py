"""`fastapi.routing`: the public names, and the private ones that published code imports or replaces."""

from collections.abc import Iterator, Sequence

from turboapi import _api_routes, _included, _scope, routing
from turboapi._included import iter_routes_with_context
from turboapi._plan import handlers, streams
from turboapi._routes import BaseRoute
from turboapi.compat._view import show

__all__ = routing.__all__


def _iter_included_route_candidates(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    for route, context in iter_routes_with_context(routes):
        yield getattr(context, "starlette_route", None) or route


show(
    __name__,
    routing,
    _api_routes,
    _included,
    renamed={
        "_DefaultLifespan": (routing, "DefaultLifespan"),
        "_EffectiveRouteContext": (_included, "EffectiveRoute"),
        "_IncludedRouter": (_included, "IncludedRouter"),
        "_PING_INTERVAL": (streams, "PING_INTERVAL"),
        "_RouterIncludeContext": (_included, "Inclusion"),
        "_effective_route_context_var": (_api_routes, "effective_route"),
        "_get_fastapi_scope": (_scope, "fastapi_scope"),
        "_iter_routes_with_context": (_included, "iter_routes_with_context"),
        "_merge_lifespan_context": (routing, "_merged_lifespan"),
        "_restore_fastapi_scope_key": (_scope, "restore_key"),
        "_update_scope": (_scope, "update_scope"),
        "run_endpoint_function": (handlers, "run_endpoint_function"),
        "solve_dependencies": (handlers, "solve_dependencies"),
    },
)
