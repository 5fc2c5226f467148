"""What including a router makes of its routes.

`include_router` adds an `IncludedRouter`, a branch of the route tree, with the options it was given (`Inclusion`).
Nothing is copied, so routes that a router gets later are there as well. A branch gives its routes as they are served:
path operations as `EffectiveRoute`, all others as `PrefixedRoute`.

`matches` and `handle` ask the routes one by one, through the original router and the original routes, because their
classes may have a say. Where they have none, the compiled table holds the routes themselves.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypedDict, cast

from turboapi import params
from turboapi._api_routes import (
    ROUTE_DEFAULTS,
    APIRoute,
    ApiRouteState,
    APIWebSocketRoute,
    Handler,
    effective_route,
)
from turboapi._body_limit import get_body_size_limit, validate_max_body_size, wrap_app_with_body_limit
from turboapi._frontend import FrontendGroup
from turboapi._plan.forms import FormLimits, validate_form_limits
from turboapi._routes import (
    BaseRoute,
    Host,
    Match,
    Mount,
    NoMatchFound,
    Route,
    Router,
    WebSocketRoute,
    compile_path,
    replace_params,
)
from turboapi._scope import (
    ABSENT,
    INCLUDED_ROUTER,
    ROUTE_CONTEXT,
    add_form_limits,
    fastapi_scope,
    restore_key,
    update_scope,
)
from turboapi._speedups import Endpoint
from turboapi._utils import get_route_path
from turboapi.datastructures import Default, DefaultPlaceholder, URLPath
from turboapi.responses import JSONResponse, Response
from turboapi.telemetry._api import _route_selected
from turboapi.types import ASGIApp, Receive, Scope, Send, SyncMode
from turboapi.utils import generate_unique_id, get_value_or_default

__all__ = [
    "Candidate",
    "INCLUDE_DEFAULTS",
    "EffectiveRoute",
    "IncludableRouter",
    "IncludeOptions",
    "IncludedRouter",
    "Inclusion",
    "PrefixedRoute",
    "RouteContext",
    "answer_by",
    "iter_effective_routes",
    "iter_route_contexts",
    "iter_routes_with_context",
    "select_route",
    "while_scope_has",
]


class IncludableRouter(Protocol):
    """What an inclusion reads of a router."""

    prefix: str
    tags: list[str | Enum]
    dependencies: list[params.Depends]
    responses: dict[int | str, dict[str, Any]]
    callbacks: list[BaseRoute]
    deprecated: bool | None
    include_in_schema: bool
    default_response_class: type[Response] | DefaultPlaceholder
    generate_unique_id_function: Callable[[Any], str] | DefaultPlaceholder
    strict_content_type: bool | DefaultPlaceholder
    dependency_overrides_provider: Any
    max_body_size: int | None
    form_limits: FormLimits
    sync_mode: SyncMode | DefaultPlaceholder
    auto_head: bool | DefaultPlaceholder
    default: ASGIApp
    _low_priority_routes: list[BaseRoute]

    @property
    def routes(self) -> list[BaseRoute]: ...

    def matches(self, scope: Scope) -> tuple[Match, Scope]: ...

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def _get_routes_version(self) -> int: ...


class IncludeOptions(TypedDict, total=False):
    """The keyword options of `include_router`."""

    prefix: str
    tags: list[str | Enum] | None
    dependencies: Sequence[params.Depends] | None
    default_response_class: type[Response] | DefaultPlaceholder
    responses: dict[int | str, dict[str, Any]] | None
    callbacks: list[BaseRoute] | None
    deprecated: bool | None
    include_in_schema: bool
    generate_unique_id_function: Callable[[Any], str] | DefaultPlaceholder
    max_body_size: int | None
    form_limits: FormLimits | None
    sync_mode: SyncMode | DefaultPlaceholder


INCLUDE_DEFAULTS: dict[str, Any] = {
    "prefix": "",
    "tags": None,
    "dependencies": None,
    "default_response_class": Default(JSONResponse),
    "responses": None,
    "callbacks": None,
    "deprecated": None,
    "include_in_schema": True,
    "generate_unique_id_function": Default(generate_unique_id),
    "max_body_size": None,
    "form_limits": None,
    "sync_mode": Default("auto"),
}


class Inclusion:
    """What a route gains by the places where its router is included; `combine` goes one branch further out."""

    def __init__(self, parent: IncludableRouter, included: IncludableRouter, options: Mapping[str, Any]) -> None:
        self.included = included
        self.prefix: str = parent.prefix + options["prefix"]
        self.tags = [*parent.tags, *(options["tags"] or [])]
        self.dependencies = [*parent.dependencies, *(options["dependencies"] or [])]
        self.default_response_class = get_value_or_default(
            options["default_response_class"], parent.default_response_class
        )
        self.responses = {**parent.responses, **(options["responses"] or {})}
        self.callbacks = [*parent.callbacks, *(options["callbacks"] or [])]
        self.deprecated = options["deprecated"] or parent.deprecated
        self.include_in_schema = parent.include_in_schema and options["include_in_schema"]
        self.generate_unique_id_function = get_value_or_default(
            options["generate_unique_id_function"], parent.generate_unique_id_function
        )
        self.strict_content_type = parent.strict_content_type
        self.sync_mode = get_value_or_default(options["sync_mode"], parent.sync_mode)
        self.auto_head = get_value_or_default(included.auto_head, parent.auto_head)
        self.provider = parent.dependency_overrides_provider
        validate_max_body_size(options["max_body_size"])
        self.max_body_size = get_body_size_limit(included.max_body_size, options["max_body_size"], parent.max_body_size)
        self.form_limits = cast(FormLimits, {**validate_form_limits(options["form_limits"]), **included.form_limits})

    @classmethod
    def of(cls, included: IncludableRouter, options: Mapping[str, Any]) -> "Inclusion":
        """Return an inclusion with these options, which have been merged with those of the parent already."""
        made = object.__new__(cls)
        made.included = included
        made.provider = None
        absent: dict[str, Any] = {
            "strict_content_type": Default(True),
            "max_body_size": None,
            "form_limits": {},
            "sync_mode": Default("auto"),
            "auto_head": Default(True),
        }  # in older releases, or never
        for name, value in {**absent, **options}.items():
            setattr(made, name, value)
        return made

    def combine(self, inner: "Inclusion") -> "Inclusion":
        """Return the inclusion of `inner`'s router as seen from outside of this one."""
        both = object.__new__(Inclusion)
        both.included = inner.included
        both.prefix = self.prefix + inner.prefix
        both.tags = [*self.tags, *inner.tags]
        both.dependencies = [*self.dependencies, *inner.dependencies]
        both.default_response_class = get_value_or_default(inner.default_response_class, self.default_response_class)
        both.responses = {**self.responses, **inner.responses}
        both.callbacks = [*self.callbacks, *inner.callbacks]
        both.deprecated = self.deprecated or inner.deprecated
        both.include_in_schema = self.include_in_schema and inner.include_in_schema
        both.generate_unique_id_function = get_value_or_default(
            inner.generate_unique_id_function, self.generate_unique_id_function
        )
        both.strict_content_type = get_value_or_default(inner.strict_content_type, self.strict_content_type)
        both.sync_mode = get_value_or_default(inner.sync_mode, self.sync_mode)
        both.auto_head = get_value_or_default(inner.auto_head, self.auto_head)
        both.provider = self.provider
        both.max_body_size = get_body_size_limit(inner.max_body_size, self.max_body_size)
        both.form_limits = cast(FormLimits, {**self.form_limits, **inner.form_limits})
        return both

    def apply(self, route: APIRoute) -> dict[str, Any]:
        """Return the options of a route of the included router, with what the inclusion adds."""
        options = {name: getattr(route, name) for name in ROUTE_DEFAULTS}
        return options | {
            "tags": [*self.tags, *route.tags],
            "dependencies": [*self.dependencies, *route.dependencies],
            "responses": {**self.responses, **route.responses},
            "callbacks": [*self.callbacks, *(route.callbacks or [])],
            "deprecated": route.deprecated or self.deprecated,
            "include_in_schema": route.include_in_schema and self.include_in_schema,
            "response_class": get_value_or_default(
                route.response_class, self.included.default_response_class, self.default_response_class
            ),
            "generate_unique_id_function": get_value_or_default(
                route.generate_unique_id_function,
                self.included.generate_unique_id_function,
                self.generate_unique_id_function,
            ),
            "strict_content_type": get_value_or_default(
                route.strict_content_type, self.included.strict_content_type, self.strict_content_type
            ),
            "sync_mode": get_value_or_default(route.sync_mode, self.included.sync_mode, self.sync_mode),
            "dependency_overrides_provider": self.provider,
            "max_body_size": get_body_size_limit(route.max_body_size, self.max_body_size),
        }


