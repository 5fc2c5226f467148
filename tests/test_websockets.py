import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
import starlette.responses
import starlette.websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turboapi.responses
from turboapi import websockets
from turboapi.websockets import (
    WebSocket,
    WebSocketClose,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketState,
)

Message = dict[str, Any]
CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1001, "reason": "away"}


class Peer:
    """The server under a WebSocket: delivers `incoming` in order, keeps what is sent."""

    def __init__(self, *incoming: Message, send_error: Exception | None = None) -> None:
        self.incoming: Iterator[Message] = iter(incoming)
        self.sent: list[Message] = []
        self.send_error = send_error

    async def receive(self) -> Message:
        return next(self.incoming)

    async def send(self, message: Message) -> None:
        if self.send_error is not None and message["type"] == "websocket.send":
            raise self.send_error
        self.sent.append(message)

    def websocket(self, lib: ModuleType = websockets, **scope: Any) -> Any:
        return lib.WebSocket({"type": "websocket", "headers": [], **scope}, self.receive, self.send)


def text(data: str) -> Message:
    return {"type": "websocket.receive", "text": data}


def binary(data: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": data}


def test_conversation_from_accept_to_close() -> None:
    peer = Peer(CONNECT, text("a"), binary(b"b"), text('{"c": 1}'), binary(b"[2]"))

    async def talk() -> None:
        websocket = peer.websocket()
        await websocket.accept(subprotocol="soap", headers=[(b"x-a", b"b")])
        assert await websocket.receive_text() == "a"
        assert await websocket.receive_bytes() == b"b"
        assert await websocket.receive_json() == {"c": 1}
        assert await websocket.receive_json(mode="binary") == [2]
        await websocket.send_text("A")
        await websocket.send_bytes(b"B")
        await websocket.send_json({"ü": [1, 2]})
        await websocket.send_json("ü", mode="binary")
        await websocket.close(1001, "away")

    asyncio.run(talk())
    assert peer.sent == [
        {"type": "websocket.accept", "subprotocol": "soap", "headers": [(b"x-a", b"b")]},
        {"type": "websocket.send", "text": "A"},
        {"type": "websocket.send", "bytes": b"B"},
        {"type": "websocket.send", "text": '{"ü":[1,2]}'},
        {"type": "websocket.send", "bytes": '"ü"'.encode()},
        {"type": "websocket.close", "code": 1001, "reason": "away"},
    ]


def test_accept_does_not_wait_for_the_connect_message_twice() -> None:
    peer = Peer(CONNECT)

    async def talk() -> None:
        websocket = peer.websocket()
        assert await websocket.receive() == CONNECT
        await websocket.accept()

    asyncio.run(talk())
    assert peer.sent == [{"type": "websocket.accept", "subprotocol": None, "headers": []}]


@pytest.mark.parametrize("method", ["receive_text", "receive_bytes", "receive_json"])
def test_receiving_raises_disconnect_with_code_and_reason(method: str) -> None:
    async def talk() -> None:
        websocket = Peer(CONNECT, DISCONNECT).websocket()
        await websocket.accept()
        with pytest.raises(WebSocketDisconnect) as caught:
            await getattr(websocket, method)()
        assert (caught.value.code, caught.value.reason) == (1001, "away")
        with pytest.raises(WebSocketDisconnected, match='Cannot call "receive" once a disconnect message'):
            await getattr(websocket, method)()

    asyncio.run(talk())


@pytest.mark.parametrize("method", ["receive_text", "receive_bytes", "receive_json"])
def test_receiving_before_accept_raises(method: str) -> None:
    async def talk() -> None:
        with pytest.raises(WebSocketDisconnected, match='WebSocket is not connected. Need to call "accept" first.'):
            await getattr(Peer(CONNECT).websocket(), method)()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("method", "incoming", "expected"),
    [
        ("iter_text", [text("a"), text("b")], ["a", "b"]),
        ("iter_bytes", [binary(b"a"), binary(b"b")], [b"a", b"b"]),
        ("iter_json", [text("1"), text("[]")], [1, []]),
    ],
)
def test_iteration_ends_with_the_connection(method: str, incoming: list[Message], expected: list[Any]) -> None:
    async def talk() -> list[Any]:
        websocket = Peer(CONNECT, *incoming, DISCONNECT).websocket()
        await websocket.accept()
        messages: AsyncIterator[Any] = getattr(websocket, method)()
        return [message async for message in messages]

    assert asyncio.run(talk()) == expected


