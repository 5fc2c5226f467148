"""Endpoint classes are written for our base and for the oracle's, and get the same messages."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import starlette.endpoints

import turboapi.endpoints
from turboapi import _routes
from turboapi.endpoints import HTTPEndpoint, WebSocketEndpoint
from turboapi.exceptions import HTTPException, StarletteHTTPException
from turboapi.responses import PlainTextResponse
from turboapi.testclient import TestClient
from turboapi.types import ASGIApp, Message, Scope
from turboapi.websockets import WebSocketDisconnect

MODULES = (turboapi.endpoints, starlette.endpoints)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "TRACE", "DISPATCH", "get"]
CONNECT = {"type": "websocket.connect"}


def attempt(call: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        return ("returned", call())
    except Exception as exc:
        return ("raised", type(exc).__name__, str(exc))


def run(app: Any, scope: Scope, received: Iterable[Message] = ()) -> tuple[tuple[Any, ...], list[Message]]:
    """Return how the call ended, and what was sent until then."""
    sent: list[Message] = []
    messages = iter(received)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    async def call() -> None:
        await app(scope, receive, send)

    return attempt(lambda: asyncio.run(call())), sent


def same(call: Callable[[Any], Any]) -> Any:
    ours, theirs = (call(module) for module in MODULES)
    assert ours == theirs
    return ours


def http(method: str, **more: Any) -> Scope:
    return {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b"", **more}


def websocket() -> Scope:
    return {"type": "websocket", "path": "/", "headers": [], "query_string": b""}


# --- HTTP ------------------------------------------------------------------------------------------------------------


def get(self: Any, request: Any) -> PlainTextResponse:
    return PlainTextResponse(f"get {request.method}")


async def head(self: Any, request: Any) -> PlainTextResponse:
    return PlainTextResponse("head", headers={"x-by": "head"})


async def other(self: Any, request: Any) -> PlainTextResponse:
    return PlainTextResponse(f"other {request.method}")


CLASSES: list[dict[str, Any]] = [
    {},
    {"get": get},
    {"head": head},
    {"get": get, "head": head},
    {"post": other, "query": other, "trace": other},
    {"get": get, "delete": None},
    {"get": None, "put": other, "options": other, "patch": other, "delete": other},
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("members", CLASSES, ids=lambda members: "+".join(members) or "none")
def test_requests_are_dispatched_alike(members: dict[str, Any], method: str) -> None:
    def answered(module: Any) -> Any:
        endpoint = type("Endpoint", (module.HTTPEndpoint,), members)
        return [run(endpoint, http(method, **more)) for more in ({}, {"app": "application"})]

    same(answered)


def test_each_verb_reaches_its_method() -> None:
    client = TestClient(_routes.Router([_routes.Route("/", type("Endpoint", (HTTPEndpoint,), CLASSES[4]))]))
    assert client.post("/").text == "other POST"
    assert client.request("QUERY", "/").text == "other QUERY"


def test_head_is_answered_by_get_unless_there_is_a_method_for_it() -> None:
    def headers(members: dict[str, Any]) -> Any:
        return dict(run(type("Endpoint", (HTTPEndpoint,), members), http("HEAD"))[1][0]["headers"])

    assert b"x-by" not in headers({"get": get})
    assert headers({"get": get, "head": head})[b"x-by"] == b"head"


def test_a_plain_method_runs_in_another_thread() -> None:
    threads: list[int] = []

    class Endpoint(HTTPEndpoint):
        def get(self, request: Any) -> PlainTextResponse:
            threads.append(threading.get_ident())
            return PlainTextResponse()

        async def post(self, request: Any) -> PlainTextResponse:
            threads.append(threading.get_ident())
            return PlainTextResponse()

    run(Endpoint, http("GET"))
    run(Endpoint, http("POST"))
    assert [thread == threading.get_ident() for thread in threads] == [False, True]


def test_a_missing_method_is_starlettes_exception_inside_an_application() -> None:
    async def call() -> None:
        endpoint = type("Endpoint", (HTTPEndpoint,), {"get": get})
        await endpoint(http("POST", app="application"), None, None)

    with pytest.raises(StarletteHTTPException) as raised:
        asyncio.run(call())
    assert not isinstance(raised.value, HTTPException)
    assert (raised.value.status_code, raised.value.headers) == (405, {"Allow": "GET, HEAD"})


def test_method_not_allowed_can_be_overridden() -> None:
    class Endpoint(HTTPEndpoint):
        async def method_not_allowed(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("no", status_code=499)

    assert run(Endpoint, http("GET"))[1][0]["status"] == 499


def test_endpoints_refuse_scopes_of_another_type() -> None:
    for make in (
        lambda module: module.HTTPEndpoint(websocket(), None, None),
        lambda module: module.WebSocketEndpoint(http("GET"), None, None),
    ):
        assert same(lambda module, make=make: attempt(lambda: make(module)))[1] == "AssertionError"


# --- WebSocket -------------------------------------------------------------------------------------------------------


def received(**data: Any) -> Message:
    return {"type": "websocket.receive", **data}


def logging_endpoint(module: Any, encoding: Any, log: list[Any]) -> ASGIApp:
    class Endpoint(module.WebSocketEndpoint):  # type: ignore[misc, name-defined]
        async def on_receive(self, websocket: Any, data: Any) -> None:
            log.append(data)
            if data == "fail":
                raise LookupError("failing")

        async def on_disconnect(self, websocket: Any, close_code: int) -> None:
            log.append(("closed", close_code))

    Endpoint.encoding = encoding
    return Endpoint  # type: ignore[return-value]


MESSAGES = [
    received(text="some text"),
    received(text=""),
    received(bytes=b"data"),
    received(bytes=b""),
    received(text=None, bytes=b"data"),
    received(text="text", bytes=None),
    received(text='{"a": 1}'),
    received(bytes=b"[1, null]"),
    received(text="{"),
    received(bytes=b"\xff"),
    received(text="fail"),
    received(),
]
CODES = [{"code": 1001}, {"code": None}, {"code": 0}, {"code": "4000"}, {}]


@pytest.mark.parametrize("encoding", ["text", "bytes", "json", None, "other"])
@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_messages_are_decoded_alike(encoding: Any, message: Message) -> None:
    def outcome(module: Any) -> Any:
        log: list[Any] = []
        messages = [CONNECT, message, {"type": "websocket.disconnect", "code": 1001}]
        return run(logging_endpoint(module, encoding, log), websocket(), messages), log

    _, log = same(outcome)
    assert log[-1][0] == "closed"


@pytest.mark.parametrize("end", CODES, ids=repr)
def test_the_code_of_the_end_is_passed_on_alike(end: dict[str, Any]) -> None:
    def outcome(module: Any) -> Any:
        log: list[Any] = []
        messages = [CONNECT, {"type": "websocket.disconnect", **end}]
        return run(logging_endpoint(module, None, log), websocket(), messages), log

    (ended, _), log = same(outcome)
    assert (ended, log) == (("returned", None), [("closed", int(end.get("code") or 1000))])


@pytest.mark.parametrize(
    ("encoding", "message", "data"),
    [
        ("text", received(text="x"), "x"),
        ("bytes", received(bytes=b"x"), b"x"),
        ("json", received(text='{"a": 1}'), {"a": 1}),
        ("json", received(bytes=b"[1]"), [1]),
        (None, received(text=""), ""),
        (None, received(bytes=b"x"), b"x"),
    ],
)
def test_data_is_in_the_encoding_of_the_endpoint(encoding: Any, message: Message, data: Any) -> None:
    log: list[Any] = []
    run(logging_endpoint(turboapi.endpoints, encoding, log), websocket(), [CONNECT, message])
    assert log[0] == data


@pytest.mark.parametrize(
    ("encoding", "message", "error"),
    [
        ("text", received(bytes=b"x"), "Expected text websocket messages, but got bytes"),
        ("bytes", received(text="x"), "Expected bytes websocket messages, but got text"),
        ("json", received(text="{"), "Malformed JSON data received."),
    ],
)
def test_data_in_another_encoding_closes_the_connection(encoding: Any, message: Message, error: str) -> None:
    log: list[Any] = []
    ended, sent = run(logging_endpoint(turboapi.endpoints, encoding, log), websocket(), [CONNECT, message])
    assert ended == ("raised", "RuntimeError", error)
    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1003)
    assert log == [("closed", 1011)]


def test_cancellation_is_no_error_of_the_endpoint() -> None:
    def code(module: Any) -> Any:
        log: list[Any] = []

        async def receive() -> Message:
            if not log:
                log.append("connected")
                return CONNECT
            raise asyncio.CancelledError

        async def send(message: Message) -> None:
            log.append(message["type"])

        async def call() -> None:
            await logging_endpoint(module, None, log)(websocket(), receive, send)

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(call())
        return log

    assert same(code)[-1] == ("closed", 1000)


def test_without_overrides_connections_are_accepted_and_messages_ignored() -> None:
    messages = [CONNECT, received(text="x"), {"type": "websocket.disconnect", "code": 1000}]
    ended, sent = same(lambda module: run(module.WebSocketEndpoint, websocket(), messages))
    assert ended == ("returned", None)
    assert [message["type"] for message in sent] == ["websocket.accept"]


def test_a_whole_conversation_through_a_router() -> None:
    class Echo(WebSocketEndpoint):
        encoding = "json"

        async def on_receive(self, websocket: Any, data: Any) -> None:
            await websocket.send_json({"echo": data})

    client = TestClient(_routes.Router([_routes.WebSocketRoute("/ws", Echo)]))
    with client.websocket_connect("/ws") as session:
        session.send_text(json.dumps([1, 2]))
        assert session.receive_json() == {"echo": [1, 2]}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/other"):
        pass  # pragma: no cover
