"""Routers: what the decorators declare, and its frozen form.

A router keeps its routes in a tree: `include_router` adds a branch (`turboapi._included`). `APIRouter.site` freezes the
tree into the compiled table; WebSockets, frontends and routers with `matches` of their own are asked one by one.
"""

import inspect
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import Any, Literal, Unpack, cast

from typing_extensions import deprecated

from turboapi import params
from turboapi._api_routes import (
    ROUTE_DEFAULTS,
    APIRoute,
    APIWebSocketRoute,
    RouteOptions,
    VerbOptions,
    complete,
    documented,
    effective_route_of,
    get_request_handler,
    get_websocket_app,
    request_response,
    websocket_session,
)
from turboapi._body_limit import get_body_size_limit, validate_max_body_size, wrap_app_with_body_limit
from turboapi._exception_handler import wrap_app_handling_exceptions
from turboapi._foreign_routes import own_route, own_router
from turboapi._frontend import Fallback, FrontendGroup, join_frontend_paths, normalize_frontend_path, resolve_check_dir
from turboapi._included import (
    INCLUDE_DEFAULTS,
    Candidate,
    EffectiveRoute,
    IncludedRouter,
    IncludeOptions,
    Inclusion,
    PrefixedRoute,
    RouteContext,
    answer_by,
    iter_effective_routes,
    iter_route_contexts,
    select_route,
    while_scope_has,
)
from turboapi._plan.context import located
from turboapi._plan.forms import FormLimits, validate_form_limits
from turboapi._plan.handlers import is_instrumented
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
    lifted_generator,
)
from turboapi._scope import (
    FRONTEND_SPECIFICITY,
    INCLUDED_ROUTER,
    ROUTE_CONTEXT,
    add_form_limits,
    fastapi_scope,
    update_scope,
)
from turboapi._speedups import AsgiExchange, Endpoint, Entry, Site, answer, routes_epoch
from turboapi._speedups import Router as RouteTable
from turboapi._utils import is_async_callable
from turboapi.datastructures import URL, Default, DefaultPlaceholder
from turboapi.exceptions import FastAPIError, StarletteHTTPException
from turboapi.middleware import Middleware
from turboapi.requests import Request
from turboapi.responses import PlainTextResponse, RedirectResponse, Response
from turboapi.telemetry._api import _route_selected, is_observed
from turboapi.types import ASGIApp, DecoratedCallable, Lifespan, Receive, Scope, Send, SyncMode
from turboapi.utils import get_value_or_default

__all__ = [
    "APIRoute",
    "APIRouter",
    "APIWebSocketRoute",
    "BaseRoute",
    "DefaultLifespan",
    "EffectiveRoute",
    "Host",
    "IncludeOptions",
    "IncludedRouter",
    "Match",
    "Mount",
    "NoMatchFound",
    "Route",
    "RouteContext",
    "RouteOptions",
    "Router",
    "Verbs",
    "WebSocketRoute",
    "compile_path",
    "get_request_handler",
    "get_websocket_app",
    "iter_effective_routes",
    "iter_route_contexts",
    "request_response",
    "websocket_session",
]


