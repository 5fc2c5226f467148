import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import fastapi.exceptions
import pytest
import starlette.exceptions
import starlette.middleware.exceptions
import starlette.responses

import turboapi.exceptions
import turboapi.responses
from turboapi.middleware.exceptions import ExceptionMiddleware
from turboapi.requests import Request
from turboapi.types import ASGIApp, Message, Receive, Scope, Send
from turboapi.websockets import WebSocket

OURS = SimpleNamespace(
    middleware=ExceptionMiddleware,
    base_error=turboapi.exceptions.StarletteHTTPException,
    error=turboapi.exceptions.HTTPException,
    close=turboapi.exceptions.StarletteWebSocketException,
    response=turboapi.responses.PlainTextResponse,
)
THEIRS = SimpleNamespace(
    middleware=starlette.middleware.exceptions.ExceptionMiddleware,
    base_error=starlette.exceptions.HTTPException,
    error=fastapi.exceptions.HTTPException,
    close=starlette.exceptions.WebSocketException,
    response=starlette.responses.PlainTextResponse,
)


class Parent(Exception):
    pass


class Child(Parent):
    pass


def raising(error: Exception, *messages: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise error

    return app


def result_of(app: Any, scope_type: str = "http") -> Any:
    """Return the messages the application sends, or its error as text."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    try:
        asyncio.run(app({"type": scope_type, "method": "GET", "path": "/", "headers": []}, receive, send))
    except Exception as exc:
        return type(exc).__name__, str(exc), type(exc.__cause__).__name__
    return messages


def handlers(lib: SimpleNamespace) -> dict[Any, Any]:
    async def on_parent(request: Any, exc: Exception) -> Any:
        return lib.response(f"parent {type(exc).__name__}", 400)

    def on_status(request: Any, exc: Any) -> Any:
        return lib.response(f"status {exc.status_code}", exc.status_code)

    async def on_error(request: Any, exc: Any) -> Any:
        return lib.response("application's error", exc.status_code)

    async def on_key(request: Any, exc: Exception) -> None:
        return None

    return {Parent: on_parent, 404: on_status, lib.error: on_error, KeyError: on_key}


@pytest.mark.parametrize("scope_type", ["http", "websocket", "lifespan"])
@pytest.mark.parametrize("with_handlers", [True, False])
@pytest.mark.parametrize(
    "make_error",
    [
        lambda lib: lib.base_error(404),
        lambda lib: lib.base_error(406, "detail", {"x-a": "b"}),
        lambda lib: lib.base_error(204, headers={"x-a": "b"}),
        lambda lib: lib.base_error(304),
        lambda lib: lib.error(404),
        lambda lib: lib.error(403, "no"),
        lambda lib: lib.close(1008, "policy"),
        lambda lib: Parent(),
        lambda lib: Child(),
        lambda lib: KeyError("handled without a response"),
        lambda lib: ValueError("nobody handles this"),
    ],
    ids=["404", "406", "204", "304", "own 404", "own 403", "close", "parent", "child", "no response", "unhandled"],
)
def test_exceptions_are_answered_like_by_the_reference(make_error: Any, with_handlers: bool, scope_type: str) -> None:
    def run(lib: SimpleNamespace) -> Any:
        app = lib.middleware(raising(make_error(lib)), handlers=handlers(lib) if with_handlers else None)
        return result_of(app, scope_type)

    assert run(OURS) == run(THEIRS)


@pytest.mark.parametrize("scope_type", ["http", "websocket", "lifespan"])
def test_without_an_error_nothing_is_changed(scope_type: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "anything", "handlers": "starlette.exception_handlers" in scope})

    assert result_of(ExceptionMiddleware(app), scope_type) == [
        {"type": "anything", "handlers": scope_type != "lifespan"}
    ]


def test_no_response_is_sent_twice() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    app = raising(OURS.base_error(404), start)
    assert result_of(ExceptionMiddleware(app)) == (
        "RuntimeError",
        "Caught handled exception, but response already started.",
        "HTTPException",
    )


def test_handlers_added_later_and_subclass_order_count() -> None:
    middleware = ExceptionMiddleware(raising(Child()), handlers(OURS))

    def on_child(request: Any, exc: Exception) -> Any:
        return OURS.response("child")

    middleware.add_exception_handler(Child, on_child)
    assert result_of(middleware)[1]["body"] == b"child"
    with pytest.raises(AssertionError):
        middleware.add_exception_handler(BaseException, on_child)  # type: ignore[arg-type]


def test_plain_functions_run_in_threads_and_coroutines_do_not() -> None:
    threads: dict[str, threading.Thread] = {}

    def in_thread(request: Any, exc: Exception) -> Any:
        threads["plain"] = threading.current_thread()
        return OURS.response("x")

    async def in_loop(request: Any, exc: Exception) -> Any:
        threads["async"] = threading.current_thread()
        return OURS.response("x")

    result_of(ExceptionMiddleware(raising(Parent()), {Parent: in_thread}))
    result_of(ExceptionMiddleware(raising(Parent()), {Parent: in_loop}))
    assert threads["async"] is threading.main_thread() is not threads["plain"]


@pytest.mark.parametrize(("scope_type", "connection"), [("http", Request), ("websocket", WebSocket)])
def test_handlers_get_the_connection(scope_type: str, connection: type) -> None:
    seen: list[Any] = []

    async def handle(conn: Any, exc: Exception) -> None:
        seen.append(conn)

    result_of(ExceptionMiddleware(raising(Parent()), {Parent: handle}), scope_type)
    assert [type(conn) for conn in seen] == [connection]


def test_handled_exceptions_keep_no_traceback() -> None:
    error = OURS.base_error(404)
    assert result_of(ExceptionMiddleware(raising(error)))[0]["status"] == 404
    assert error.__traceback__ is None
