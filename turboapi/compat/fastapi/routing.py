"""`fastapi.routing`: the public names, and the private ones that published code imports or replaces."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from turboapi import (
    _api_routes,
    _included,
    _scope,
    concurrency,
    datastructures,
    exceptions,
    responses,
    routing,
    sse,
    staticfiles,
)
from turboapi import _body_limit as body_limit
from turboapi._included import iter_routes_with_context
from turboapi._plan import handlers, streams
from turboapi._plan.fields import ModelField
from turboapi._routes import BaseRoute
from turboapi.compat._view import show
from turboapi.compat.fastapi.dependencies import utils
from turboapi.concurrency import run_in_threadpool
from turboapi.encoders import jsonable_encoder
from turboapi.exceptions import EndpointContext, ResponseValidationError
from turboapi.types import IncEx

__all__ = routing.__all__


def _iter_included_route_candidates(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    for route, context in iter_routes_with_context(routes):
        yield getattr(context, "starlette_route", None) or route


async def serialize_response(
    *,
    field: ModelField | None = None,
    response_content: Any,
    include: IncEx | None = None,
    exclude: IncEx | None = None,
    by_alias: bool = True,
    exclude_unset: bool = False,
    exclude_defaults: bool = False,
    exclude_none: bool = False,
    is_coroutine: bool = True,
    endpoint_ctx: EndpointContext | None = None,
    dump_json: bool = False,
) -> Any:
    """Return a result as JSON types, or with `dump_json` as JSON text, validated and filtered by its response model.

    Raises ResponseValidationError if it does not match the model.
    """
    if not field:
        return jsonable_encoder(response_content)
    validate = partial(field.validate, response_content, {}, loc=("response",))
    value, errors = validate() if is_coroutine else await run_in_threadpool(validate)
    if errors:
        raise ResponseValidationError(errors=errors, body=response_content, endpoint_ctx=endpoint_ctx or {})
    return (field.serialize_json if dump_json else field.serialize)(
        value,
        include=include,
        exclude=exclude,
        by_alias=by_alias,
        exclude_unset=exclude_unset,
        exclude_defaults=exclude_defaults,
        exclude_none=exclude_none,
    )


show(
    __name__,
    routing,
    _api_routes,
    _included,
    renamed={
        **{
            name: (module, name)
            for module, names in (
                (body_limit, ("MAX_BODY_SIZE_SCOPE_KEY", "get_body_limit_error")),
                (concurrency, ("iterate_in_threadpool",)),
                (exceptions, ("RequestValidationError", "WebSocketRequestValidationError")),
                (responses, ("StreamingResponse",)),
                (sse, ("KEEPALIVE_COMMENT", "format_sse_event")),
                (staticfiles, ("StaticFiles",)),
                (datastructures, ("URL",)),
                (handlers, ("SolvedDependency", "get_telemetry_data", "run_endpoint_function", "solve_dependencies")),
                (utils, ("Undefined",)),
                (utils, ("_get_body_field", "_get_flat_body_params", "_should_embed_body_fields")),
            )
            for name in names
        },
        "HTTPException": (exceptions, "StarletteHTTPException"),
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
    },
)
