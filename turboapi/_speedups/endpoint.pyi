"""The conductor: arguments -> dependencies -> handler -> serialize -> answer."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final

from turboapi._speedups.arguments import Call
from turboapi._speedups.dependencies import Visit
from turboapi._speedups.dispatch import Dispatch
from turboapi._speedups.request import Exchange
from turboapi._speedups.router import Router

class Epoch:
    """Counts every change of any route list, so that a frozen site notices that it is out of date."""

    value: int

routes_epoch: Final[Epoch]

class Hooks:
    """What the pipeline calls upward; made once by the definition layer."""

    def __init__(
        self,
        *,
        request_class: Callable[..., Any],
        response_class: type[Any],
        undefined: Any,
        new_response: Callable[[], Any],
        new_background: Callable[[], Any],
        run_in_thread: Callable[..., Awaitable[Any]],
        new_place: Callable[[], Any],
        run_limited: Callable[..., Awaitable[Any]],
        run_with_stack: Callable[..., Awaitable[Any]],
        run_and_close: Callable[..., Awaitable[Any]],
        open_generator: Callable[..., Any],
        manager_of: Callable[[AsyncGenerator[Any]], AbstractAsyncContextManager[Any]],
        leave: Callable[[AsyncExitStack, BaseException | None, bool], Awaitable[None]],
        finish_reading: Callable[..., Awaitable[None]],
        without_stream: Callable[[Any, Any], Any],
    ) -> None:
        """The hooks.

        request_class: (scope, receive, send) -> the request object.
        response_class: the type of results that are responses themselves.
        new_response: the response that a handler may ask for: no status, no content-length.
        new_background: the background tasks that a handler may ask for.
        undefined: the body of a request without one.
        run_in_thread: (func, *args) -> awaitable of its result.
        new_place: an object whose `run` is such a function for one request, which waits for a worker only once, and
            `leave` ends that. Requests with generators among their dependencies have one.
        run_limited: (semaphore, is_async, func, values, run_in_thread) -> awaitable of its result.
        run_with_stack: (scope key, exchange, func, *args) -> awaitable of func(stack, exchange, *args).
        run_and_close: (coroutine, exchange) -> awaitable that closes the exchange's open files at the end.
        open_generator: makes an async context manager of a generator dependency.
        manager_of: makes the async context manager that leaves an async generator which has been entered.
        leave: (exit stack, exception or None, is answered) -> awaitable of the end of a request.
        finish_reading: (awaitable of the body, exchange) -> awaitable, which raises what to answer.
        without_stream: (response, route) -> the ASGI application that answers HEAD with the head of a stream.
        """

    def accept_responses(self, response_class: type[Any]) -> None:
        """Take results of another class, which has the attributes of `response_class`, as responses as well."""

    def is_response(self, result: Any) -> bool:
        """Whether a result is a response itself."""

    @property
    def response_types(self) -> type[Any] | tuple[type[Any], ...]: ...
    @property
    def native_calls(self) -> tuple[Callable[..., Any], ...]: ...
    @property
    def request_class(self) -> Callable[..., Any]: ...
    @property
    def response_class(self) -> type[Any]: ...
    @property
    def new_response(self) -> Callable[[], Any]: ...
    @property
    def new_background(self) -> Callable[[], Any]: ...
    @property
    def run_in_thread(self) -> Callable[..., Awaitable[Any]]: ...
    @property
    def new_place(self) -> Callable[[], Any]: ...
    @property
    def open_generator(self) -> Callable[..., Any]: ...
    @property
    def manager_of(self) -> Callable[[AsyncGenerator[Any]], AbstractAsyncContextManager[Any]]: ...
    @property
    def leave(self) -> Callable[[AsyncExitStack, BaseException | None, bool], Awaitable[None]]: ...
    @property
    def run_limited(self) -> Callable[..., Awaitable[Any]]: ...
    @property
    def run_with_stack(self) -> Callable[..., Awaitable[Any]]: ...
    @property
    def finish_reading(self) -> Callable[..., Awaitable[None]]: ...
    @property
    def without_stream(self) -> Callable[[Any, Any], Any]: ...
    @property
    def run_and_close(self) -> Callable[..., Awaitable[Any]]: ...
    @property
    def undefined(self) -> Any: ...
    @property
    def native_types(self) -> dict[type[Any], bool]:
        """The response types seen so far, and whether they are sent without being called."""

class Outcome:
    """What the handler made, and what its dependencies left for the response."""

class Endpoint:
    """One route, ready to answer."""

    def __init__(
        self,
        *,
        hooks: Hooks,
        call: Call,
        mode: int,
        visits: list[Visit],
        body_kind: int,
        decode: Callable[[bytes], Any] | None,
        load_body: Callable[[Any, Exchange], Awaitable[Any]] | None,
        needs_body: bool,
        lax_content_type: bool,
        result_kind: int,
        dump: Callable[[Any, Exchange], bytes] | None,
        render: Callable[[Any], bytes] | None,
        plain_first: bool,
        make_response: Callable[[Any, Any, Any, Any], Awaitable[Any]] | None,
        needs_stack: bool,
        closes_files: bool,
        status: int,
        route: Any,
        invalid: Callable[[list[Any], Any, Exchange], Exception],
        provider: Any,
        overrides: Mapping[Any, Any] | None,
        overridden: Callable[[int], Endpoint] | None,
        dispatch: Dispatch | None,
        sources: tuple[Dispatch, ...],
    ) -> None:
        """A route.

        mode: of the handler, as in `dependencies.Visit`; 5: it is not called, and `make_response` gets the keywords, as
            far as they are good, and the list of errors as the result.
        body_kind: 0 none, 1 decoded from the raw bytes by `decode`, 2 parsed by `load_body` and validated by each call.
        decode: raw body -> value; what it raises leads to `load_body`.
        needs_body: the whole body must be there before the endpoint runs.
        lax_content_type: a body without a Content-Type counts as JSON.
        result_kind: 0 any tree, encoded here or by `render`; 1 validated and encoded by `dump`; 2 `make_response`.
        plain_first: a plain tree passes `dump` as it is, and is encoded here.
        make_response: (request, result, background, response) -> the response.
        closes_files: uploaded files are closed at the very end.
        status: the declared status, 0 for none.
        invalid: the error to raise for validation errors.
        provider: has `dependency_overrides`; while they are not empty, `overridden(0)` answers instead.
        overrides: those for which this endpoint was made, if any.
        overridden: (done) -> the endpoint for the present overrides, whose first `done` visits are those of this one.
        dispatch, sources: of the handler, as in `dependencies.Visit`.
        """

    @property
    def hooks(self) -> Hooks: ...
    @property
    def call(self) -> Call: ...
    @property
    def mode(self) -> int: ...
    @property
    def visits(self) -> list[Visit]: ...
    @property
    def needs_stack(self) -> bool:
        """Whether some visit is a generator, or the result wants the exit stack."""

    @property
    def needs_function_stack(self) -> bool: ...
    @property
    def has_generators(self) -> bool: ...
    @property
    def has_light_exits(self) -> bool:
        """All exit code is that of async generators of request scope, without a limit."""

    @property
    def closes_files(self) -> bool: ...
    @property
    def simple(self) -> bool:
        """No visits, no injections, no exact body or result: the shortest way."""

    @property
    def body_kind(self) -> int: ...
    @property
    def decode(self) -> Callable[[bytes], Any] | None: ...
    @property
    def load_body(self) -> Callable[[Any, Exchange], Awaitable[Any]] | None: ...
    @property
    def needs_body(self) -> bool: ...
    @property
    def lax_content_type(self) -> bool: ...
    @property
    def result_kind(self) -> int: ...
    @property
    def dump(self) -> Callable[[Any, Exchange], bytes] | None: ...
    @property
    def render(self) -> Callable[[Any], bytes] | None: ...
    @property
    def plain_first(self) -> bool: ...
    @property
    def make_response(self) -> Callable[[Any, Any, Any, Any], Awaitable[Any]] | None: ...
    @property
    def status(self) -> int: ...
    @property
    def route(self) -> Any: ...
    @property
    def invalid(self) -> Callable[[list[Any], Any, Exchange], Exception]: ...
    @property
    def provider(self) -> Any: ...
    @property
    def overrides(self) -> Mapping[Any, Any] | None: ...
    @property
    def overridden(self) -> Callable[[int], Endpoint] | None: ...
    @property
    def dispatch(self) -> Dispatch | None: ...
    @property
    def sources(self) -> tuple[Dispatch, ...]: ...

class Site:
    """A frozen application: finds the endpoint of an exchange and runs it."""

    def __init__(
        self,
        *,
        router: Router | None = None,
        asgi: Callable[..., Awaitable[None]] | None = None,
        unmatched: Callable[..., Awaitable[None]] | None = None,
        not_allowed: Callable[..., Awaitable[None]] | None = None,
        on_error: Callable[[Exchange, Exception], Awaitable[None]] | None = None,
        on_asgi_error: Callable[[Exchange, Exception], Awaitable[None]] | None = None,
        add_to_scope: Callable[[dict[str, Any], Exchange], None] | None = None,
        root_path: str = "",
        refresh: Callable[[], Site] | None = None,
        changed: Callable[[], bool] | None = None,
        layers: Any = None,
        outdated: Callable[[], bool] | None = None,
    ) -> None:
        """An application. Raises TypeError without a router and an ASGI application.

        asgi: the whole application as an ASGI callable, in place of the routes.
        unmatched, not_allowed: ASGI callables for a path without a route (404) and without this method (405).
        on_error: answers an exchange whose pipeline raised, on our own server; by default `log_and_answer_500`.
        on_asgi_error: the same under another server; may raise further.
        add_to_scope: puts the framework's own keys into a scope.
        root_path: taken off the path before it is matched.
        refresh: the site anew, once `routes_epoch` has moved.
        changed: whether it was routes of this site that moved it; without it, they count as changed.
        layers: the middleware around it, as `layers.Layers`, on our own server.
        outdated: whether the site would be another one now, for a reason besides the routes; asked once a second.
        """

    cancels: bool
    """Whether, on our own server, a request that is not answered yet is cancelled when its client leaves."""

    @property
    def router(self) -> Router | None: ...
    @property
    def asgi(self) -> Callable[..., Awaitable[None]] | None: ...
    @property
    def unmatched(self) -> Callable[..., Awaitable[None]] | None: ...
    @property
    def not_allowed(self) -> Callable[..., Awaitable[None]] | None: ...
    @property
    def on_error(self) -> Callable[[Exchange, Exception], Awaitable[None]]: ...
    @property
    def on_asgi_error(self) -> Callable[[Exchange, Exception], Awaitable[None]] | None: ...
    @property
    def add_to_scope(self) -> Callable[[dict[str, Any], Exchange], None] | None: ...
    @property
    def layers(self) -> Any: ...
    @property
    def root_path(self) -> str:
        """Without a slash at its end."""

    def current(self) -> Site:
        """This site, or the one frozen anew because routes have changed since. Raises what `refresh` raises."""

def decode_json(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """Return `decode(data)`; a large document is decoded without the garbage collector, which would find nothing in it.

    Only before Python 3.12, whose collector waits until a compiled decoder has returned.
    """

async def reply(hooks: Hooks, exchange: Exchange, response: Any) -> None:
    """Send a Response that somebody made outside of an endpoint, such as an exception handler."""

async def log_and_answer_500(exchange: Exchange, exc: BaseException) -> None:
    """The last resort for an exception of the application: the traceback to the log, a bare 500 to the client.

    An HTTPException, such as `receive` raises for a body that is refused, is answered with its own status.
    """

async def answer_500(exchange: Exchange) -> None:
    """Send a bare 500, if nothing has been sent so far."""
