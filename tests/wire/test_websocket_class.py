"""The class `WebSocket` on our own server, where messages go past ASGI. The oracle is Starlette's, on that server."""

import asyncio

import pytest
import starlette.websockets

from tests.wire.frames import BINARY, TEXT, UPGRADE, close, frame, parse_frames
from tests.wire.harness import request
from turboapi import websockets

HANDSHAKE = request("GET /ws HTTP/1.1", *UPGRADE)
COMPRESSED = (*UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate")
SCRIPTS = []


def script(*messages):
    """A conversation: what an endpoint does, with these frames from the client; then that closes."""

    def register(function):
        SCRIPTS.append(pytest.param(function, messages, id=function.__name__))
        return function

    return register


class Attempts:
    """Does things with a WebSocket and writes down what comes of them, and how its states are then."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.log = []

    async def __call__(self, name, *args, **kwargs):
        try:
            outcome = await getattr(self.websocket, name)(*args, **kwargs)
        except Exception as exc:
            outcome = type(exc).__name__, str(exc), getattr(exc, "code", None), getattr(exc, "reason", None)
        self.note(name, outcome)

    def note(self, *facts):
        self.log.append((*facts, self.websocket.client_state.name, self.websocket.application_state.name))


RECEIVES = ["receive_text", "receive_bytes", "receive_json"]


@script(frame(TEXT, b"one"), frame(BINARY, b"two"), frame(TEXT, b"[3]"), frame(BINARY, b"[4]"))
async def receives_what_comes(attempt):
    await attempt("receive_text")
    await attempt("receive_bytes")
    await attempt("receive_json")
    await attempt("receive_json", "binary")
    for name in [*RECEIVES, "receive", "receive_text"]:
        await attempt(name)


@script(*(frame(opcode, b"1") for opcode in (BINARY, TEXT, BINARY, TEXT, TEXT, TEXT)))
async def receives_the_other_kind(attempt):
    await attempt("receive_text")
    await attempt("receive_bytes")
    await attempt("receive_json")
    await attempt("receive_json", mode="binary")
    await attempt("receive_json", mode="neither")
    await attempt("receive")
    await attempt("receive_text")


@script()
async def sends_all_sorts(attempt):
    await attempt("send_text", "ü" * 100)
    await attempt("send_bytes", b"\xff" * 70000)
    await attempt("send_json", {"ü": [1, None]})
    await attempt("send_json", "ü", mode="binary")
    await attempt("send_json", "ü", mode="neither")
    await attempt("send_text", "")
    await attempt("send_bytes", b"")
    await attempt("send_bytes", bytearray(b"array"))
    await attempt("send_bytes", memoryview(b"view"))
    await attempt("send_text", None)
    await attempt("send_text", "\ud800")
    await attempt("send_text", Text("derived"))
    await attempt("send_json", object())


class Text(str):
    pass


@script(frame(TEXT, b"1"), frame(TEXT, b"2"))
async def goes_on_after_its_close(attempt):
    await attempt("send_text", "1")
    await attempt("close", 4000, "enough")
    await attempt("send_text", "2")
    await attempt("send_bytes", b"2")
    await attempt("send_json", 2)
    await attempt("receive_text")
    await attempt("receive")
    await attempt("close")


@script(frame(TEXT, b"1"))
async def goes_on_after_the_client_has_left(attempt):
    for name in ("receive_text", "receive_bytes"):
        await attempt(name)
    await attempt("send_text", "1")
    await attempt("send_bytes", b"2")
    await attempt("receive_text")


@script(frame(TEXT, b"1"))
async def sends_before_it_sees_that_the_client_has_left(attempt):
    for _ in range(10):
        await asyncio.sleep(0)
    await attempt("send_bytes", b"1")
    await attempt("send_text", "2")
    for _ in range(3):
        await attempt("receive_text")


@script(frame(TEXT, b"1"), frame(TEXT, b"2"), frame(TEXT, b"3"))
async def has_its_methods_replaced(attempt):
    websocket = attempt.websocket
    receive, send = websocket.receive, websocket.send

    async def noting_receive():
        message = await receive()
        attempt.note("receive", dict(message))
        return message

    async def noting_send(message):
        attempt.note("send", dict(message))
        await send(message)

    websocket.send = noting_send
    await attempt("send_text", "1")
    await attempt("receive_text")
    websocket.receive = noting_receive
    await attempt("receive_text")
    await attempt("receive_json")
    await attempt("receive_bytes")


@script(frame(TEXT, b"1"), frame(TEXT, b"2"))
async def has_the_servers_callables_replaced(attempt):
    websocket = attempt.websocket
    receive, send = websocket._receive, websocket._send

    async def noting_receive():
        attempt.note("receive")
        return await receive()

    async def noting_send(message):
        attempt.note("send", dict(message))
        await send(message)

    websocket._send = noting_send
    await attempt("send_text", "1")
    await attempt("send_bytes", b"1")
    websocket._receive = noting_receive
    await attempt("receive_text")
    await attempt("receive_json")


@script(frame(TEXT, b"1"), frame(TEXT, b"2"))
async def has_its_states_changed(attempt):
    websocket = attempt.websocket
    states = type(websocket.client_state)
    for name in ("application_state", "client_state"):
        setattr(websocket, name, states.DISCONNECTED)
        await attempt("receive_text")
        await attempt("send_text", name)
        setattr(websocket, name, states.CONNECTED)
        await attempt("receive_text")
        await attempt("send_text", name)


@script(frame(TEXT, b"1"), frame(TEXT, b"2"), frame(TEXT, b"3"))
async def receives_in_two_tasks(attempt):
    await asyncio.gather(*(attempt("receive_text") for _ in range(5)))
    await attempt("receive_text")


@script(*[frame(TEXT, b"%d" % number) for number in range(20)])
async def iterates(attempt):
    async for text in attempt.websocket.iter_text():
        attempt.note(text)
    await attempt("receive_text")


def overriding(lib, *names):
    """A subclass that overrides these methods."""

    def method(name):
        async def override(self, *args):
            self.noted.append((name, *args))
            return await getattr(lib.WebSocket, name)(self, *args)

        return override

    return type("Derived", (lib.WebSocket,), {"noted": [], **{name: method(name) for name in names}})


def conversation(wire, function, messages, cls, handshake, leaves):
    """What an endpoint of `cls` has seen, and its client."""
    logs = []

    async def app(scope, receive, send):
        websocket = cls(scope, receive, send)
        attempt = Attempts(websocket)
        logs.append(attempt.log)
        await attempt("receive_text")
        await attempt("send_text", "early")
        await attempt("accept")
        await gate.wait()
        await function(attempt)
        ended.append(True)

    gate, ended = asyncio.Event(), []
    here = wire(app, websockets={"ws_max_queue": 4})
    peer = here.connect().feed(handshake)
    peer.transport.writes.clear()
    if leaves == "late":
        here.call(gate.set)
    peer.feed(*messages)
    peer.feed(close(4000, b"bye"))
    here.call(gate.set)
    for _ in range(1000):
        here.settle()
        if ended:
            break
    assert ended
    return logs[0], parse_frames(peer.output), list(getattr(cls, "noted", ()))


@pytest.mark.parametrize("handshake", [HANDSHAKE, request("GET /ws HTTP/1.1", *COMPRESSED)], ids=["plain", "packed"])
@pytest.mark.parametrize("leaves", ["early", "late"])
@pytest.mark.parametrize(("function", "messages"), SCRIPTS)
def test_a_websocket_does_what_starlettes_does(wire, function, messages, handshake, leaves):
    theirs = conversation(wire, function, messages, starlette.websockets.WebSocket, handshake, leaves)
    assert conversation(wire, function, messages, websockets.WebSocket, handshake, leaves) == theirs


@pytest.mark.parametrize("names", [["receive"], ["send"], ["receive", "send"], ["send_text"], ["receive_text"]])
def test_a_subclass_sees_every_message(wire, names):
    for case in SCRIPTS:
        function, messages = case.values
        ours, theirs = overriding(websockets, *names), overriding(starlette.websockets, *names)
        expected = conversation(wire, function, messages, theirs, HANDSHAKE, "late")
        assert expected[2]
        assert conversation(wire, function, messages, ours, HANDSHAKE, "late") == expected


def test_messages_go_past_asgi(wire):
    """Otherwise nothing here would be tested."""
    seen = []

    async def app(scope, receive, send):
        websocket = websockets.WebSocket(scope, receive, send)
        await websocket.accept()
        seen.append(websocket._channel)
        await websocket.receive_text()

    here = wire(app, websockets={})
    peer = here.connect().feed(HANDSHAKE)
    assert seen == [peer.protocol]