class EffectiveRoute(ApiRouteState):
    """A path operation as it is served from an included router."""

    starlette_route = None

    def __init__(self, route: APIRoute, inclusion: Inclusion) -> None:
        self.original_route = route
        self.inclusion = inclusion
        self.stream_item_type = route.stream_item_type
        self._declare(inclusion.prefix + route.path, route.endpoint, inclusion.apply(route))
        if route._own_app:
            self._use_own_handler(route)

    def _make_handler(self) -> Handler:
        token = effective_route.set(self)
        try:
            return self.original_route.get_route_handler()
        finally:
            effective_route.reset(token)

    def freeze(self, form_limits: FormLimits) -> Endpoint:
        return super().freeze(cast(FormLimits, {**form_limits, **self.inclusion.form_limits}))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how the route matches, and what to update the scope with if it is taken."""
        found = self.path_regex.match(get_route_path(scope)) if scope["type"] == "http" else None
        if found is None:
            return Match.NONE, {}
        values = {name: self.param_convertors[name].convert(text) for name, text in found.groupdict().items()}
        child_scope = {"endpoint": self.endpoint, "path_params": {**scope.get("path_params", {}), **values}}
        is_other_method = self.methods and scope["method"] not in self.methods
        return Match.PARTIAL if is_other_method else Match.FULL, child_scope

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the route; raises NoMatchFound if it is not the one asked for."""
        if name != self.name or path_params.keys() != self.param_convertors.keys():
            raise NoMatchFound(name, path_params)
        path, _ = replace_params(self.path_format, self.param_convertors, path_params)
        return URLPath(path=path, protocol="http")