class Verbs:
    """The decorators that declare path operations, in terms of `add_api_route`."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Unpack[RouteOptions]) -> None:
        """Declare `endpoint` as the handler of `path`."""
        raise NotImplementedError

    @documented(RouteOptions)
    def api_route(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for the `methods` given (default: GET)."""
        complete("api_route", options, RouteOptions)

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_api_route(path, func, **options)
            return func

        return decorate

    @documented(VerbOptions)
    def get(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for GET."""
        return self._verb("GET", path, options)

    @documented(VerbOptions)
    def put(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for PUT."""
        return self._verb("PUT", path, options)

    @documented(VerbOptions)
    def post(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for POST."""
        return self._verb("POST", path, options)

    @documented(VerbOptions)
    def delete(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for DELETE."""
        return self._verb("DELETE", path, options)

    @documented(VerbOptions)
    def options(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for OPTIONS."""
        return self._verb("OPTIONS", path, options)

    @documented(VerbOptions)
    def head(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for HEAD."""
        return self._verb("HEAD", path, options)

    @documented(VerbOptions)
    def patch(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for PATCH."""
        return self._verb("PATCH", path, options)

    @documented(VerbOptions)
    def trace(self, path: str, **options: Unpack[VerbOptions]) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a path operation for TRACE."""
        return self._verb("TRACE", path, options)

    def _verb(self, method: str, path: str, options: Any) -> Callable[[DecoratedCallable], DecoratedCallable]:
        complete(method.lower(), options, VerbOptions)
        return self.api_route(path, methods=[method], **options)

    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[params.Depends] | None = None,
    ) -> None:
        """Declare `endpoint`, which takes a WebSocket, as the handler of `path`."""
        raise NotImplementedError

    def websocket(
        self, path: str, name: str | None = None, *, dependencies: Sequence[params.Depends] | None = None
    ) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare the decorated function, which takes a WebSocket, as the handler of `path`."""

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_api_websocket_route(path, func, name=name, dependencies=dependencies)
            return func

        return decorate


# --- routers -------------------------------------------------------------------------------------------------------


def _walk(router: Any) -> Iterator[BaseRoute]:
    """Give every route object below a router, branches and low-priority routes included."""
    yield from router._low_priority_routes
    for route in router.routes:
        yield route
        if isinstance(route, IncludedRouter):
            yield from _walk(route.original_router)


class APIRouter(Verbs, Router):
    """A group of path operations, to be included in an application or in another router.

    Args:
        prefix: prepended to every path; starts with "/" and does not end with one.
        tags, dependencies, responses, callbacks, deprecated, include_in_schema, default_response_class,
        generate_unique_id_function, strict_content_type, max_body_size, form_limits, sync_mode: apply to every path
            operation.
        routes, redirect_slashes, default, lifespan, on_startup, on_shutdown: as for any router.
        route_class: the class of the routes that the decorators make.
        auto_head: let path operations for GET answer HEAD, too; where it is not given the including router decides.
    """

    _understand = staticmethod(own_route)

    def __init__(
        self,
        *,
        prefix: str = "",
        tags: list[str | Enum] | None = None,
        dependencies: Sequence[params.Depends] | None = None,
        default_response_class: type[Response] | DefaultPlaceholder = ROUTE_DEFAULTS["response_class"],
        responses: dict[int | str, dict[str, Any]] | None = None,
        callbacks: list[BaseRoute] | None = None,
        routes: Sequence[BaseRoute] | None = None,
        redirect_slashes: bool = True,
        default: ASGIApp | None = None,
        dependency_overrides_provider: Any | None = None,
        route_class: type[APIRoute] = APIRoute,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        lifespan: Lifespan[Any] | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
        generate_unique_id_function: Callable[[Any], str] | DefaultPlaceholder = ROUTE_DEFAULTS[
            "generate_unique_id_function"
        ],
        strict_content_type: bool | DefaultPlaceholder = ROUTE_DEFAULTS["strict_content_type"],
        max_body_size: int | None = None,
        form_limits: FormLimits | None = None,
        sync_mode: SyncMode | DefaultPlaceholder = ROUTE_DEFAULTS["sync_mode"],
        auto_head: bool | DefaultPlaceholder = Default(True),  # noqa: B008
    ) -> None:
        _check_prefix(prefix)
        validate_max_body_size(max_body_size)
        self.on_startup = list(on_startup or [])
        self.on_shutdown = list(on_shutdown or [])
        super().__init__(
            routes=routes,
            redirect_slashes=redirect_slashes,
            default=default,
            lifespan=_as_lifespan(lifespan, self),
            middleware=None
            if max_body_size is None
            else [Middleware(cast(Any, wrap_app_with_body_limit), max_body_size=max_body_size)],
        )
        self.prefix = prefix
        self.tags: list[str | Enum] = tags or []
        self.dependencies = list(dependencies or [])
        self.deprecated = deprecated
        self.include_in_schema = include_in_schema
        self.responses = responses or {}
        self.callbacks = callbacks or []
        self.dependency_overrides_provider = dependency_overrides_provider
        self.route_class = route_class
        self.default_response_class = default_response_class
        self.generate_unique_id_function = generate_unique_id_function
        self.strict_content_type = strict_content_type
        self.sync_mode = sync_mode
        self.auto_head = auto_head
        self.max_body_size = max_body_size
        self.form_limits = validate_form_limits(form_limits)
        self._low_priority_routes: list[BaseRoute] = []
        self._frontend_routes: FrontendGroup | None = None
        self._site: Site | None = None
        self._site_in_steps: tuple[Site, Site] | None = None

    # --- declaring --------------------------------------------------------------------------------------------------

    @documented(RouteOptions)
    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        route_class_override: type[APIRoute] | None = None,
        **options: Unpack[RouteOptions],
    ) -> None:
        """Declare `endpoint` as the handler of `path`."""
        given = complete("add_api_route", options, RouteOptions)
        route_class = route_class_override or self.route_class
        self.routes.append(
            route_class(
                self.prefix + path,
                endpoint=endpoint,
                **given
                | {
                    "tags": [*self.tags, *(given["tags"] or [])],
                    "dependencies": [*self.dependencies, *(given["dependencies"] or [])],
                    "responses": {**self.responses, **(given["responses"] or {})},
                    "callbacks": [*self.callbacks, *(given["callbacks"] or [])],
                    "deprecated": given["deprecated"] or self.deprecated,
                    "include_in_schema": given["include_in_schema"] and self.include_in_schema,
                    "response_class": get_value_or_default(given["response_class"], self.default_response_class),
                    "generate_unique_id_function": get_value_or_default(
                        given["generate_unique_id_function"], self.generate_unique_id_function
                    ),
                    "strict_content_type": get_value_or_default(given["strict_content_type"], self.strict_content_type),
                    "sync_mode": get_value_or_default(given["sync_mode"], self.sync_mode),
                    "max_body_size": get_body_size_limit(given["max_body_size"], self.max_body_size),
                    "dependency_overrides_provider": self.dependency_overrides_provider,
                },
            )
        )

    def route(
        self,
        path: str,
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
    ) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a plain route: `handler(request) -> Response`, without parameters or validation."""

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_route(path, func, methods=methods, name=name, include_in_schema=include_in_schema)
            return func

        return decorate

    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[params.Depends] | None = None,
    ) -> None:
        """Declare `endpoint`, which takes a WebSocket, as the handler of `path`."""
        self.routes.append(
            APIWebSocketRoute(
                self.prefix + path,
                endpoint=endpoint,
                name=name,
                dependencies=[*self.dependencies, *(dependencies or [])],
                dependency_overrides_provider=self.dependency_overrides_provider,
            )
        )

    def websocket_route(self, path: str, name: str | None = None) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a plain WebSocket route: `handler(websocket)`, without parameters or validation."""

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_websocket_route(path, cast(Any, func), name=name)
            return func

        return decorate

    def frontend(
        self,
        path: str,
        *,
        directory: str | os.PathLike[str],
        fallback: Fallback = "auto",
        check_dir: bool | Literal["auto"] = "auto",
    ) -> None:
        """Serve the files of a built frontend below `path`, where no route answers.

        Args:
            path: the prefix of the URLs.
            directory: where the build has put its files.
            fallback: the page for other paths: "404.html", or for navigations "index.html"; "auto" takes what is there.
            check_dir: raise RuntimeError now for a missing directory; "auto" does so unless FASTAPI_ENV is development.
        """
        check_dir = resolve_check_dir(directory, check_dir)
        path = join_frontend_paths(self.prefix, normalize_frontend_path(path))
        if self._frontend_routes is None:
            self._frontend_routes = FrontendGroup(
                dependencies=self.dependencies, dependency_overrides_provider=self.dependency_overrides_provider
            )
            self._low_priority_routes.append(self._frontend_routes)
        self._frontend_routes.add_frontend_route(path, directory=directory, fallback=fallback, check_dir=check_dir)
        self._mark_routes_changed()

    @documented(IncludeOptions, INCLUDE_DEFAULTS)
    def include_router(self, router: "APIRouter", **options: Unpack[IncludeOptions]) -> None:
        """Serve the routes of another router from this one, present and future ones.

        Of a router of FastAPI's own, the present ones.

        Raises AssertionError for a router that would include itself or a malformed prefix, and FastAPIError for a route
        whose path would be empty.
        """
        given = INCLUDE_DEFAULTS | options
        if unknown := given.keys() - INCLUDE_DEFAULTS.keys():
            raise TypeError(f"include_router() got an unexpected keyword argument {min(unknown)!r}")
        router = own_router(router, APIRouter)
        assert self is not router, (
            "Cannot include the same APIRouter instance into itself. Did you mean to include a different router?"
        )
        assert not router._contains(self), (
            "Cannot include an APIRouter instance that already includes this router. "
            "Did you mean to include a different router?"
        )
        _check_prefix(cast(str, given["prefix"]))
        if not given["prefix"]:
            for context in iter_route_contexts(router.routes):
                if context.path == "":
                    with located("the route ''", context.endpoint):
                        raise FastAPIError(f"Prefix and path cannot be both empty (path operation: {context.name})")
        self.routes.append(IncludedRouter(cast(Any, router), Inclusion(cast(Any, self), cast(Any, router), given)))
        self.on_startup.extend(router.on_startup)
        self.on_shutdown.extend(router.on_shutdown)
        self.lifespan_context = _merged_lifespan(self.lifespan_context, router.lifespan_context)

    def _contains(self, router: "APIRouter") -> bool:
        branches = [cast(Any, route.original_router) for route in self.routes if isinstance(route, IncludedRouter)]
        return any(branch is router or branch._contains(router) for branch in branches)

    def _mark_routes_changed(self) -> None:
        self._routes.changes += 1
        routes_epoch.value += 1

    def _get_routes_version(self) -> int:
        """Return a number that grows with every change of the routes here or in a branch below."""
        branches = [cast(Any, route.original_router) for route in self.routes if isinstance(route, IncludedRouter)]
        below: int = sum(branch._get_routes_version() for branch in branches)
        return self._routes.changes + below

    def add_event_handler(self, event_type: str, func: Callable[[], Any]) -> None:
        """Run `func` at "startup" or "shutdown"."""
        assert event_type in ("startup", "shutdown")
        (self.on_startup if event_type == "startup" else self.on_shutdown).append(func)

    @deprecated("on_event is deprecated, use lifespan event handlers instead.")
    def on_event(self, event_type: str) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Run the decorated function at "startup" or "shutdown"."""

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_event_handler(event_type, func)
            return func

        return decorate

    async def _startup(self) -> None:
        for handler in self.on_startup:
            await _call_event_handler(handler)

    async def _shutdown(self) -> None:
        for handler in self.on_shutdown:
            await _call_event_handler(handler)

    # --- serving ----------------------------------------------------------------------------------------------------

    def site(self, **options: Any) -> Site:
        """Return the frozen form of the router's present routes; the options are those of `Site`."""
        routes = [route for route in _iter_table(self.routes) if not _is_for_websockets(route)]
        head_paths = _head_paths(routes)
        return Site(
            router=RouteTable([self._entry(route, head_paths) for route in routes]),
            unmatched=self._unmatched,
            not_allowed=self._not_allowed,
            changed=partial(self._differs_from, list(_walk(self))),
            **{"on_asgi_error": _answer_error, "add_to_scope": self._add_to_scope, "refresh": self._refresh, **options},
        )

    def _differs_from(self, routes: list[BaseRoute]) -> bool:
        """Say whether the routes of this router and the included ones are other objects than these."""
        now = list(_walk(self))
        return len(now) != len(routes) or any(one is not other for one, other in zip(now, routes, strict=True))

    def _refresh(self) -> Site:
        self._site = self.site()
        return self._site

    def _entry(self, route: Candidate | BaseRoute, head_paths: Collection[str] = ()) -> Entry:
        """Return the table's entry of a route; on `head_paths` other routes answer HEAD."""
        if isinstance(route, PrefixedRoute):
            return _plain_entry(route.starlette_route, route, route.app)
        if not isinstance(route, (APIRoute, EffectiveRoute)):
            return _plain_entry(route, None, route.handle)
        original = route if isinstance(route, APIRoute) else route.original_route
        context = route if isinstance(route, EffectiveRoute) else None
        if type(original).matches is not APIRoute.matches or type(original).handle is not APIRoute.handle:
            return _asking_entry(original, context, partial(_handle_custom, original, context))
        target = route.freeze(self.form_limits) if route.is_compiled else _Target(original, context, route.app)
        methods = route.methods if _shape(route) in head_paths else self._answered_methods(route)
        return Entry(target, route.path_regex, route.param_convertors, route.path, frozenset(methods))

    def _answered_methods(self, route: APIRoute | EffectiveRoute) -> list[str]:
        """Return the methods that a route declares, and HEAD if its answer to GET is to serve that as well."""
        auto_head = self.auto_head
        if isinstance(route, EffectiveRoute):
            auto_head = get_value_or_default(route.inclusion.auto_head, auto_head)
        is_wanted = auto_head.value if isinstance(auto_head, DefaultPlaceholder) else auto_head
        added = {"HEAD"} if is_wanted and "GET" in route.methods else set()
        return [*route.methods, *(added - route.methods)]

    def _add_to_scope(self, scope: Any, exchange: Any) -> None:
        scope.setdefault("router", self)
        if not isinstance(exchange.target, Endpoint):
            add_form_limits(scope, self.form_limits)
        _add_to_scope(scope, exchange)

    def _add_to_scope_in_steps(self, scope: Any, exchange: Any) -> None:
        """Do what `_add_to_scope` does, and let the route's application answer in place of its compiled form."""
        if isinstance(exchange.target, Endpoint):
            route: Any = exchange.target.route
            context = route if isinstance(route, EffectiveRoute) else None
            exchange.target = _Target(getattr(route, "original_route", route), context, route.app)
        self._add_to_scope(scope, exchange)
        if (route := _selected(exchange)) is not None:
            select_route(scope, route)

    async def _not_allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        original = scope["route"] if isinstance(scope["route"], APIRoute) else scope.pop("route")
        route = effective_route_of(original, scope) or original
        is_operation = isinstance(route, (APIRoute, EffectiveRoute))
        headers = {"Allow": ", ".join(self._answered_methods(route) if is_operation else route.methods)}
        if "app" in scope:
            raise StarletteHTTPException(status_code=405, headers=headers)
        await PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)(scope, receive, send)

    async def _unmatched(self, scope: Scope, receive: Receive, send: Send) -> None:
        other = self._slash_redirect(scope)
        if other is not None:
            if is_observed(scope):
                self._select_redirect(scope, other)
            await RedirectResponse(url=str(URL(scope=other)))(scope, receive, send)
        elif (found := self._match_low_priority(scope)) is not None:
            route, child_scope = found
            update_scope(scope, child_scope)
            select_route(scope, route)
            if isinstance(route, BaseRoute):
                await route.handle(scope, receive, send)
            else:
                await answer_by(route, scope, receive, send)
        else:
            await self.default(scope, receive, send)

    def _select_redirect(self, scope: Scope, other: Scope) -> None:
        """Tell telemetry to which route, the first that matches the other path in any way, a redirect leads."""
        route: Any = next(route for route in self.routes if route.matches(other)[0] is not Match.NONE)
        while isinstance(route, IncludedRouter):
            route = route.match(other)[2]
        _route_selected(scope=scope, path=getattr(route, "path_format", None))

    def _match_low_priority(self, scope: Scope) -> tuple[Candidate | BaseRoute, Scope] | None:
        """Return the best of the routes that answer where no other does: the first, or the most specific frontend."""
        best: tuple[Candidate | BaseRoute, Scope] | None = None
        best_match = Match.NONE
        for route in self._iter_low_priority_routes():
            match, child_scope = route.matches(scope)
            if match.value > best_match.value or (
                best is not None and match is best_match and _is_more_specific(child_scope, best[1])
            ):
                best, best_match = (route, child_scope), match
        return best

    def _iter_low_priority_routes(self) -> Iterator[Candidate | BaseRoute]:
        yield from self._low_priority_routes
        for route in self.routes:
            if isinstance(route, IncludedRouter):
                yield from route.effective_low_priority_routes()

    def _has_match(self, scope: Scope) -> bool:
        site = self._current_site()
        exchange = AsgiExchange(site, cast(Any, scope), None, None)
        assert site.router is not None
        return site.router.match(exchange.method, exchange.path, exchange) is not None

    def _current_site(self) -> Site:
        if self._site is None:
            self._site = self.site()
        return self._site.current()

    def _in_steps(self, site: Site) -> Site:
        """Return a site of the same table whose routes answer step by step, for somebody who looks."""
        if self._site_in_steps is None or self._site_in_steps[0] is not site:
            in_steps = Site(
                router=site.router,
                unmatched=site.unmatched,
                not_allowed=site.not_allowed,
                on_asgi_error=site.on_asgi_error,
                add_to_scope=self._add_to_scope_in_steps,
            )
            self._site_in_steps = site, in_steps
        return self._site_in_steps[1]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI call: an HTTP request by the compiled table, a WebSocket by a scan."""
        if scope["type"] == "http":
            site = self._current_site()
            if is_observed(scope) or is_instrumented():
                site = self._in_steps(site)
            await answer(site, cast(Any, scope), receive, send)
        elif scope["type"] == "lifespan":
            scope.setdefault("router", self)
            await self.lifespan(scope, receive, send)
        else:
            assert scope["type"] == "websocket"
            scope.setdefault("router", self)
            await self._answer_websocket(scope, receive, send)

    async def _answer_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope)
        if found is None:
            await self.default(scope, receive, send)
        else:
            route, child_scope = found
            update_scope(scope, child_scope)
            select_route(scope, route)
            await route.handle(scope, receive, send)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how the routes match, in the inclusion that a request has come through."""
        included = self._inclusion_of(scope)
        return (Match.NONE, {}) if included is None else included.match(scope)[:2]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the router matches."""
        included = self._inclusion_of(scope)
        await (self.app if included is None else included.handle_selected)(scope, receive, send)

    def _inclusion_of(self, scope: Scope) -> IncludedRouter | None:
        included = scope.get("fastapi", {}).get(INCLUDED_ROUTER)
        return (
            included if isinstance(included, IncludedRouter) and cast(Any, included.original_router) is self else None
        )


# --- entries of the table ---------------------------------------------------------------------------------------------


class _Target:
    """A route that is answered by an ASGI application, as the target of a table entry."""

    def __init__(self, route: BaseRoute, context: Candidate | None, app: ASGIApp) -> None:
        self.route = route
        self.context = context
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.app(scope, receive, send)


class _Asked(_Target):
    """The target of a route that is asked whether it matches, and says itself what to add to the scope."""


def _selected(exchange: Any) -> BaseRoute | Candidate | None:
    """Return the route that an exchange has come to, also if it does not have the method."""
    target = exchange.target if isinstance(exchange.target, _Target) else exchange.payload
    if isinstance(target, Endpoint):
        return cast(APIRoute | EffectiveRoute, target.route)
    return (target.context or target.route) if isinstance(target, _Target) else None


def _iter_table(routes: Sequence[BaseRoute]) -> Iterator[Candidate | BaseRoute]:
    """Give the routes of the table: branches dissolve, unless the class of their router decides about matches."""
    for route in routes:
        if isinstance(route, IncludedRouter) and _is_plain(route.original_router):
            yield from _iter_table(cast(Any, route.effective_candidates()))
        else:
            yield route


_GROUP_NAME = re.compile(r"\?P<\w+>")


def _shape(route: Any) -> str:
    """Return what tells the paths of routes apart: their regex, whatever the parameters are called."""
    return _GROUP_NAME.sub("", route.path_regex.pattern)


def _head_paths(routes: Sequence[Candidate | BaseRoute]) -> set[str]:
    """Return the paths of the routes that declare HEAD."""
    declaring = (route for route in routes if "HEAD" in (getattr(route, "methods", None) or ()))
    return {_shape(route) for route in declaring if hasattr(route, "path_regex")}


def _is_for_websockets(route: Candidate | BaseRoute) -> bool:
    """Whether a route can match no HTTP request, so that it need not be asked."""
    served = route.starlette_route if isinstance(route, PrefixedRoute) else route
    matches = (WebSocketRoute.matches, APIWebSocketRoute.matches)
    return isinstance(served, WebSocketRoute) and type(served).matches in matches


def _is_plain(router: Any) -> bool:
    kind = type(router)
    return kind.matches is APIRouter.matches and kind.handle is APIRouter.handle


def _plain_entry(route: BaseRoute, context: Candidate | None, app: ASGIApp) -> Entry:
    if type(route) is Route:
        methods = None if route.methods is None else frozenset(route.methods)
        return Entry(_Target(route, context, app), route.path_regex, route.param_convertors, route.path, methods)
    prefix = route.path + "/" if isinstance(route, Mount) and "{" not in route.path else None
    return _asking_entry(route, context, app, prefix)


def _asking_entry(route: BaseRoute, context: Candidate | None, app: ASGIApp, prefix: str | None = None) -> Entry:
    def ask(exchange: Any) -> tuple[bool, Any] | None:
        scope = exchange.scope()
        if context is None:
            match, child_scope = route.matches(scope)
        else:
            match, child_scope = while_scope_has(scope, ROUTE_CONTEXT, context, route.matches)
        return None if match is Match.NONE else (match is Match.FULL, child_scope)

    return Entry.opaque(_Asked(route, context, app), ask, prefix)


async def _handle_custom(
    route: APIRoute, context: EffectiveRoute | None, scope: Scope, receive: Receive, send: Send
) -> None:
    if context is None:
        await route.handle(scope, receive, send)
    else:
        add_form_limits(scope, context.inclusion.form_limits)
        await answer_by(context, scope, receive, send)


def _add_to_scope(scope: Any, exchange: Any) -> None:
    """Add what matching has found: path values, endpoint, route."""
    target = exchange.target if type(exchange.target) in (Endpoint, _Target) else exchange.payload
    if exchange.path_params:
        scope["path_params"] = {**scope.get("path_params", {}), **exchange.path_params}
    if isinstance(target, Endpoint):
        _add_route(scope, target.route, target is exchange.target)
    elif type(target) is _Target:
        if isinstance(target.context, EffectiveRoute):
            add_form_limits(scope, target.context.inclusion.form_limits)
        _add_route(scope, target.context or target.route, target is exchange.target)
    elif isinstance(target, dict):
        update_scope(scope, target)
    else:  # nothing matches
        return
    scope.setdefault("path_params", {})


def _add_route(scope: Any, route: Any, is_answering: bool) -> None:
    """Add a route's endpoint, and the route itself if it is FastAPI's (its router does not tell of Starlette's).

    Where it does not have the method, what answers in its place has to know it in any case.
    """
    scope["endpoint"] = route.endpoint
    if isinstance(route, (EffectiveRoute, PrefixedRoute)):
        fastapi_scope(scope)[ROUTE_CONTEXT] = route
        route = route.original_route
    if isinstance(route, APIRoute) or not is_answering:
        scope["route"] = route


def _is_more_specific(child_scope: Scope, other: Scope) -> bool:
    specificity, of_other = (found.get("fastapi", {}).get(FRONTEND_SPECIFICITY) for found in (child_scope, other))
    return specificity is not None and of_other is not None and specificity > of_other


async def _answer_error(exchange: Any, exc: Exception) -> None:
    """Answer what an endpoint has raised, as far as the scope has a handler for it.

    That happens inside of all middleware, of mounts as well, and before the middleware's exit stack closes any files.
    """
    if exchange.started or not isinstance(exchange.target, Endpoint):
        raise exc
    answer_exception = wrap_app_handling_exceptions(partial(_raise, exc), exchange.get_request(Request))
    await answer_exception(exchange.scope(), exchange.receive, exchange.send)


async def _raise(exc: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    raise exc


def _check_prefix(prefix: str) -> None:
    if prefix:
        assert prefix.startswith("/"), "A path prefix must start with '/'"
        assert not prefix.endswith("/"), "A path prefix must not end with '/', as the routes will start with '/'"


async def _call_event_handler(handler: Callable[[], Any]) -> None:
    if is_async_callable(handler):
        await handler()
    else:
        handler()


class DefaultLifespan:
    """The lifespan of a router that was not given one: its `on_startup` and `on_shutdown` functions."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router

    async def __aenter__(self) -> None:
        await self._router._startup()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._router._shutdown()

    def __call__(self, app: object) -> "DefaultLifespan":
        return self


def _as_lifespan(lifespan: Any, router: APIRouter) -> Lifespan[Any]:
    if lifespan is None:
        return cast(Lifespan[Any], DefaultLifespan(router))
    if inspect.isasyncgenfunction(lifespan):
        return asynccontextmanager(lifespan)
    if inspect.isgeneratorfunction(lifespan):
        return lifted_generator(lifespan)
    given: Lifespan[Any] = lifespan
    return given


def _merged_lifespan(outer: Lifespan[Any], inner: Lifespan[Any]) -> Lifespan[Any]:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        async with outer(app) as outer_state, inner(app) as inner_state:
            if outer_state is None and inner_state is None:
                yield None
            else:
                yield {**(inner_state or {}), **(outer_state or {})}

    return cast(Lifespan[Any], lifespan)
