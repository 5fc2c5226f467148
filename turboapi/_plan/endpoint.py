"""Freezing: the one place that speaks both languages.

In goes a route as the definition layer knows it (a `Dependant` tree, fields, options); out comes an `Endpoint`.
Everything that can be decided before the first request is decided here.
"""

import inspect
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Protocol, cast

from anyio import CancelScope

from turboapi import _foreign as foreign
from turboapi._body_limit import MAX_BODY_SIZE_SCOPE_KEY, get_body_limit_error
from turboapi._plan.arguments import extract_param, param_facts
from turboapi._plan.body import BodyFacts, body_facts, request_body_to_args
from turboapi._plan.context import endpoint_context
from turboapi._plan.dependencies import (
    Dependant,
    get_cache_key,
    get_dependant,
    get_flat_body_params,
    get_oauth_scopes,
    is_async_gen_callable,
    is_coroutine_callable,
    is_gen_callable,
)
from turboapi._plan.dispatch import dispatch_for
from turboapi._plan.fields import ModelField, Undefined
from turboapi._plan.forms import FormLimits
from turboapi._plan.result import ResultRoute, make_dumper, make_responder, passes_plain_trees, render_json
from turboapi._plan.streams import make_event_streamer, make_line_streamer, make_raw_streamer, without_stream
from turboapi._speedups import Argument, Call, Dispatch, Endpoint, Hooks, Visit
from turboapi.background import BackgroundTasks
from turboapi.concurrency import (
    WorkerPlace,
    asynccontextmanager_with_shielded_exit,
    contextmanager_in_threads,
    contextmanager_with_concurrency_limit,
    run_in_threadpool,
)
from turboapi.datastructures import DefaultPlaceholder
from turboapi.exceptions import (
    FastAPIError,
    RequestValidationError,
    StarletteHTTPException,
    ValidationException,
    WebSocketRequestValidationError,
)
from turboapi.requests import Request
from turboapi.responses import JSONResponse, Response
from turboapi.security.base import text_reader
from turboapi.security.oauth2 import SecurityScopes
from turboapi.types import SyncMode

__all__ = [
    "DIRECT",
    "HOOKS",
    "RESPONSE_NOT_AWAITED",
    "EndpointRoute",
    "Style",
    "body_loader",
    "exact_responder",
    "freeze",
    "validation_error",
]

_SOURCES = {"path": 0, "query": 1, "header": 2, "cookie": 3}
_ATTRIBUTES = {"path": "path_params", "query": "query_params", "header": "headers", "cookie": "cookies"}
_KINDS = {None: 0, "str": 1, "int": 2, "float": 3, "bool": 4}
_REQUEST, _RESPONSE, _BACKGROUND, _CALLED = range(4)
_ASYNC, _THREAD, _DIRECT, _ASYNC_GENERATOR, _GENERATOR, _COLLECT = range(6)
_NO_BODY, _DIRECT_BODY, _EXACT_BODY = range(3)
_PLAIN, _MODEL, _EXACT_RESULT = range(3)
_TAKES_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

RESPONSE_NOT_AWAITED = (
    "Response not awaited. There's a high chance that the application code is raising an exception and a dependency "
    "with yield has a block with a bare except, or a block with except Exception, and is not raising the exception "
    "again. Read more about it in the docs: "
    "https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/#dependencies-with-yield-and-except"
)


class EndpointRoute(ResultRoute, Protocol):
    """The attributes of a route, declared or included, that an endpoint is made of."""

    body_field: ModelField | None
    strict_content_type: Any
    sync_mode: SyncMode | DefaultPlaceholder
    is_sse_stream: bool
    is_json_stream: bool
    dependency_overrides_provider: Any
    _embed_body_fields: bool


RunInThread = Callable[..., Awaitable[Any]]
"""`run(func, *args)`: in a worker thread."""


def _new_response() -> Response:
    response = Response()
    del response.headers["content-length"]
    response.status_code = cast(int, None)  # the handler may set one
    return response


def _open_generator(
    func: Callable[..., Any],
    values: dict[str, Any],
    is_async: bool,
    limit: Any,
    request: Request,
    stack: AsyncExitStack,
    run_in_thread: RunInThread,
) -> Any:
    """Return the async context manager of a dependency with yield."""
    manager: Any
    if is_async:
        manager = asynccontextmanager_with_shielded_exit(
            asynccontextmanager(func)(**values), _cleanup_scope(request.scope)
        )
    else:
        manager = contextmanager_in_threads(contextmanager(func)(**values), run_in_thread)
    return manager if limit is None else contextmanager_with_concurrency_limit(manager, limit())