@pytest.mark.parametrize("call", [lambda ws: ws.receive_json(mode="other"), lambda ws: ws.send_json({}, mode="other")])
def test_json_mode_is_text_or_binary(call: Any) -> None:
    async def talk() -> None:
        with pytest.raises(RuntimeError, match='The "mode" argument should be "text" or "binary".'):
            await call(Peer().websocket())

    asyncio.run(talk())


def test_failing_send_means_the_client_is_gone() -> None:
    async def talk() -> None:
        websocket = Peer(CONNECT, send_error=BrokenPipeError()).websocket()
        await websocket.accept()
        with pytest.raises(WebSocketDisconnect) as caught:
            await websocket.send_text("x")
        assert caught.value.code == 1006
        assert websocket.application_state is WebSocketState.DISCONNECTED
        with pytest.raises(WebSocketDisconnected, match='Cannot call "send" once a close message has been sent.'):
            await websocket.send_text("x")

    asyncio.run(talk())


TYPES = ["accept", "send", "close", "http.response.start", "http.response.body", "receive", "disconnect", "connect"]
steps = st.lists(
    st.tuples(st.sampled_from(["send", "receive"]), st.sampled_from(TYPES), st.booleans()), min_size=1, max_size=6
)


@given(steps)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_order_of_messages_is_allowed_or_refused_like_by_the_reference(
    script: list[tuple[str, str, bool]],
) -> None:
    def run(lib: ModuleType) -> list[Any]:
        received = [{"type": f"websocket.{name}"} for step, name, _ in script if step == "receive"]
        peer = Peer(*received)
        log: list[Any] = []

        async def talk() -> None:
            websocket = peer.websocket(lib)
            for step, name, more_body in script:
                try:
                    if step == "send":
                        await websocket.send({"type": f"websocket.{name}", "more_body": more_body})
                    else:
                        log.append(await websocket.receive())
                except Exception as exc:
                    log.append((type(exc).__name__, str(exc)))
                log.append((websocket.client_state.name, websocket.application_state.name))

        asyncio.run(talk())
        return [*log, *peer.sent]

    assert run(websockets) == run(starlette.websockets)


def test_a_late_message_does_not_reopen_a_connection_another_task_saw_closed() -> None:
    async def talk() -> None:
        websocket: Any = Peer(CONNECT, DISCONNECT).websocket()
        await websocket.accept()

        async def overtaken() -> Message:
            await WebSocket.receive(websocket_after)
            return text("late")

        websocket_after = websocket
        first_receive, websocket._receive = websocket._receive, overtaken

        async def receive_disconnect() -> Message:
            websocket._receive = first_receive
            return await overtaken()

        websocket._receive = receive_disconnect
        assert await websocket.receive() == text("late")
        assert websocket.client_state is WebSocketState.DISCONNECTED

    asyncio.run(talk())


def test_denial_response_is_sent_as_websocket_messages() -> None:
    def denied(lib: ModuleType, responses: ModuleType) -> list[Message]:
        peer = Peer(CONNECT)
        websocket = peer.websocket(lib, extensions={"websocket.http.response": {}})

        async def deny() -> None:
            await websocket.receive()
            await websocket.send_denial_response(responses.PlainTextResponse("no", 403))

        asyncio.run(deny())
        assert websocket.application_state.name == "DISCONNECTED"
        return peer.sent

    assert denied(websockets, turboapi.responses) == denied(starlette.websockets, starlette.responses)


def test_denial_response_needs_the_extension() -> None:
    async def deny() -> None:
        with pytest.raises(RuntimeError, match="doesn't support the Websocket Denial Response extension"):
            await Peer().websocket().send_denial_response(turboapi.responses.Response())

    asyncio.run(deny())


@pytest.mark.parametrize("arguments", [(), (1011,), (4000, "bye"), (1000, None)])
def test_close_application_sends_one_message(arguments: tuple[Any, ...]) -> None:
    peer = Peer()
    asyncio.run(WebSocketClose(*arguments)({"type": "websocket"}, peer.receive, peer.send))
    reference = starlette.websockets.WebSocketClose(*arguments)
    assert peer.sent == [{"type": "websocket.close", "code": reference.code, "reason": reference.reason}]


def test_only_websocket_scopes_are_accepted() -> None:
    with pytest.raises(AssertionError):
        WebSocket({"type": "http"}, Peer().receive, Peer().send)


@pytest.mark.parametrize("name", [name for name in dir(starlette.websockets.WebSocket) if not name.startswith("_")])
def test_methods_take_the_parameters_of_the_reference(name: str) -> None:
    theirs = getattr(starlette.websockets.WebSocket, name)
    ours = getattr(WebSocket, name)
    if callable(theirs):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
