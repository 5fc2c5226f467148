"""Path operations and WebSocket operations: the options they are declared with, and what follows from them.

A path operation is answered in one of two ways. Its frozen form (`freeze`) goes into the compiled route table. Its
`app` is an ASGI application around `get_route_handler()`, for the routes whose class has its own, and for whoever calls
a route without the table. Both are the same `Endpoint`.
"""

import inspect
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from enum import Enum, IntEnum
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack, cast

from turboapi import params
from turboapi._body_limit import validate_max_body_size, wrap_app_with_body_limit
from turboapi._exception_handler import wrap_app_handling_exceptions
from turboapi._foreign import derives_from, own_annotation, own_class
from turboapi._plan.body import get_body_field, should_embed_body_fields
from turboapi._plan.context import located
from turboapi._plan.dependencies import (
    Dependant,
    get_dependant,
    get_flat_body_params,
    get_parameterless_sub_dependant,
    is_async_gen_callable,
    is_gen_callable,
)
from turboapi._plan.endpoint import RESPONSE_NOT_AWAITED, freeze
from turboapi._plan.fields import ModelField, create_model_field, lenient_issubclass
from turboapi._plan.forms import FormLimits, validate_form_limits
from turboapi._plan.handlers import HandlerRoute, make_handler, make_session
from turboapi._plan.signature import get_stream_item_type, get_typed_return_annotation
from turboapi._plan.streams import without_stream
from turboapi._routes import BaseRoute, Match, Route, WebSocketRoute, compile_path, get_name
from turboapi._speedups import Endpoint
from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.datastructures import Default, DefaultPlaceholder
from turboapi.exceptions import FastAPIError, StarletteHTTPException
from turboapi.requests import Request
from turboapi.responses import JSONResponse, PlainTextResponse, Response
from turboapi.sse import EventSourceResponse, ServerSentEvent
from turboapi.types import ASGIApp, IncEx, Receive, Scope, Send, SyncMode, check_sync_mode
from turboapi.utils import generate_unique_id, is_body_allowed_for_status_code
from turboapi.websockets import WebSocket

__all__ = [
    "ROUTE_DEFAULTS",
    "APIRoute",
    "APIRouteOptions",
    "APIWebSocketRoute",
    "ApiRouteState",
    "RouteOptions",
    "VerbOptions",
    "build_dependant",
    "complete",
    "documented",
    "effective_route",
    "effective_route_of",
    "get_request_handler",
    "get_websocket_app",
    "request_response",
    "websocket_session",
]

T = TypeVar("T")


class VerbOptions(TypedDict, total=False):
    """The keyword options of `get`, `post` and the other verbs; what each means is told in the tutorial."""

    response_model: Any
    status_code: int | None
    tags: list[str | Enum] | None
    dependencies: Sequence[params.Depends] | None
    summary: str | None
    description: str | None
    response_description: str
    responses: dict[int | str, dict[str, Any]] | None
    deprecated: bool | None
    operation_id: str | None
    response_model_include: IncEx | None
    response_model_exclude: IncEx | None
    response_model_by_alias: bool
    response_model_exclude_unset: bool
    response_model_exclude_defaults: bool
    response_model_exclude_none: bool
    include_in_schema: bool
    response_class: type[Response] | DefaultPlaceholder
    name: str | None
    callbacks: list[BaseRoute] | None
    openapi_extra: dict[str, Any] | None
    generate_unique_id_function: Callable[[Any], str] | DefaultPlaceholder
    strict_content_type: bool | DefaultPlaceholder
    max_body_size: int | None
    form_limits: FormLimits | None
    sync_mode: SyncMode | DefaultPlaceholder


class RouteOptions(VerbOptions, total=False):
    """The keyword options of `api_route` and `add_api_route`: those of the verbs, and the methods."""

    methods: Collection[str] | None


class APIRouteOptions(RouteOptions, total=False):
    """The keyword options of an `APIRoute`."""

    dependency_overrides_provider: Any