def _cleanup_scope(scope: Any) -> CancelScope:
    """Return the request's cancel scope that shields exit code; entered before the first dependency that has some."""
    scopes = scope.setdefault("fastapi_async_cleanup_scopes", {})
    stack = scope["fastapi_inner_astack"]
    if stack not in scopes:
        scopes[stack] = stack.enter_context(CancelScope())
        stack.callback(scopes.pop, stack)
    return cast(CancelScope, scopes[stack])


async def _run_limited(
    semaphore: AbstractAsyncContextManager[Any],
    is_async: bool,
    func: Callable[..., Any],
    values: dict[str, Any],
    run_in_thread: RunInThread,
) -> Any:
    async with semaphore:
        return await (func(**values) if is_async else run_in_thread(partial(func, **values)))


async def _run_with_stack(key: str, exchange: Any, func: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Call `func` with an exit stack, which is in the scope under `key` as well."""
    complete = False
    async with AsyncExitStack() as stack:
        exchange.scope()[key] = stack
        await func(stack, exchange, *args)
        complete = True
    if not complete:
        raise FastAPIError(RESPONSE_NOT_AWAITED)


def _manager_of(generator: AsyncGenerator[Any, None]) -> AbstractAsyncContextManager[Any]:
    """Return the context manager that leaves an async generator which has been entered already."""
    return asynccontextmanager(lambda: generator)()


async def _leave(stack: AsyncExitStack, failure: BaseException | None, is_answered: bool) -> None:
    """End a request by what is on the stack, which sees the exception that there was, if any."""
    try:
        async with stack:
            if failure is not None:
                raise failure
    finally:
        failure = None  # its traceback leads here
    if not is_answered:
        raise FastAPIError(RESPONSE_NOT_AWAITED)


async def _run_and_close(coroutine: Awaitable[None], exchange: Any) -> None:
    try:
        await coroutine
    finally:
        for close in exchange.closers or ():
            await close()


async def _finish_reading(reading: Awaitable[None], exchange: Any) -> None:
    try:
        await reading
    except StarletteHTTPException:
        raise
    except Exception as exc:
        raise _unreadable(exchange.scope(), exc) from exc


HOOKS = Hooks(
    request_class=Request,
    response_class=Response,
    undefined=Undefined,
    new_response=_new_response,
    new_background=BackgroundTasks,
    run_in_thread=run_in_threadpool,
    new_place=WorkerPlace,
    run_limited=_run_limited,
    run_with_stack=_run_with_stack,
    run_and_close=_run_and_close,
    open_generator=_open_generator,
    manager_of=_manager_of,
    leave=_leave,
    finish_reading=_finish_reading,
    without_stream=without_stream,
)


@dataclass(frozen=True, slots=True)
class Style:
    """For which purpose a route is frozen."""

    hooks: Hooks
    result: Callable[[EndpointRoute], tuple[int, Any]]
    """Returns how results become responses, and the callable that this needs."""
    exact: bool = False
    """Everything is read off the Request object, which may be of a class of the application's own."""
    is_websocket: bool = False
    load_body: Callable[[Request, Any], Awaitable[Any]] | None = None
    """Gives the parsed body in place of reading it from the request."""
    collects: bool = False
    """The endpoint is not called: `result` makes a response of its keywords and of all errors."""


def freeze(route: EndpointRoute, *, form_limits: FormLimits | None = None, style: Style | None = None) -> Endpoint:
    """Return the compiled form of a route."""
    _accept_foreign()
    return _freeze(route, (), form_limits or FormLimits(), style or DIRECT)


def _accept_foreign() -> None:
    """Let results that are Starlette's own responses pass, and its `isinstance` checks accept our requests."""
    foreign.register()
    if (response_class := foreign.their_response()) is not None:
        HOOKS.accept_responses(response_class)


OverridesHistory = tuple[tuple[int, Mapping[Any, Any]], ...]
"""Dependency overrides, each with the number of visits after which they came into force."""


def _freeze(route: EndpointRoute, history: OverridesHistory, form_limits: FormLimits, style: Style) -> Endpoint:
    dependant = route.dependant
    assert dependant.call is not None
    embed = route._embed_body_fields
    facts = body_facts(get_flat_body_params(dependant), embed)
    decode = facts.decode if dependant.body_params and not style.exact else None
    sync_mode = _value_of(route.sync_mode)
    plan = _Plan(history, embed, style, sync_mode)
    subs = plan.walk(dependant)
    mode = _COLLECT if style.collects else _mode(dependant.call)
    dispatch, sources = plan.dispatch(dependant.call, mode, sync_mode, subs)
    has_body = route.body_field is not None or style.load_body is not None
    body_kind = _NO_BODY if not has_body else _DIRECT_BODY if decode else _EXACT_BODY
    result_kind, result = style.result(route)
    return Endpoint(
        hooks=style.hooks,
        call=_call(dependant, subs, embed, style, direct_body=facts.field if decode else None),
        mode=mode,
        visits=plan.visits,
        body_kind=body_kind,
        decode=decode,
        load_body=style.load_body or _loader(route, facts, form_limits),
        needs_body=route.body_field is not None and not facts.is_form and not style.exact,
        lax_content_type=not _value_of(route.strict_content_type),
        result_kind=result_kind,
        dump=result if result_kind == _MODEL else None,
        render=render_json,
        plain_first=passes_plain_trees(route),
        make_response=result if result_kind == _EXACT_RESULT else None,
        needs_stack=route.is_sse_stream,
        closes_files=facts.is_form,
        status=route.status_code or 0,
        route=route,
        invalid=_invalidator(route, parse_again=decode is not None),
        provider=route.dependency_overrides_provider,
        overrides=history[-1][1] if history else None,
        overridden=_overrider(route, history, form_limits, style),
        dispatch=dispatch,
        sources=sources or (),
    )


def _value_of(option: Any) -> Any:
    return option.value if isinstance(option, DefaultPlaceholder) else option


def _overrider(
    route: EndpointRoute, history: OverridesHistory, form_limits: FormLimits, style: Style
) -> Callable[[int], Endpoint]:
    """Return the function that gives the endpoint for the dependency overrides of the moment.

    Its argument is the number of visits that are done already, and stay as they are.
    """
    frozen: dict[tuple[Any, ...], Endpoint] = {}

    def overridden(done: int) -> Endpoint:
        overrides = dict(route.dependency_overrides_provider.dependency_overrides)
        key = (done, *overrides.items())
        if key not in frozen:
            frozen.clear()
            frozen[key] = _freeze(route, (*history, (done, overrides)), form_limits, style)
        return frozen[key]

    return overridden


def _mode(func: Callable[..., Any]) -> int:
    if is_async_gen_callable(func):  # first: a wrapper may look like both
        return _ASYNC_GENERATOR
    if is_gen_callable(func):
        return _GENERATOR
    return _ASYNC if is_coroutine_callable(func) else _THREAD


# --- parameters and dependencies -----------------------------------------------------------------------------------


Subs = list[tuple[str | None, int]]
"""The dependencies of a callable: the parameter that takes the value, if one does, and the visit that produces it."""
Sources = tuple[Dispatch, ...]
"""The records of the plain functions that a value comes from, directly or not."""


class _Plan:
    """The steps that produce every dependency of a route."""

    def __init__(self, history: OverridesHistory, embed: bool, style: Style, sync_mode: SyncMode) -> None:
        self.history = history
        self.embed = embed
        self.style = style
        self.sync_mode = sync_mode
        self.visits: list[Visit] = []
        self.first: dict[Any, int] = {}
        self.origins: list[Sources | None] = []
        """For each visit where its value comes from; None if that ties it to worker threads."""

    def walk(self, parent: Dependant) -> Subs:
        """Add the visits for all dependencies of `parent`; return the name and the visit of each of its own."""
        subs: Subs = []
        for declared in parent.dependencies:
            overrides = next((found for done, found in reversed(self.history) if done <= len(self.visits)), None)
            try:
                used = _override(declared, overrides) if overrides else declared
            except RecursionError:  # overrides that need each other: no step would ever be the last
                raise
            except Exception:
                self._add(_refusal(declared, overrides, self.style), ())
            else:
                self._visit(declared, used)
            subs.append((declared.name, len(self.visits) - 1))
        return subs

    def _add(self, visit: Visit, origin: Sources | None) -> None:
        self.visits.append(visit)
        self.origins.append(origin)

    def _visit(self, declared: Dependant, used: Dependant) -> None:
        subs = self.walk(used)
        key = get_cache_key(declared)
        assert used.call is not None
        mode = _mode(used.call)
        reuse = self.first.get(key, -1) if declared.use_cache else -1
        sync_mode = "thread" if used.concurrency is not None else used.sync_mode or self.sync_mode
        dispatch, sources = self.dispatch(used.call, mode, sync_mode, subs)
        call = _call(used, subs, self.embed, self.style)
        reader = None if self.style.exact or used.concurrency is not None else text_reader(used.call)
        if reader is not None:
            call, mode = _text_call(*reader), _DIRECT
        visit = Visit(
            call=call,
            mode=mode,
            reuse=reuse,
            function_scope=declared.scope == "function",
            limit=None if used.concurrency is None else used.concurrency.get_semaphore,
            dispatch=dispatch,
            sources=sources or (),
        )
        self.first.setdefault(key, len(self.visits))
        self._add(visit, self.origins[reuse] if reuse >= 0 else _origin(mode, dispatch, sources))

    def dispatch(
        self, call: Callable[..., Any], mode: int, sync_mode: SyncMode, subs: Subs
    ) -> tuple[Dispatch | None, Sources | None]:
        """Return the record of a callable that may be called inline, and where its dependencies' values come from.

        What a generator yields is given back later, such as a connection to its pool. Whoever waits for one on the loop
        would keep the others from doing so. So what is made of it stays in the threads.
        """
        origins = [self.origins[index] for name, index in subs if name is not None]
        sources: Sources | None = ()
        for origin in origins:
            sources = None if sources is None or origin is None else (*sources, *origin)
        if mode != _THREAD or (sources is None and sync_mode == "auto"):
            return None, sources
        return dispatch_for(call, sync_mode), () if sync_mode == "inline" else sources


def _origin(mode: int, dispatch: Dispatch | None, sources: Sources | None) -> Sources | None:
    if mode >= _ASYNC_GENERATOR or sources is None:
        return None
    if mode in (_ASYNC, _DIRECT):
        return sources
    return None if dispatch is None else (dispatch, *sources)


def _override(declared: Dependant, overrides: Mapping[Any, Any]) -> Dependant:
    assert declared.path is not None
    return get_dependant(
        path=declared.path,
        call=overrides.get(declared.call, declared.call),
        name=declared.name,
        parent_oauth_scopes=get_oauth_scopes(declared),
        scope=declared.scope,
        concurrency=declared.concurrency,
        sync_mode=declared.sync_mode,
    )


def _refusal(declared: Dependant, overrides: Mapping[Any, Any] | None, style: Style) -> Visit:
    """Return the step of an override that cannot be used: it raises when its turn comes, and not before.

    Each time anew, so that no two requests share an exception, its notes and its traceback.
    """

    async def refuse() -> None:
        _override(declared, overrides or {})

    call = _call(Dependant(call=refuse), [], embed=False, style=style)
    return Visit(call=call, mode=_ASYNC, reuse=-1, function_scope=False, limit=None, dispatch=None, sources=())


def _call(
    dependant: Dependant,
    subs: "Subs",
    embed: bool,
    style: Style,
    direct_body: ModelField | None = None,
) -> Call:
    func = dependant.call
    assert func is not None
    injections = _injections(dependant, style)
    fields = _parameters(dependant)
    names = [
        *(name for name, _ in subs if name is not None),
        *(field.name for field in (*fields, *dependant.body_params)),
        *(name for name, _, _ in injections),
    ]
    order, positional = _signature_order(func, names)
    slots = {name: slot for slot, name in enumerate(order)}
    body_fields = dependant.body_params
    return Call(
        func=func,
        arguments=tuple(_argument(field, slots[field.name], style) for field in fields),
        names=tuple(order),
        injections=tuple((slots[name], what, payload) for name, what, payload in injections),
        subs=tuple((-1 if name is None else slots[name], visit) for name, visit in subs),
        body_slot=slots[direct_body.name] if direct_body is not None else -1,
        body_exact=_body_extractor(body_fields, embed) if body_fields else None,
        positional=positional,
    )


def _text_call(source: str, name: str, func: Callable[[str | None], Any]) -> Call:
    """Return the call of a function with one text of the request, or None if that is not there."""
    connection_attribute = _ATTRIBUTES[source]

    def extract(request: Request) -> tuple[Any, list[Any]]:
        return getattr(request, connection_attribute).get(name), []

    text = Argument(
        source=_SOURCES[source],
        kind=_KINDS["str"],
        slot=0,
        key=name,
        required=False,
        direct=True,
        default=None,
        shared_default=True,
        validate=None,
        exact=extract,
    )
    return Call(
        func=func,
        arguments=(text,),
        names=("text",),
        injections=(),
        subs=(),
        body_slot=-1,
        body_exact=None,
        positional=True,
    )


def _parameters(dependant: Dependant) -> list[ModelField]:
    return [
        *dependant.path_params,
        *dependant.query_params,
        *dependant.header_params,
        *dependant.cookie_params,
    ]


def _injections(dependant: Dependant, style: Style) -> list[tuple[str, int, Any]]:
    receivers = dependant.receivers or {}
    injections: list[tuple[str, int, Any]] = [
        (name, what, receivers.get(name))
        for name, what in (
            (dependant.http_connection_param_name, _REQUEST),
            (dependant.websocket_param_name if style.is_websocket else dependant.request_param_name, _REQUEST),
            (dependant.background_tasks_param_name, _BACKGROUND),
            (dependant.response_param_name, _RESPONSE),
        )
        if name
    ]
    if name := dependant.security_scopes_param_name:
        scopes = get_oauth_scopes(dependant)
        receive = receivers.get(name, SecurityScopes)
        injections.append((name, _CALLED, lambda: receive(list(scopes))))
    return injections


def _signature_order(func: Callable[..., Any], names: list[str]) -> tuple[list[str], bool]:
    """Return the names in the order of the signature, and whether the values may be passed by position.

    They may when the callable itself is what its signature says: a wrapper may well take keywords only.
    """
    known = list(dict.fromkeys(names))
    plain: Any = func if isinstance(func, (FunctionType, MethodType)) else getattr(type(func), "__call__", None)  # noqa: B004
    if inspect.isclass(func) or not isinstance(plain, (FunctionType, MethodType)):
        return known, False
    if hasattr(plain, "__wrapped__") or hasattr(plain, "__signature__"):
        return known, False
    code = getattr(plain, "__code__", None)  # of a method, too
    if code is None or code.co_posonlyargcount or code.co_kwonlyargcount or code.co_flags & _TAKES_MORE:
        return known, False
    parameters = list(code.co_varnames[: code.co_argcount])
    if plain is not func or isinstance(plain, MethodType):
        del parameters[0]  # what it is bound to
    return (parameters, True) if set(parameters) == set(known) else (known, False)


def _argument(field: ModelField, slot: int, style: Style) -> Argument:
    facts = param_facts(field)
    kind = _KINDS[facts.plain_kind]
    direct = facts.single_alias and not facts.is_sequence and not facts.is_model and not style.exact
    return Argument(
        source=_SOURCES[facts.source],
        kind=kind,
        slot=slot,
        key=facts.key,
        required=facts.required,
        direct=direct,
        default=field.get_default() if facts.default_is_safe else None,
        shared_default=facts.default_is_safe,
        validate=_text_validator(field) if direct and not kind else None,
        exact=_extractor(field, facts.source),
    )


def _text_validator(field: ModelField) -> Callable[[str], Any]:
    validate = field._type_adapter.validator.validate_python

    def validate_text(text: str) -> Any:
        return validate(text, from_attributes=True)

    return validate_text


def _extractor(field: ModelField, source: str) -> Callable[[Request], tuple[Any, list[Any]]]:
    attribute = _ATTRIBUTES[source]

    def extract(request: Request) -> tuple[Any, list[Any]]:
        return extract_param(field, getattr(request, attribute), {})

    return extract


# --- body ----------------------------------------------------------------------------------------------------------


def _body_extractor(
    fields: list[ModelField], embed: bool
) -> Callable[[Any], Awaitable[tuple[dict[str, Any], list[Any]]]]:
    def extract(body: Any) -> Awaitable[tuple[dict[str, Any], list[Any]]]:
        return request_body_to_args(body_fields=fields, received_body=body, embed_body_fields=embed)

    return extract


def body_loader(route: EndpointRoute, form_limits: FormLimits) -> Callable[[Request, Any], Awaitable[Any]] | None:
    """Return `load(request, exchange)`, which gives the parsed body; None for a route that has no body."""
    if route.body_field is None:
        return None
    return _loader(route, body_facts(get_flat_body_params(route.dependant), route._embed_body_fields), form_limits)


def _loader(
    route: EndpointRoute, facts: BodyFacts, form_limits: FormLimits
) -> Callable[[Request, Any], Awaitable[Any]]:
    return _form_loader(form_limits) if facts.is_form else _json_loader(route)


def _form_loader(limits: FormLimits) -> Callable[[Request, Any], Awaitable[Any]]:
    async def load(request: Request, exchange: Any) -> Any:
        inherited = request.scope.get("fastapi", {}).get("form_limits") or {}
        try:
            form = await request.form(**{**inherited, **limits})
        except StarletteHTTPException:
            raise
        except Exception as exc:
            raise _unreadable(request.scope, exc) from exc
        outer_stack = request.scope.get("fastapi_middleware_astack")
        if outer_stack is None:
            exchange.closers = [form.close]
        else:  # the handlers of exceptions run inside of it, and may look at the files
            outer_stack.push_async_callback(form.close)
        return form

    return load


def _json_loader(route: EndpointRoute) -> Callable[[Request, Any], Awaitable[Any]]:
    lax = not _value_of(route.strict_content_type)

    async def load(request: Request, exchange: Any) -> Any:
        try:
            body = await request.body()
            if not body:
                return Undefined
            return await request.json() if _is_json(request.headers.get("content-type"), lax) else body
        except json.JSONDecodeError as exc:
            raise _invalid_json(route, request, exc) from exc
        except StarletteHTTPException:
            raise
        except Exception as exc:
            raise _unreadable(request.scope, exc) from exc

    return load


def _is_json(content_type: str | None, lax: bool) -> bool:
    if not content_type:
        return lax
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _unreadable(scope: Any, exc: Exception) -> Exception:
    if MAX_BODY_SIZE_SCOPE_KEY in scope and (error := get_body_limit_error(exc)) is not None:
        return error
    return StarletteHTTPException(status_code=400, detail="There was an error parsing the body")


def _invalid_json(route: EndpointRoute, request: Request, exc: json.JSONDecodeError) -> ValidationException:
    error = {
        "type": "json_invalid",
        "loc": ("body", exc.pos),
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": exc.msg},
    }
    return validation_error(route, [error], exc.doc, request.scope)


def _invalidator(route: EndpointRoute, *, parse_again: bool) -> Callable[[list[Any], Any, Any], ValidationException]:
    def invalid(errors: list[Any], body: Any, exchange: Any) -> ValidationException:
        if parse_again and body is Undefined and exchange.body:
            body = json.loads(exchange.body)  # it was decoded directly; the error shows what the client sent
        return validation_error(route, errors, body, exchange.scope())

    return invalid


def validation_error(route: EndpointRoute, errors: list[Any], body: Any, scope: Any) -> ValidationException:
    """Return the exception that tells what is wrong with a request, or a WebSocket's."""
    assert route.dependant.call is not None
    is_websocket = scope["type"] == "websocket"
    context = endpoint_context(
        route.dependant.call,
        method="WS" if is_websocket else scope["method"],
        root_path=scope.get("root_path", ""),
        path=route.dependant.path,
    )
    if is_websocket:
        return WebSocketRequestValidationError(errors, endpoint_ctx=context)
    return RequestValidationError(errors, body=None if body is Undefined else body, endpoint_ctx=context)


# --- result --------------------------------------------------------------------------------------------------------


def exact_responder(route: EndpointRoute, *, as_operation: bool = False) -> Callable[..., Awaitable[Response]]:
    """Return the function that makes a Response of any result: `respond(request, result, background, injected)`.

    `as_operation` makes a span of the serialization, if the request is traced.
    """
    assert route.dependant.call is not None
    if route.is_sse_stream:
        return make_event_streamer(route)
    if route.is_json_stream:
        return make_line_streamer(route)
    if _mode(route.dependant.call) >= _ASYNC_GENERATOR:
        return make_raw_streamer(route)
    return make_responder(route, as_operation=as_operation)


def _direct_result(route: EndpointRoute) -> tuple[int, Any]:
    assert route.dependant.call is not None
    if not (route.is_sse_stream or route.is_json_stream or _mode(route.dependant.call) >= _ASYNC_GENERATOR):
        if route.response_field is not None and isinstance(route.response_class, DefaultPlaceholder):
            return _MODEL, make_dumper(route)
        if _value_of(route.response_class) is JSONResponse and route.response_field is None:
            return _PLAIN, None
    return _EXACT_RESULT, exact_responder(route)


DIRECT = Style(hooks=HOOKS, result=_direct_result)
