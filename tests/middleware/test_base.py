import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import starlette.background
import starlette.middleware.base
import starlette.requests
import starlette.responses

import turboapi.background
import turboapi.middleware.base
import turboapi.requests
import turboapi.responses
from turboapi.middleware.base import BaseHTTPMiddleware
from turboapi.responses import PlainTextResponse, Response, StreamingResponse

Message = dict[str, Any]
OURS = SimpleNamespace(
    base=turboapi.middleware.base,
    requests=turboapi.requests,
    responses=turboapi.responses,
    background=turboapi.background,
)
THEIRS = SimpleNamespace(
    base=starlette.middleware.base,
    requests=starlette.requests,
    responses=starlette.responses,
    background=starlette.background,
)
PATIENCE = 10
START = {"type": "http.response.start", "status": 201, "headers": [(b"x-app", b"1")]}


def part(body: bytes, more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def request_part(body: bytes, more_body: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


def sending(*messages: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if isinstance(message, Exception):
                raise type(message)(*message.args)
            await send(message)

    return app


def exchange(app: Any, *incoming: Message, patient: bool = True, **scope: Any) -> list[Any]:
    """Run an application; return the messages it sends, and then its error if it raises one.

    After `incoming` the client disconnects; a patient one waits until the response is complete.
    """
    log: list[Any] = []
    messages = iter(incoming)

    async def run() -> None:
        complete = asyncio.Event()

        async def receive() -> Message:
            for message in messages:
                return message
            if patient:
                await complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            log.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                complete.set()

        base = {"type": "http", "method": "POST", "path": "/", "headers": [], "asgi": {"spec_version": "2.4"}}
        try:
            await asyncio.wait_for(app({**base, **scope}, receive, send), PATIENCE)
        except Exception as exc:
            log.append((type(exc).__name__, str(exc), type(exc.__cause__).__name__, exc.__suppress_context__))

    asyncio.run(run())
    return log


async def passing(request: Any, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize(
    "messages",
    [
        [START, part(b"a", True), part(b""), part(b"late")],
        [START, part(b"a", True), part(b"b", True), part(b"c")],
        [{"type": "http.response.start", "status": 200}, part(b"x")],
        [{"type": "http.response.debug", "info": {"a": 1}}, START, part(b"x")],
        [{"type": "http.response.early_hint", "links": [b"<a>"]}, START, part(b"x")],
        [START, {"type": "http.response.pathsend", "path": "/file"}],
        [START, part(b"a", True)],
        [START, {"type": "http.response.other"}],
        [part(b"first")],
        [],
        [KeyError("before")],
        [START, KeyError("between")],
        [START, part(b"a", True), KeyError("within")],
        [START, part(b"a"), KeyError("after")],
    ],
    ids=lambda messages: " ".join(str(m if isinstance(m, Exception) else m["type"].split(".")[-1]) for m in messages),
)
def test_messages_pass_like_in_the_reference(messages: list[Any]) -> None:
    def run(lib: SimpleNamespace) -> list[Any]:
        return exchange(lib.base.BaseHTTPMiddleware(sending(*messages), passing))

    assert run(OURS) == run(THEIRS)


@pytest.mark.parametrize("scope_type", ["websocket", "lifespan"])
def test_other_scopes_pass_unseen(scope_type: str) -> None:
    async def dispatch(request: Any, call_next: Any) -> Any:
        pytest.fail("must not be called")

    app = BaseHTTPMiddleware(sending({"type": "x"}), dispatch)
    assert exchange(app, type=scope_type) == [{"type": "x"}]


def test_subclasses_override_dispatch_and_change_the_response() -> None:
    class Custom(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Response:
            response: Response = await call_next(request)
            response.headers["x-middleware"] = request.url.path
            response.status_code += 1
            return response

    start, *_ = exchange(Custom(sending(START, part(b"x"))), server=("host", 80), scheme="http", query_string=b"")
    assert start["status"] == 202
    assert start["headers"] == [(b"x-app", b"1"), (b"x-middleware", b"/")]


def test_dispatch_must_be_overridden_or_given() -> None:
    assert exchange(BaseHTTPMiddleware(sending()))[0][0] == "NotImplementedError"


def test_response_may_be_replaced_or_made_without_the_application() -> None:
    async def replace(request: Any, call_next: Any) -> Response:
        await call_next(request)
        return PlainTextResponse("replaced")

    async def answer(request: Any, call_next: Any) -> Response:
        return PlainTextResponse("own")

    assert exchange(BaseHTTPMiddleware(sending(START, part(b"x")), replace))[1]["body"] == b"replaced"
    assert exchange(BaseHTTPMiddleware(sending(KeyError()), answer))[1]["body"] == b"own"


def test_body_of_the_response_can_be_read_by_dispatch() -> None:
    async def shout(request: Any, call_next: Any) -> Response:
        response = await call_next(request)
        return PlainTextResponse(b"".join([chunk async for chunk in response.body_iterator]).upper())

    assert exchange(BaseHTTPMiddleware(sending(START, part(b"a", True), part(b"b")), shout))[1]["body"] == b"AB"


async def read_body(request: Any) -> Any:
    return await request.body()


async def read_stream(request: Any) -> Any:
    return [chunk async for chunk in request.stream()]


async def read_one_chunk(request: Any) -> Any:
    async for chunk in request.stream():
        return chunk


async def read_nothing(request: Any) -> None:
    return None


READERS: list[Callable[[Any], Awaitable[Any]]] = [read_body, read_stream, read_one_chunk, read_nothing]
BODIES = {
    "one": [request_part(b"whole")],
    "two": [request_part(b"a", True), request_part(b"b")],
    "empty": [request_part(b"")],
    "disconnect": [request_part(b"a", True), {"type": "http.disconnect"}],
}


@pytest.mark.parametrize("before", READERS)
@pytest.mark.parametrize("inside", READERS)
@pytest.mark.parametrize("after", READERS)
@pytest.mark.parametrize("body", BODIES)
def test_request_body_is_seen_by_dispatch_and_application_like_in_the_reference(
    before: Any, inside: Any, after: Any, body: str
) -> None:
    def run(lib: SimpleNamespace) -> list[Any]:
        log: list[Any] = []

        async def note(reader: Any, request: Any) -> None:
            try:
                log.append(await reader(request))
            except Exception as exc:
                log.append((type(exc).__name__, str(exc)))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await note(inside, lib.requests.Request(scope, receive))
            await lib.responses.PlainTextResponse("x")(scope, receive, send)
            log.append(await receive())

        async def dispatch(request: Any, call_next: Any) -> Any:
            await note(before, request)
            response = await call_next(request)
            await note(after, request)
            return response

        return [*exchange(lib.base.BaseHTTPMiddleware(app, dispatch), *BODIES[body], patient=False), *log]

    assert run(OURS) == run(THEIRS)


def test_application_is_told_of_the_disconnect_once_its_response_is_discarded() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def wait_for_disconnect() -> None:
            seen.append(await receive())
            seen.append(await receive())

        await receive()
        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_disconnect)
            await send(START)
            await send(part(b"discarded", True))
            await send(part(b"discarded"))

    async def discard(request: Any, call_next: Any) -> Response:
        await call_next(request)
        return PlainTextResponse("own")

    log = exchange(BaseHTTPMiddleware(app, discard), request_part(b""))
    assert [message.get("body") for message in log] == [None, b"own"]
    assert seen == [{"type": "http.disconnect"}] * 2


def test_client_disconnects_reach_the_application_through_several_layers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([(await receive())["type"] for _ in range(3)])
        await PlainTextResponse("x")(scope, receive, send)

    seen: list[list[str]] = []
    layered = BaseHTTPMiddleware(BaseHTTPMiddleware(app, passing), passing)
    exchange(layered, request_part(b""), {"type": "http.disconnect"})
    assert seen == [["http.request", "http.disconnect", "http.disconnect"]]


def test_second_body_from_the_server_is_an_error() -> None:
    errors: list[list[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            await receive()
        except ExceptionGroup as group:
            errors.append([str(error) for error in group.exceptions])
            raise

    for lib in (OURS, THEIRS):
        exchange(lib.base.BaseHTTPMiddleware(app, passing), request_part(b"one"), request_part(b"two"))
    assert errors == [["Unexpected message received: http.request"]] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_background_runs_after_the_response_is_complete(fails: bool) -> None:
    def run(lib: SimpleNamespace) -> list[Any]:
        events: list[Any] = []

        async def background() -> None:
            events.append("background")
            if fails:
                raise KeyError("background failed")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            task = lib.background.BackgroundTask(background)
            await lib.responses.PlainTextResponse("x", background=task)(scope, receive, send)

        log = exchange(lib.base.BaseHTTPMiddleware(app, passing))
        return [*log, *events]

    ours = run(OURS)
    assert ours == run(THEIRS)
    assert "background" in ours


def test_background_can_be_added_to_the_response_of_the_application() -> None:
    events: list[str] = []

    async def dispatch(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.background = turboapi.background.BackgroundTask(events.append, "done")
        return response

    log = exchange(BaseHTTPMiddleware(sending(START, part(b"x")), dispatch))
    assert [message["type"] for message in log][-1] == "http.response.body"
    assert events == ["done"]


def test_dispatch_may_handle_the_errors_of_the_application() -> None:
    async def handle(request: Any, call_next: Any) -> Any:
        try:
            return await call_next(request)
        except KeyError as exc:
            return PlainTextResponse(str(exc), 500)

    start, body, *rest = exchange(BaseHTTPMiddleware(sending(KeyError("broken")), handle))
    assert (start["status"], body["body"], rest) == (500, b"'broken'", [])


@pytest.mark.parametrize("kind", ["cause", "context", "neither"])
def test_errors_keep_their_own_history_only(kind: str) -> None:
    original = ValueError("original")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if kind == "neither":
            raise KeyError
        try:
            raise original
        except ValueError as exc:
            if kind == "cause":
                raise KeyError from exc
            raise KeyError  # noqa: B904

    async def run() -> None:
        try:
            await BaseHTTPMiddleware(app, passing)({"type": "http"}, pytest.fail, pytest.fail)  # type: ignore[arg-type]
        except KeyError as exc:
            assert exc.__cause__ is (None if kind == "neither" else original)
            assert exc.__suppress_context__

    asyncio.run(run())


def test_errors_of_dispatch_are_not_wrapped_in_groups() -> None:
    async def fail(request: Any, call_next: Any) -> Any:
        await call_next(request)
        raise KeyError("in dispatch")

    [error] = exchange(BaseHTTPMiddleware(sending(START, part(b"x")), fail))
    assert error[:2] == ("KeyError", "'in dispatch'")


def test_context_variables_set_by_dispatch_reach_the_application() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(variable.get())(scope, receive, send)

    async def dispatch(request: Any, call_next: Any) -> Any:
        variable.set("from dispatch")
        return await call_next(request)

    assert exchange(BaseHTTPMiddleware(app, dispatch))[1]["body"] == b"from dispatch"


def test_streams_pass_chunk_by_chunk() -> None:
    produced: list[int] = []
    sent_when_produced: list[int] = []
    log: list[Message] = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(3):
            sent_when_produced.append(sum(bool(message.get("body")) for message in log))
            produced.append(number)
            yield b"%d" % number

    async def send(message: Message) -> None:
        log.append(message)
        await asyncio.sleep(0)

    async def receive() -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    asyncio.run(BaseHTTPMiddleware(StreamingResponse(chunks()), passing)(scope, receive, send))  # type: ignore[arg-type]
    assert [message.get("body") for message in log] == [None, b"0", b"1", b"2", b""]
    assert sent_when_produced[2] >= 1