class PrefixedRoute:
    """A route that is no path operation, as it is served from an included router."""

    def __init__(self, original_route: BaseRoute, starlette_route: BaseRoute, inclusion: Inclusion) -> None:
        self.original_route = original_route
        self.starlette_route = starlette_route
        self.inclusion = inclusion
        self.app = wrap_app_with_body_limit(starlette_route.handle, inclusion.max_body_size)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how the route matches, and what to update the scope with if it is taken."""
        return self.starlette_route.matches(scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the route; raises NoMatchFound if it is not the one asked for."""
        return self.starlette_route.url_path_for(name, **path_params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.starlette_route, name)


def _with_prefix(route: BaseRoute, inclusion: Inclusion) -> BaseRoute | None:
    """Return a route that is no path operation as it is served in an inclusion; None for one of an unknown kind."""
    prefix = inclusion.prefix
    if isinstance(route, FrontendGroup):
        return route.included(prefix, inclusion.dependencies, inclusion.provider)
    if isinstance(route, Route):
        return Route(
            prefix + route.path,
            endpoint=route.endpoint,
            methods=list(route.methods or []),
            name=route.name,
            include_in_schema=route.include_in_schema,
        )
    if isinstance(route, APIWebSocketRoute):
        return APIWebSocketRoute(
            prefix + route.path,
            endpoint=route.endpoint,
            name=route.name,
            dependencies=[*inclusion.dependencies, *route.dependencies],
            dependency_overrides_provider=inclusion.provider,
        )
    if isinstance(route, WebSocketRoute):
        return WebSocketRoute(prefix + route.path, route.endpoint, name=route.name)
    if isinstance(route, Mount):
        mount = copy(route)
        mount.path = (prefix + route.path).rstrip("/")
        mount.path_regex, mount.path_format, mount.param_convertors = compile_path(mount.path + "/{path:path}")
        return mount
    if isinstance(route, Host):
        below = Router(routes=[Mount(prefix, app=route.app)]) if prefix else route.app
        return Host(route.host, app=below, name=route.name)
    return None


