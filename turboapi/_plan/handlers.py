"""Endpoints as functions: `handler(request) -> Response`, and `session(websocket)`.

That is what a route's `get_route_handler` returns, for an application to wrap; what a WebSocket route runs; and how the
dependencies of what is no path operation are solved. It is the same `Endpoint` as on the direct way, frozen in another
style: it reads everything off the given object, leaves its exit stacks to the caller, and hands its Response back.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, cast

from turboapi._plan.dependencies import Dependant
from turboapi._plan.endpoint import HOOKS, EndpointRoute, Style, exact_responder, freeze
from turboapi._plan.fields import ModelField
from turboapi._plan.forms import FormLimits
from turboapi._speedups import AsgiExchange, Endpoint, Hooks, Site
from turboapi._speedups import Router as RouteTable
from turboapi.background import BackgroundTasks
from turboapi.datastructures import Default, DefaultPlaceholder
from turboapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from turboapi.requests import HTTPConnection, Request
from turboapi.responses import JSONResponse, Response
from turboapi.types import IncEx
from turboapi.websockets import WebSocket

__all__ = ["HandlerRoute", "Solved", "make_handler", "make_session", "solve"]

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
    stream_item_field: ModelField | None = None
    is_json_stream: bool = False
    is_sse_stream: bool = False
    _embed_body_fields: bool = False


class _Reply:
    """A finished response, or what is made in its place, on its way out of the pipeline."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send(self.response)


class _NoResponse:
    """Stands for the class of results that pass as they are: with a handler, none do."""

    def __call__(self) -> None:
        raise NotImplementedError


class _Handing(AsgiExchange):
    """An exchange that is given its Request, or WebSocket, and keeps the Response."""

    def __init__(self, connection: HTTPConnection) -> None:
        scope = connection.scope
        super().__init__(_SITE, cast(Any, scope if "method" in scope else {**scope, "method": ""}), None, None)
        self.connection = connection
        self.path_params = scope.get("path_params")
        self.response: Any = None

    def get_request(self, factory: Any) -> HTTPConnection:
        return self.connection

    def scope(self) -> Any:
        return self.connection.scope

    async def send(self, message: Any) -> None:
        self.response = message


async def _raise(exchange: Any, exc: Exception) -> None:
    raise exc


async def _run_with_present_stack(key: str, exchange: Any, func: Callable[..., Awaitable[None]], *args: Any) -> None:
    stack = exchange.scope().get(key)
    assert stack is not None, f"{key} not found in request scope"
    await func(stack, exchange, *args)


_SITE = Site(router=RouteTable([]), on_asgi_error=_raise)
_HANDLER_HOOKS = Hooks(
    request_class=Request,
    response_class=_NoResponse,
    undefined=HOOKS.undefined,
    new_response=HOOKS.new_response,
    new_background=HOOKS.new_background,
    run_in_thread=HOOKS.run_in_thread,
    run_limited=HOOKS.run_limited,
    run_with_stack=_run_with_present_stack,
    run_and_close=HOOKS.run_and_close,
    open_generator=HOOKS.open_generator,
)


def _handler_result(route: EndpointRoute) -> tuple[int, Any]:
    respond = exact_responder(route)

    async def reply(request: Request, result: Any, background: Any, injected: Response | None) -> _Reply:
        if not isinstance(result, Response):
            return _Reply(await respond(request, result, background, injected))
        if result.background is None:
            result.background = background
        return _Reply(result)

    return _EXACT_RESULT, reply


def _session_result(route: EndpointRoute) -> tuple[int, Any]:
    async def reply(*args: Any) -> _Reply:
        return _Reply(None)

    return _EXACT_RESULT, reply


_HANDLER = Style(hooks=_HANDLER_HOOKS, result=_handler_result, exact=True)
_SESSION = Style(hooks=_HANDLER_HOOKS, result=_session_result, exact=True, is_websocket=True)


async def _run(endpoint: Any, exchange: _Handing) -> Any:
    try:
        await endpoint._run(exchange)
    finally:
        stack = exchange.scope().get("fastapi_middleware_astack")
        for close in exchange.closers or ():
            await close() if stack is None else stack.push_async_callback(close)
    return exchange.response


def make_handler(
    route: EndpointRoute, form_limits: FormLimits | None = None
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return the coroutine function that answers a request to `route`, of any subclass of Request.

    It expects the exit stacks for dependencies in the scope.
    """
    endpoint: Endpoint | None = None

    async def handler(request: Request) -> Response:
        nonlocal endpoint
        if endpoint is None:  # only now, because what wraps handlers may still change the route
            endpoint = freeze(route, form_limits=form_limits, style=_HANDLER)
        response: Response = await _run(endpoint, _Handing(request))
        return response

    return handler


def make_session(route: EndpointRoute) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
    """Return the coroutine function that runs the endpoint of a WebSocket route."""
    endpoint: Endpoint | None = None

    async def session(websocket: WebSocket) -> None:
        nonlocal endpoint
        if endpoint is None:
            endpoint = freeze(route, style=_SESSION)
        await _run(endpoint, _Handing(websocket))

    return session


@dataclass
class Solved:
    """What a callable would be called with, and what its dependencies left for the response."""

    values: dict[str, Any]
    errors: list[Any]
    background_tasks: BackgroundTasks | None
    response: Response


async def solve(
    connection: HTTPConnection, dependant: Dependant, *, body: Any, provider: Any, embed_body_fields: bool
) -> Solved:
    """Call the dependencies of `dependant`, and collect the values of its own parameters; do not call itself."""

    async def collect(**values: Any) -> dict[str, Any]:
        return values

    async def load_body(request: Request, exchange: Any) -> Any:
        return body

    async def reply(request: Request, result: Any, background: Any, injected: Response | None) -> _Reply:
        return _Reply(Solved(result, [], background, injected or HOOKS.new_response()))

    style = Style(
        hooks=_HANDLER_HOOKS,
        result=lambda route: (_EXACT_RESULT, reply),
        exact=True,
        is_websocket=isinstance(connection, WebSocket),
        load_body=load_body,
    )
    route = HandlerRoute(
        dependant=replace(dependant, call=collect),
        dependency_overrides_provider=provider,
        _embed_body_fields=embed_body_fields,
    )
    try:
        solved: Solved = await _run(freeze(cast(Any, route), style=style), _Handing(connection))
    except (RequestValidationError, WebSocketRequestValidationError) as exc:
        return Solved({}, list(exc.errors()), None, HOOKS.new_response())
    return solved