ROUTE_DEFAULTS: dict[str, Any] = {
    "response_model": Default(None),
    "status_code": None,
    "tags": None,
    "dependencies": None,
    "summary": None,
    "description": None,
    "response_description": "Successful Response",
    "responses": None,
    "deprecated": None,
    "operation_id": None,
    "response_model_include": None,
    "response_model_exclude": None,
    "response_model_by_alias": True,
    "response_model_exclude_unset": False,
    "response_model_exclude_defaults": False,
    "response_model_exclude_none": False,
    "include_in_schema": True,
    "response_class": Default(JSONResponse),
    "name": None,
    "callbacks": None,
    "openapi_extra": None,
    "generate_unique_id_function": Default(generate_unique_id),
    "strict_content_type": Default(True),
    "max_body_size": None,
    "form_limits": None,
    "sync_mode": Default("auto"),
    "methods": None,
    "dependency_overrides_provider": None,
}


def complete(function: str, options: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Return the options with all defaults; unknown names are a TypeError, as for any function."""
    known = kind.__annotations__
    if unknown := options.keys() - known.keys():
        raise TypeError(f"{function}() got an unexpected keyword argument {min(unknown)!r}")
    return {name: options.get(name, default) for name, default in ROUTE_DEFAULTS.items() if name in known}


def documented(kind: type[Any], defaults: Mapping[str, Any] = ROUTE_DEFAULTS) -> Callable[[T], T]:
    """Give a function with `**options: Unpack[kind]` the signature that `help()` and editors should show."""

    def decorate(function: Any) -> Any:
        given = inspect.signature(function)
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name],
                annotation=kind.__annotations__[name],
            )
            for name in kind.__annotations__
        ]
        fixed = [parameter for parameter in given.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
        function.__signature__ = given.replace(parameters=[*fixed, *options])
        return function

    return decorate


# --- functions as ASGI applications, with the exit stacks that dependencies need -------------------------------------

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def request_response(func: Callable[[Request], Awaitable[Response] | Response]) -> ASGIApp:
    """Return the ASGI application of `func(request) -> response`; a plain function runs in a worker thread."""
    called: Any = func
    call = called if is_async_callable(called) else partial(run_in_threadpool, called)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            complete = False
            async with AsyncExitStack() as stack:
                scope["fastapi_inner_astack"] = stack
                async with AsyncExitStack() as function_stack:
                    scope["fastapi_function_astack"] = function_stack
                    response = await call(request)
                await response(scope, receive, send)
                complete = True
            if not complete:
                raise FastAPIError(RESPONSE_NOT_AWAITED)

        wrapped = wrap_app_handling_exceptions(respond, request)
        if "fastapi_middleware_astack" in scope:
            await wrapped(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            scope["fastapi_middleware_astack"] = stack
            await wrapped(scope, receive, send)

    return app


def websocket_session(func: Callable[[WebSocket], Awaitable[None]]) -> ASGIApp:
    """Return the ASGI application of the coroutine function `func(websocket)`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = WebSocket(scope, receive=receive, send=send)

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            async with AsyncExitStack() as stack:
                scope["fastapi_inner_astack"] = stack
                async with AsyncExitStack() as function_stack:
                    scope["fastapi_function_astack"] = function_stack
                    await func(session)

        await wrap_app_handling_exceptions(run, session)(scope, receive, send)

    return app


def get_request_handler(
    dependant: Dependant,
    body_field: ModelField | None = None,
    status_code: int | None = None,
    response_class: type[Response] | DefaultPlaceholder = ROUTE_DEFAULTS["response_class"],
    response_field: ModelField | None = None,
    response_model_include: IncEx | None = None,
    response_model_exclude: IncEx | None = None,
    response_model_by_alias: bool = True,
    response_model_exclude_unset: bool = False,
    response_model_exclude_defaults: bool = False,
    response_model_exclude_none: bool = False,
    dependency_overrides_provider: Any | None = None,
    embed_body_fields: bool = False,
    strict_content_type: bool | DefaultPlaceholder = ROUTE_DEFAULTS["strict_content_type"],
    stream_item_field: ModelField | None = None,
    is_json_stream: bool = False,
    form_limits: FormLimits | None = None,
) -> Handler:
    """Return the coroutine function that answers a request; it raises what the route's dependencies and handler raise.

    It is called with a Request in whose scope `request_response` has put exit stacks.
    """
    route = HandlerRoute(
        dependant=dependant,
        body_field=body_field,
        status_code=status_code,
        response_class=response_class,
        response_field=response_field,
        response_model_include=response_model_include,
        response_model_exclude=response_model_exclude,
        response_model_by_alias=response_model_by_alias,
        response_model_exclude_unset=response_model_exclude_unset,
        response_model_exclude_defaults=response_model_exclude_defaults,
        response_model_exclude_none=response_model_exclude_none,
        dependency_overrides_provider=dependency_overrides_provider,
        strict_content_type=strict_content_type,
        stream_item_field=stream_item_field,
        is_json_stream=is_json_stream,
        is_sse_stream=lenient_issubclass(_value_of(response_class), EventSourceResponse),
        _embed_body_fields=embed_body_fields,
    )
    return make_handler(cast(Any, route), form_limits)


_compiled_as = get_request_handler
"""What the compiled form of a route does the same as. An instrumentation may replace the other name."""


def get_websocket_app(
    dependant: Dependant, dependency_overrides_provider: Any | None = None, embed_body_fields: bool = False
) -> Callable[[WebSocket], Coroutine[Any, Any, Any]]:
    """Return the coroutine function that runs the endpoint of a WebSocket route."""
    route = HandlerRoute(
        dependant=dependant,
        dependency_overrides_provider=dependency_overrides_provider,
        _embed_body_fields=embed_body_fields,
    )
    return make_session(cast(Any, route))


def build_dependant(
    path: str, call: Callable[..., Any], dependencies: Sequence[params.Depends]
) -> tuple[Dependant, list[ModelField], bool]:
    """Return the tree for `call` and the dependencies beside it, its body parameters, and whether to embed these."""
    dependant = get_dependant(path=path, call=call, scope="function")
    dependant.dependencies[:0] = [
        get_parameterless_sub_dependant(depends=depends, path=path) for depends in dependencies
    ]
    body_params = get_flat_body_params(dependant)
    return dependant, body_params, should_embed_body_fields(body_params)


effective_route: ContextVar[Any] = ContextVar("effective_route", default=None)
"""While the handler of an included route is made: the route as it is served there."""


def effective_route_of(route: BaseRoute, scope: Scope) -> Any | None:
    """Return `route` as it is served in the inclusion that a request has come through, if it has."""
    effective = scope.get("fastapi", {}).get("effective_route_context")
    return effective if effective is not None and effective.original_route is route else None


# --- one route -----------------------------------------------------------------------------------------------------


class ApiRouteState:
    """A path operation with everything that follows from its declaration."""

    path: str
    endpoint: Callable[..., Any]
    name: str
    methods: set[str]
    path_format: str
    unique_id: str
    status_code: int | None
    tags: list[str | Enum]
    dependencies: list[params.Depends]
    description: str
    summary: str | None
    response_description: str
    responses: dict[int | str, dict[str, Any]]
    deprecated: bool | None
    operation_id: str | None
    response_model: Any
    response_model_include: IncEx | None
    response_model_exclude: IncEx | None
    response_model_by_alias: bool
    response_model_exclude_unset: bool
    response_model_exclude_defaults: bool
    response_model_exclude_none: bool
    include_in_schema: bool
    response_class: type[Response] | DefaultPlaceholder
    dependency_overrides_provider: Any
    callbacks: list[BaseRoute] | None
    openapi_extra: dict[str, Any] | None
    generate_unique_id_function: Callable[[Any], str] | DefaultPlaceholder
    strict_content_type: bool | DefaultPlaceholder
    max_body_size: int | None
    form_limits: FormLimits
    sync_mode: SyncMode | DefaultPlaceholder
    response_fields: dict[int | str, ModelField]
    response_field: ModelField | None
    stream_item_type: Any
    stream_item_field: ModelField | None
    dependant: Dependant
    body_field: ModelField | None
    is_sse_stream: bool
    is_json_stream: bool
    _embed_body_fields: bool

    _own_app: bool
    _app: ASGIApp | None

    def _declare(self, path: str, endpoint: Callable[..., Any], options: dict[str, Any]) -> None:
        with located(f"the route {path!r}", endpoint):
            self._set_up(path, endpoint, options)

    def _set_up(self, path: str, endpoint: Callable[..., Any], options: dict[str, Any]) -> None:
        assert callable(endpoint), "An endpoint must be a callable"
        validate_max_body_size(options["max_body_size"])
        check_sync_mode(_value_of(options["sync_mode"]))
        for name, value in options.items():
            setattr(self, name, value)
        self.response_class = own_class(self.response_class)
        self.path = path
        self.endpoint = endpoint
        self.name = options["name"] if options["name"] is not None else get_name(endpoint)
        self.tags = options["tags"] or []
        self.responses = options["responses"] or {}
        self.dependencies = list(options["dependencies"] or [])
        self.methods = {method.upper() for method in (["GET"] if options["methods"] is None else options["methods"])}
        self.form_limits = validate_form_limits(options["form_limits"])
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.unique_id = self.operation_id or _value_of(self.generate_unique_id_function)(self)
        status = options["status_code"]
        self.status_code = int(status) if isinstance(status, IntEnum) else status
        # Text behind a form feed is for readers of the source only.
        text = options["description"] or inspect.cleandoc(endpoint.__doc__ or "")
        self.description = text.split("\f")[0].strip()
        self._declare_parameters()
        self._declare_results(options["response_model"])
        self._app, self._own_app = None, False

    def _declare_parameters(self) -> None:
        self.dependant, body_params, self._embed_body_fields = build_dependant(
            self.path_format, self.endpoint, self.dependencies
        )
        self.body_field = get_body_field(
            body_params=body_params, name=self.unique_id, embed_body_fields=self._embed_body_fields
        )

    def _declare_results(self, response_model: Any) -> None:
        is_generator = is_async_gen_callable(self.endpoint) or is_gen_callable(self.endpoint)
        self.is_sse_stream = is_generator and lenient_issubclass(self.response_class, EventSourceResponse)
        self.is_json_stream = is_generator and isinstance(self.response_class, DefaultPlaceholder)
        self.stream_item_type = getattr(self, "stream_item_type", None)
        if isinstance(response_model, DefaultPlaceholder):
            response_model = self._annotated_model(is_generator)
        self.response_model = response_model
        self.response_fields = {
            status: self._response_field(f"Response_{status}_{self.unique_id}", response["model"], status)
            for status, response in self.responses.items()
            if _checked_response(response).get("model")
        }
        self.response_field = None
        if response_model:
            self.response_field = self._response_field("Response_" + self.unique_id, response_model, self.status_code)
        self.stream_item_field = None
        if self.stream_item_type:
            with located("the streamed items", self.endpoint):
                self.stream_item_field = create_model_field(
                    name="StreamItem_" + self.unique_id, type_=self.stream_item_type, mode="serialization"
                )

    def _annotated_model(self, is_generator: bool) -> Any:
        """The response model that the return annotation states; sets the type of streamed items as well."""
        annotation = own_annotation(get_typed_return_annotation(self.endpoint))
        if lenient_issubclass(annotation, Response):
            return None
        item = get_stream_item_type(annotation)
        if item is None or not is_generator:
            return annotation
        if (self.is_json_stream or self.is_sse_stream) and not derives_from(item, ServerSentEvent):
            self.stream_item_type = item
        return None

    def _response_field(self, name: str, model: Any, status: int | str | None) -> ModelField:
        with located("the response model", self.endpoint):
            assert is_body_allowed_for_status_code(status), f"Status code {status} must not have a response body"
            return create_model_field(name=name, type_=model, mode="serialization")

    # --- the route as an ASGI application -------------------------------------------------------------------------

    @property
    def app(self) -> ASGIApp:
        """The ASGI application that answers the route's requests. One that is set replaces the route's own."""
        if self._app is None:
            self._app = wrap_app_with_body_limit(
                request_response(self._answering_head(self._make_handler())), self.max_body_size
            )
        return self._app

    @app.setter
    def app(self, app: ASGIApp) -> None:
        self._app, self._own_app = app, True

    def _make_handler(self) -> Handler:
        raise NotImplementedError

    def _answering_head(self, handler: Handler) -> Handler:
        """Return the handler as it answers HEAD, too, where that is not declared."""

        async def answer(request: Request) -> Any:
            response = await handler(request)
            return without_stream(response, self) if request.method == "HEAD" else response

        return answer

    def _use_own_handler(self, route: "APIRoute") -> None:
        """Make the application at once where the class of `route`, or an instrumentation, makes handlers of its own."""
        if type(route).get_route_handler is not APIRoute.get_route_handler or get_request_handler is not _compiled_as:
            self.app = self.app

    @property
    def is_compiled(self) -> bool:
        """Whether requests that match may go to the frozen endpoint, since `app` would do nothing else."""
        return not self._own_app and self.max_body_size is None

    def freeze(self, form_limits: FormLimits) -> Endpoint:
        """Return the compiled form of the route, with the form limits of what encloses it."""
        return freeze(cast(Any, self), form_limits=cast(FormLimits, {**form_limits, **self.form_limits}))

    def handler_arguments(self) -> dict[str, Any]:
        """Return the arguments for `get_request_handler`."""
        return {
            "dependant": self.dependant,
            "embed_body_fields": self._embed_body_fields,
            **{name: getattr(self, name) for name in _HANDLER_ARGUMENTS},
        }


_HANDLER_ARGUMENTS = (
    "body_field",
    "status_code",
    "response_class",
    "response_field",
    "response_model_include",
    "response_model_exclude",
    "response_model_by_alias",
    "response_model_exclude_unset",
    "response_model_exclude_defaults",
    "response_model_exclude_none",
    "dependency_overrides_provider",
    "strict_content_type",
    "stream_item_field",
    "is_json_stream",
)


def _value_of(option: Any) -> Any:
    return option.value if isinstance(option, DefaultPlaceholder) else option


def _checked_response(response: Any) -> dict[str, Any]:
    assert isinstance(response, dict), "An additional response must be a dict"
    return response


class APIRoute(ApiRouteState, Route):  # type: ignore[misc]  # `methods` are never None here
    """A path operation as declared: its path, its handler and its options."""

    @documented(APIRouteOptions)
    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Unpack[APIRouteOptions]) -> None:
        self._declare(path, endpoint, complete(type(self).__name__, options, APIRouteOptions))
        self._use_own_handler(self)

    def get_route_handler(self) -> Handler:
        """Return the coroutine function that answers a request. A subclass may wrap or replace it."""
        effective = effective_route.get()
        route = effective if effective is not None and effective.original_route is self else self
        return get_request_handler(form_limits=self.form_limits, **route.handler_arguments())

    def _make_handler(self) -> Handler:
        return self.get_route_handler()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        effective = effective_route_of(self, scope)
        match, child_scope = super().matches(scope) if effective is None else effective.matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Any = effective_route_of(self, scope) or self
        if not route.methods or scope["method"] in route.methods:
            await route.app(scope, receive, send)
            return
        headers = {"Allow": ", ".join(route.methods)}
        if "app" in scope:
            raise StarletteHTTPException(status_code=405, headers=headers)
        await PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)(scope, receive, send)


class APIWebSocketRoute(WebSocketRoute):
    """A WebSocket operation: its endpoint has parameters and dependencies as that of a path operation has."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        name: str | None = None,
        dependencies: Sequence[params.Depends] | None = None,
        dependency_overrides_provider: Any | None = None,
    ) -> None:
        self.path = path
        self.endpoint = endpoint
        self.name = get_name(endpoint) if name is None else name
        self.dependencies = list(dependencies or [])
        with located(f"the route {path!r}", endpoint):
            self.path_regex, self.path_format, self.param_convertors = compile_path(path)
            self.dependant, _, self._embed_body_fields = build_dependant(self.path_format, endpoint, self.dependencies)
        self.app = websocket_session(
            get_websocket_app(self.dependant, dependency_overrides_provider, self._embed_body_fields)
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope
