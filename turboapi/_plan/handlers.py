"""Endpoints step by step: `handler(request) -> Response`, and `session(websocket)`.

A handler is what a route's `get_route_handler` returns, for an application to wrap; a session is what a WebSocket route
runs. Between the steps others can look, and take a hand in: telemetry, and instrumentations that replace
`solve_dependencies` and `run_endpoint_function` of this module. The compiled pipeline has no such places, and the parts
are the same: loaders of bodies, dependency plans and makers of responses.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

from turboapi._plan.dependencies import (
    Dependant,
    UsesScopesCache,
    is_async_gen_callable,
    is_coroutine_callable,
    is_gen_callable,
)
from turboapi._plan.endpoint import (
    HOOKS,
    EndpointRoute,
    Style,
    body_loader,
    exact_responder,
    freeze,
    validation_error,
)
from turboapi._plan.fields import ModelField, Undefined
from turboapi._plan.forms import FormLimits
from turboapi._speedups import AsgiExchange, Endpoint, Hooks, Site, innermost
from turboapi._speedups import Router as RouteTable
from turboapi.background import StarletteBackgroundTasks
from turboapi.concurrency import run_in_threadpool
from turboapi.datastructures import Default, DefaultPlaceholder
from turboapi.exceptions import RequestValidationError
from turboapi.requests import HTTPConnection, Request
from turboapi.responses import JSONResponse, Response
from turboapi.telemetry._api import (
    TelemetryData,
    _operation,
    _run_sync_endpoint,
    _validation_failed,
    get_telemetry_data,
)
from turboapi.types import DependencyCacheKey, IncEx, SyncMode
from turboapi.websockets import WebSocket

__all__ = [
    "HandlerRoute",
    "SolvedDependency",
    "is_instrumented",
    "make_handler",
    "make_session",
    "run_endpoint_function",
    "solve_dependencies",
]

_EXACT_RESULT = 2


@dataclass
class HandlerRoute:
    """What a handler has to know of its route."""

    dependant: Dependant
    body_field: ModelField | None = None
    status_code: int | None = None
    response_class: type[Response] | DefaultPlaceholder = field(default_factory=lambda: Default(JSONResponse))
    response_field: ModelField | None = None
    response_model_include: IncEx | None = None
    response_model_exclude: IncEx | None = None
    response_model_by_alias: bool = True
    response_model_exclude_unset: bool = False
    response_model_exclude_defaults: bool = False
    response_model_exclude_none: bool = False
    dependency_overrides_provider: Any = None
    strict_content_type: bool | DefaultPlaceholder = field(default_factory=lambda: Default(True))
    sync_mode: SyncMode | DefaultPlaceholder = "thread"
    stream_item_field: ModelField | None = None
    is_json_stream: bool = False
    is_sse_stream: bool = False
    _embed_body_fields: bool = False


# --- dependencies ----------------------------------------------------------------------------------------------------


@dataclass
class SolvedDependency:
    """What a callable is to be called with, and what its dependencies left for the response."""

    values: dict[str, Any]
    errors: list[Any]
    background_tasks: StarletteBackgroundTasks | None
    response: Response
    dependency_cache: dict[DependencyCacheKey, Any]


class _Reply:
    """What a plan has found, on the way of responses."""

    def __init__(self, found: SolvedDependency) -> None:
        self.found = found

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send(self.found)


class _Solving(AsgiExchange):
    """An exchange that is given its Request or WebSocket and the parsed body, and keeps what is found."""

    def __init__(self, connection: HTTPConnection, parsed: Any) -> None:
        scope = connection.scope
        super().__init__(_SITE, cast(Any, scope if "method" in scope else {**scope, "method": ""}), None, None)
        self.connection = connection
        self.path_params = scope.get("path_params")
        self.parsed = parsed

    def get_request(self, factory: Any) -> HTTPConnection:
        return self.connection

    def scope(self) -> Any:
        return self.connection.scope

    async def send(self, message: Any) -> None:
        self.found: SolvedDependency = message


async def _raise(exchange: Any, exc: Exception) -> None:
    raise exc


async def _run_with_present_stack(key: str, exchange: Any, func: Callable[..., Awaitable[None]], *args: Any) -> None:
    stack = exchange.scope().get(key)
    assert stack is not None, f"{key} not found in request scope"
    await func(stack, exchange, *args)


def _nothing(**values: Any) -> None:
    """Stands for the endpoint, which is not called."""


async def _parsed_body(request: Request, exchange: Any) -> Any:
    return exchange.parsed


async def _reply(request: Request, result: Any, background: Any, injected: Response | None) -> _Reply:
    values, errors = result
    return _Reply(SolvedDependency(values, errors, background, cast(Response, injected), {}))


_SITE = Site(router=RouteTable([]), on_asgi_error=_raise)
_SOLVING = Style(
    hooks=Hooks(
        request_class=Request,
        response_class=Response,
        undefined=HOOKS.undefined,
        new_response=HOOKS.new_response,
        new_background=HOOKS.new_background,
        run_in_thread=HOOKS.run_in_thread,
        new_place=HOOKS.new_place,
        run_limited=HOOKS.run_limited,
        run_with_stack=_run_with_present_stack,
        run_and_close=HOOKS.run_and_close,
        open_generator=HOOKS.open_generator,
        manager_of=HOOKS.manager_of,
        leave=HOOKS.leave,
        finish_reading=HOOKS.finish_reading,
        without_stream=HOOKS.without_stream,
    ),
    result=lambda route: (_EXACT_RESULT, _reply),
    exact=True,
    load_body=_parsed_body,
    collects=True,
)


def _solver(dependant: Dependant, provider: Any, embed: bool, is_websocket: bool) -> Endpoint:
    """Return the plan that calls the dependencies and collects the values for `dependant.call`."""

    def make() -> Endpoint:
        route = HandlerRoute(
            dependant=replace(dependant, call=_nothing),
            dependency_overrides_provider=provider,
            _embed_body_fields=embed,
        )
        return freeze(cast(Any, route), style=replace(_SOLVING, is_websocket=is_websocket))

    key = (id(provider), embed, is_websocket)  # the plan keeps the provider alive
    return cast(Endpoint, dependant.keep(key, make))


async def _find(
    connection: Request | WebSocket, dependant: Dependant, *, body: Any, provider: Any, embed: bool
) -> SolvedDependency:
    """Run the compiled plan; the response is None if nobody has asked for it."""
    exchange = _Solving(connection, body)
    await cast(Any, _solver(dependant, provider, embed, isinstance(connection, WebSocket)))._run(exchange)
    return exchange.found


async def solve_dependencies(
    *,
    request: Request | WebSocket,
    dependant: Dependant,
    body: Any = Undefined,
    background_tasks: StarletteBackgroundTasks | None = None,
    response: Response | None = None,
    dependency_overrides_provider: Any | None = None,
    dependency_cache: dict[DependencyCacheKey, Any] | None = None,
    async_exit_stack: AsyncExitStack,
    embed_body_fields: bool,
    _uses_scopes_cache: UsesScopesCache | None = None,
) -> SolvedDependency:
    """Call the dependencies of `dependant` and collect what it would be called with.

    The exit stacks are those in the scope of `request`. Results are not shared between calls, so `dependency_cache`
    comes back as it is.
    """
    solved = await _find(request, dependant, body=body, provider=dependency_overrides_provider, embed=embed_body_fields)
    found: Response | None = solved.response
    if response is not None:
        response.raw_headers.extend([] if found is None else found.raw_headers)
    solved.response = response or found or HOOKS.new_response()
    if background_tasks is not None:
        background_tasks.tasks.extend([] if solved.background_tasks is None else solved.background_tasks.tasks)
        solved.background_tasks = background_tasks
    if dependency_cache is not None:
        solved.dependency_cache = dependency_cache
    return solved


async def run_endpoint_function(*, dependant: Dependant, values: dict[str, Any], is_coroutine: bool) -> Any:
    """Call an endpoint that is no generator, in a worker thread unless it is a coroutine function."""
    assert dependant.call is not None
    if not is_coroutine:
        return await run_in_threadpool(_run_sync_endpoint, function=dependant.call, arguments=values)
    with _operation(name="endpoint", function=dependant.call):
        return await dependant.call(**values)


_OWN = (solve_dependencies, run_endpoint_function)


def is_instrumented() -> bool:
    """Say whether somebody has replaced a step: then every request has to go step by step."""
    return solve_dependencies is not _OWN[0] or run_endpoint_function is not _OWN[1]


async def _solve(
    route: EndpointRoute, connection: Request | WebSocket, body: Any, data: TelemetryData | None
) -> SolvedDependency:
    """Solve the dependencies of a route; raises the validation error if there are errors."""
    dependant, provider, embed = route.dependant, route.dependency_overrides_provider, route._embed_body_fields
    with _operation(name="dependencies", function=dependant.call):
        if solve_dependencies is _OWN[0]:  # PERF: without a Response that nobody has asked for
            solved = await _find(connection, dependant, body=body, provider=provider, embed=embed)
        else:
            solved = await solve_dependencies(
                request=connection,
                dependant=dependant,
                body=body,
                dependency_overrides_provider=provider,
                async_exit_stack=cast(AsyncExitStack, connection.scope.get("fastapi_inner_astack")),
                embed_body_fields=embed,
            )
        if data is not None:
            data.values, data.errors = solved.values, solved.errors
    if solved.errors:
        error = validation_error(route, solved.errors, body, connection.scope)
        _validation_failed(error)
        raise error
    return solved


# --- requests --------------------------------------------------------------------------------------------------------


class _Handler:
    """The steps by which a route answers a request."""

    def __init__(self, route: EndpointRoute, form_limits: FormLimits) -> None:
        call = route.dependant.call
        self.route = route
        self.call: Callable[..., Any] = cast(Any, call)
        self.is_generator = is_async_gen_callable(call) or is_gen_callable(call)
        self.is_coroutine = is_coroutine_callable(call)
        self.load_body = body_loader(route, form_limits)
        self.respond = exact_responder(route, as_operation=True)

    async def answer(self, request: Request) -> Response:
        data = get_telemetry_data()
        if data is not None:
            data.request = request
        body = await self._read_body(request)
        if data is not None:
            data.body = None if body is Undefined else body
        solved = await _solve(self.route, request, body, data)
        if self.is_generator:
            result = self.call(**solved.values)
        else:
            result = await run_endpoint_function(
                dependant=self.route.dependant, values=solved.values, is_coroutine=self.is_coroutine
            )
            if HOOKS.is_response(result):
                if result.background is None:
                    result.background = cast(Any, solved.background_tasks)
                return cast(Response, result)
        return await self.respond(request, result, solved.background_tasks, solved.response)

    async def _read_body(self, request: Request) -> Any:
        if self.load_body is None:
            return Undefined
        try:
            return await self.load_body(request, None)
        except RequestValidationError as error:
            _validation_failed(error)
            raise


def make_handler(
    route: EndpointRoute, form_limits: FormLimits | None = None
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return the coroutine function that answers a request to `route`, of any subclass of Request.

    It expects the exit stacks for dependencies and files in the scope.
    """
    steps: _Handler | None = None

    async def handler(request: Request) -> Response:
        nonlocal steps
        if steps is None:  # only now, because what wraps handlers may still change the route
            steps = _Handler(route, form_limits or FormLimits())
        return await steps.answer(request)

    return handler


# --- WebSockets ------------------------------------------------------------------------------------------------------


def make_session(route: EndpointRoute) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
    """Return the coroutine function that runs the endpoint of a WebSocket route."""

    async def session(websocket: WebSocket) -> None:
        call = cast(Callable[..., Any], route.dependant.call)
        data = get_telemetry_data()
        if data is not None:
            data.websocket = websocket
        solved = await _solve(route, websocket, Undefined, data)
        with _operation(name="endpoint", function=call):
            await innermost(call(**solved.values))

    return session