Candidate = EffectiveRoute | PrefixedRoute


@dataclass
class IncludedRouter(BaseRoute):
    """A branch of the route tree: a router, and what including it adds."""

    original_router: IncludableRouter
    inclusion: Inclusion
    _effective_routes_lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)
    _effective_candidates: "list[Candidate | IncludedRouter]" = field(default_factory=list)
    _effective_candidates_version: int | None = None
    _effective_low_priority_routes: list[Candidate] = field(default_factory=list)
    _effective_low_priority_routes_version: int | None = None

    @property
    def include_context(self) -> Inclusion:
        """The inclusion, under its name in FastAPI."""
        return self.inclusion

    # --- the routes below, made anew when those of the original router have changed -----------------------------------

    def effective_candidates(self) -> "list[Candidate | IncludedRouter]":
        """Return the routes of this branch as they are served; branches below it are branches again."""
        if self._effective_candidates_version == self.original_router._get_routes_version():
            return self._effective_candidates
        with self._effective_routes_lock:
            version = self.original_router._get_routes_version()
            if self._effective_candidates_version != version:
                self._effective_candidates = list(self._build(self.original_router.routes))
                self._effective_candidates_version = version
            return self._effective_candidates

    def effective_low_priority_routes(self) -> list[Candidate]:
        """Return what answers if no route does, of this branch and the branches below."""
        if self._effective_low_priority_routes_version == self.original_router._get_routes_version():
            return self._effective_low_priority_routes
        with self._effective_routes_lock:
            version = self.original_router._get_routes_version()
            if self._effective_low_priority_routes_version != version:
                routes = [route for route in self.original_router.routes if isinstance(route, IncludedRouter)]
                self._effective_low_priority_routes = [
                    *cast(Iterator[Candidate], self._build(self.original_router._low_priority_routes)),
                    *(low for route in routes for low in self._branch(route).effective_low_priority_routes()),
                ]
                self._effective_low_priority_routes_version = version
            return self._effective_low_priority_routes

    def _build(self, routes: Sequence[BaseRoute]) -> "Iterator[Candidate | IncludedRouter]":
        for route in routes:
            if isinstance(route, IncludedRouter):
                yield self._branch(route)
            elif isinstance(route, APIRoute):
                yield EffectiveRoute(route, self.inclusion)
            elif (prefixed := _with_prefix(route, self.inclusion)) is not None:
                yield PrefixedRoute(route, prefixed, self.inclusion)

    def _branch(self, inner: "IncludedRouter") -> "IncludedRouter":
        return IncludedRouter(inner.original_router, self.inclusion.combine(inner.inclusion))

    def effective_route_contexts(self) -> Iterator[Candidate]:
        """Give every route below this branch, as it is served."""
        for candidate in self.effective_candidates():
            if isinstance(candidate, IncludedRouter):
                yield from candidate.effective_route_contexts()
            else:
                yield candidate

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        for route in self.effective_route_contexts():
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, path_params)

    # --- one by one: for routers and routes whose classes decide for themselves ---------------------------------------

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, _ = while_scope_has(scope, INCLUDED_ROUTER, self, self.original_router.matches)
        return match, {}  # what to update the scope with depends on the route, which `handle` looks for again

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        add_form_limits(scope, self.inclusion.form_limits)
        fastapi_scope(scope)[INCLUDED_ROUTER] = self
        await self.original_router.handle(scope, receive, send)

    def match(self, scope: Scope) -> "tuple[Match, Scope, Candidate | IncludedRouter | None]":
        """Return how the first route matches that does so in full, or else the first that matches at all."""
        partial: tuple[Scope, Candidate | IncludedRouter] | None = None
        for candidate in self.effective_candidates():
            if isinstance(candidate, EffectiveRoute):
                match, child_scope = while_scope_has(scope, ROUTE_CONTEXT, candidate, candidate.original_route.matches)
            else:
                match, child_scope = candidate.matches(scope)
            if match is Match.FULL:
                return match, child_scope, candidate
            if match is Match.PARTIAL and partial is None:
                partial = child_scope, candidate
        return (Match.NONE, {}, None) if partial is None else (Match.PARTIAL, *partial)

    async def handle_selected(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route that matches, or as the original router does where none does."""
        _, child_scope, candidate = self.match(scope)
        update_scope(scope, child_scope)
        if candidate is None:
            app = wrap_app_with_body_limit(self.original_router.default, self.inclusion.max_body_size)
            await app(scope, receive, send)
        elif isinstance(candidate, IncludedRouter):
            await candidate.handle(scope, receive, send)
        else:
            select_route(scope, candidate)
            await answer_by(candidate, scope, receive, send)

    _handle_selected = handle_selected


def while_scope_has(
    scope: Scope, key: str, value: Any, matches: Callable[[Scope], tuple[Match, Scope]]
) -> tuple[Match, Scope]:
    """Call `matches(scope)` with `value` under `key` in `scope["fastapi"]` meanwhile."""
    below = fastapi_scope(scope)
    before = below.get(key, ABSENT)
    below[key] = value
    try:
        return matches(scope)
    finally:
        restore_key(scope, key, before)


def select_route(scope: Scope, route: BaseRoute | Candidate) -> None:
    """Tell telemetry which route was taken."""
    served = route.starlette_route if isinstance(route, PrefixedRoute) else route
    _route_selected(scope=scope, path=getattr(served, "path_format", None), mount=isinstance(served, Mount))


async def answer_by(candidate: Candidate, scope: Scope, receive: Receive, send: Send) -> None:
    """Let a route of an included router answer, as it is served there."""
    fastapi_scope(scope)[ROUTE_CONTEXT] = candidate
    if isinstance(candidate, EffectiveRoute):
        scope["route"] = candidate.original_route
        await candidate.original_route.handle(scope, receive, send)
    else:
        await candidate.app(scope, receive, send)


# --- looking at routes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RouteContext:
    """A route, as declared (`route`) and, by all other attributes, as it is served."""

    route: BaseRoute
    _route_context: Candidate | None = field(default=None, repr=False)

    @property
    def original_route(self) -> BaseRoute:
        """The route as it was declared."""
        return self.route if self._route_context is None else self._route_context.original_route

    @property
    def effective_route(self) -> BaseRoute | EffectiveRoute:
        """The route as it is served."""
        if self._route_context is None:
            return self.route
        return cast(BaseRoute | EffectiveRoute, self._route_context.starlette_route or self._route_context)

    @property
    def path(self) -> str | None:
        """The path template."""
        return getattr(self.effective_route, "path", None)

    @property
    def path_format(self) -> str | None:
        """The path template without convertors."""
        return getattr(self.effective_route, "path_format", None)

    @property
    def name(self) -> str | None:
        """The name, as for `url_path_for`."""
        return getattr(self.effective_route, "name", None)

    @property
    def methods(self) -> set[str] | None:
        """The methods; None for a route that has none."""
        return getattr(self.effective_route, "methods", None)

    @property
    def endpoint(self) -> Callable[..., Any] | None:
        """The function, or class, that was declared."""
        return getattr(self.effective_route, "endpoint", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.effective_route, name)


def iter_routes_with_context(routes: Sequence[BaseRoute]) -> Iterator[tuple[BaseRoute, Candidate | None]]:
    """Give every route below `routes` as it was declared, and as it is served if it is included."""
    for route in routes:
        if isinstance(route, IncludedRouter):
            for context in route.effective_route_contexts():
                yield context.original_route, context
        else:
            yield route, None


def iter_route_contexts(routes: Sequence[BaseRoute | RouteContext]) -> Iterator[RouteContext]:
    """Give every route below `routes`, in order."""
    for route in routes:
        if isinstance(route, RouteContext):
            yield route
        else:
            yield from (RouteContext(*pair) for pair in iter_routes_with_context([route]))


def iter_effective_routes(routes: Sequence[BaseRoute | RouteContext]) -> Iterator[EffectiveRoute | BaseRoute]:
    """Give every route below `routes` in order, those of included routers as they are served."""
    for context in iter_route_contexts(routes):
        yield context.effective_route
