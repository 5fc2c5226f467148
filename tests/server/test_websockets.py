"""WebSockets over real sockets: with the client of the `websockets` library, with bytes, and beside uvicorn."""

import asyncio
import contextlib
import functools
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import fastapi
import fastapi.responses
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import turboapi
import turboapi.responses
from tests.conftest import PATIENCE, _served, _served_by_uvicorn
from tests.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    Frame,
    close,
    frame,
    parse_frames,
)
from tests.wire.harness import request
from turboapi.server import websocket
from turboapi.server.websocket import Pings

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def uvicorn_serves(app, **options):
    """The URL of `app` under uvicorn."""
    with _served_by_uvicorn(app, lifespan="off", **options) as served:
        yield ws(served)


def ws(served):
    return f"ws://{served.host}:{served.port}"


@pytest.fixture
def serve(serve):
    """As everywhere, but most applications here have no lifespan."""
    return functools.partial(serve, lifespan="off")


@pytest.fixture(params=["turboapi", "uvicorn"])
def url_of(request, serve):
    """`url_of(app, **options)`: where a server, ours or uvicorn, has the application's WebSockets."""
    with contextlib.ExitStack() as stack:

        def url(app, **options):
            if request.param == "uvicorn":
                return stack.enter_context(uvicorn_serves(app, **options))
            return ws(stack.enter_context(serve(app, **options)))

        yield url


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Recorder:
    """Accepts, echoes and writes down what it is told. `reply` makes the messages it sends of those it receives."""

    def __init__(self, accept=None, reply=None):
        self.scopes, self.events = [], []
        self.accept = {"type": "websocket.accept", **(accept or {})}
        self.reply = reply or (lambda message: {**message, "type": "websocket.send"})

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.lifespan(scope, receive, send)
        self.scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send(self.accept)
        while True:
            message = await receive()
            self.events.append(message)
            if message["type"] == "websocket.disconnect":
                return
            with contextlib.suppress(OSError):  # the client has gone
                await send(self.reply(message))

    async def lifespan(self, scope, receive, send):
        scope["state"]["pool"] = "pool"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def end(self):
        until(lambda: self.events and self.events[-1]["type"] == "websocket.disconnect")
        return self.events[-1]


class Raw:
    """A client that sends what it likes."""

    def __init__(self, url, *headers):
        host, port = url.removeprefix("ws://").split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.sock.sendall(request("GET / HTTP/1.1", *UPGRADE, *headers))
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.data += self.sock.recv(65536)
        self.head, _, self.data = self.data.partition(b"\r\n\r\n")
        assert self.head.startswith(b"HTTP/1.1 101 "), self.head

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.sock.close()

    def send(self, *parts):
        for part in parts:
            self.sock.sendall(part)

    def frames(self, count):
        """The next frames, at least `count`."""
        while len(parse_frames(self.data)) < count:
            part = self.sock.recv(65536)
            assert part, self.data
            self.data += part
        found, self.data = parse_frames(self.data), b""
        return found

    def last_frames(self):
        """All frames up to the end of the connection."""
        while True:
            try:
                part = self.sock.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return parse_frames(self.data)
            self.data += part


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize(
    "message",
    ["", "text", "grüße €\U0001f600", b"", b"\x00\xff", "x" * 126, b"y" * 65535, "z" * 65536, b"0" * 3_000_000],
)
def test_messages_of_every_size_come_back(url_of, message, compression):
    with connect(url_of(Recorder()), compression=compression, max_size=None) as client:
        for _ in range(2):
            client.send(message)
            assert client.recv(PATIENCE) == message


def test_messages_in_fragments_come_back_whole(url_of):
    with connect(url_of(Recorder())) as client:
        client.send(["grü", "ße", "", "!"])
        client.send([b"\x00", b"\xff"])
        assert (client.recv(PATIENCE), client.recv(PATIENCE)) == ("grüße!", b"\x00\xff")


def test_compression_is_negotiated(url_of):
    with connect(url_of(Recorder())) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]


def test_compression_can_be_switched_off(url_of):
    with connect(url_of(Recorder(), ws_per_message_deflate=False)) as client:
        assert client.protocol.extensions == []


@pytest.mark.parametrize("chosen", ["one", "two"])
def test_subprotocols(url_of, chosen):
    app = Recorder(accept={"subprotocol": chosen})
    with connect(url_of(app), subprotocols=["one", "two"]) as client:
        assert client.subprotocol == chosen
    assert app.scopes[0]["subprotocols"] == ["one", "two"]


def test_headers_of_the_handshake(url_of):
    accept = {"headers": [(b"X-Mine", b"one"), (b"x-mine", b"tw\xf6"), (b"set-cookie", b"a=b")]}
    with Raw(url_of(Recorder(accept=accept))) as client:
        assert client.head.lower().count(b"x-mine: one\r\nx-mine: tw\xf6\r\nset-cookie: a=b") == 1


@pytest.mark.parametrize("name", ["date", "server"])
def test_standing_headers_of_the_handshake(url_of, name):
    with connect(url_of(Recorder())) as client:
        assert len(client.response.headers.get_all(name)) == 1
    with connect(url_of(Recorder(), **{f"{name}_header": False})) as client:
        assert name not in client.response.headers


@pytest.mark.parametrize("target", ["/", "/a%2Fb/gr%C3%BC%C3%9Fe%20%25?q=%20x&q=", "/a//b?", "/%ff"])
@pytest.mark.parametrize("root_path", ["", "/api"])
def test_the_scope_is_uvicorns(serve, target, root_path):
    scopes = []
    for server in (serve, None):
        app = Recorder()
        with contextlib.ExitStack() as stack:
            if server is None:
                url = stack.enter_context(uvicorn_serves(app, root_path=root_path))
            else:
                url = ws(stack.enter_context(serve(app, root_path=root_path)))
            headers = [("X-Mine", "a"), ("x-mine", "b")]
            options = {"user_agent_header": None, "additional_headers": headers, "subprotocols": ["a", "b"]}
            with connect(url + target, **options):
                pass
        [scope] = app.scopes
        assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
        assert scope["server"][1] == int(url.rpartition(":")[2])
        unlike = (b"host", b"sec-websocket-key")
        scope["headers"] = [(name.lower(), value) for name, value in scope["headers"] if name.lower() not in unlike]
        scopes.append({**scope, "client": None, "server": None})
    assert scopes[0] == scopes[1]


def test_the_lifespan_state_is_copied_for_each(serve):
    app = Recorder()
    with serve(app, lifespan="on") as served:
        for _ in range(2):
            with connect(ws(served)):
                pass
    assert [scope["state"] for scope in app.scopes] == [{"pool": "pool"}] * 2
    assert app.scopes[0]["state"] is not app.scopes[1]["state"]


# --- what RFC 6455 forbids --------------------------------------------------------------------------------------------

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
START = frame(TEXT, b"start", fin=False)
VIOLATIONS = {  # RFC 6455, section in brackets: what is sent, and the code it is answered with
    "unmasked (5.1)": (frame(TEXT, b"hi", mask=None), 1002),
    "unmasked ping (5.1)": (frame(PING, mask=None), 1002),
    **{f"reserved bit {bit} (5.2)": (frame(TEXT, b"hi", reserved=bit), 1002) for bit in (1, 2, 4, 7)},
    "reserved bit of a ping (5.2)": (frame(PING, reserved=4), 1002),
    **{f"reserved opcode {opcode} (5.2)": (frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping (5.5)": (frame(PING, b"hi", fin=False), 1002),
    "fragmented close (5.5)": (frame(CLOSE, fin=False), 1002),
    "long ping (5.5)": (frame(PING, bytes(126)), 1002),
    "long pong (5.5)": (frame(PONG, bytes(126)), 1002),
    "long close (5.5)": (close(1000, bytes(124)), 1002),
    "continuation of nothing (5.4)": (frame(CONTINUATION, b"hi"), 1002),
    "continuation of what has ended (5.4)": (START + frame(CONTINUATION) + frame(CONTINUATION), 1002),
    "text within a message (5.4)": (START + frame(TEXT, b"hi"), 1002),
    "bytes within a message (5.4)": (START + frame(BINARY, b"hi", fin=False), 1002),
    "close of one byte (5.5.1)": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close code {code} (7.4)": (close(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "close within a message (5.4)": (START + close(1000), 1002),
    "close reason that is no UTF-8 (5.5.1)": (close(1000, b"\xff"), 1007),
    "text that is no UTF-8 (8.1)": (frame(TEXT, b"\xff"), 1007),
    "text that ends in a letter (8.1)": (frame(TEXT, "ü".encode()[:1]), 1007),
    "surrogate (8.1)": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "overlong (8.1)": (frame(TEXT, b"\xc0\xaf"), 1007),
    "fragments that are no UTF-8 (8.1)": (START + frame(CONTINUATION, b"\xff"), 1007),
    "too large (7.4.1)": (frame(BINARY, bytes(1001)), 1009),
    "length of the highest bit (5.2)": (b"\x82\xff\xff" + bytes(7), 1009),
    "too large in fragments (7.4.1)": (frame(BINARY, bytes(999), fin=False) + frame(CONTINUATION, bytes(2)), 1009),
}


@pytest.fixture(scope="module", params=["turboapi", "uvicorn"])
def strict(request):
    """An application that accepts messages of 1,000 bytes, and its URL."""
    app = Recorder()
    serving = _served(app, lifespan="off", ws_max_size=1000)
    with uvicorn_serves(app, ws_max_size=1000) if request.param == "uvicorn" else serving as served:
        yield app, served if request.param == "uvicorn" else ws(served)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations_get_their_close_code(strict, name):
    sent, code = VIOLATIONS[name]
    app, url = strict
    app.events.clear()
    with Raw(url) as client:
        client.send(sent)
        assert client.last_frames()[-1].close_code == code
    assert app.end()["code"] == code
    with Raw(url) as client:  # the server goes on
        client.send(frame(TEXT, b"hi"))
        assert client.frames(1) == [Frame(TEXT, b"hi")]
    app.end()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"no deflate data", reserved=4), 1002),
        (frame(TEXT, b"\xca\x48\xcd\xc9\xc9\x07\x00", fin=False, reserved=4) + frame(CONTINUATION, reserved=4), 1002),
        # 1,001 zeros are larger than they look
        (frame(BINARY, b"\x62\x60\x18\x05\xa3\x80\xf6\x00\x00", reserved=4), 1009),
    ],
    ids=["broken", "flag on a continuation", "too large when unpacked"],
)
def test_violations_of_the_compression(url_of, sent, code):
    with Raw(url_of(Recorder(), ws_max_size=500), DEFLATE) as client:
        client.send(sent)
        assert client.last_frames()[-1].close_code == code


def test_a_message_before_a_violation_in_the_same_read_is_delivered(serve):
    with serve(app := Recorder()) as served, Raw(ws(served)) as client:
        client.send(frame(TEXT, b"good") + frame(3))
        assert client.last_frames()[-1].close_code == 1002
        assert app.end()["code"] == 1002
    assert app.events[0] == {"type": "websocket.receive", "text": "good"}


def test_the_close_frame_of_a_violation_arrives_though_the_client_goes_on(serve):
    """Data that nobody reads would reset the connection, and the client would never learn why."""
    with serve(Recorder(), ws_max_size=1000) as served, Raw(ws(served)) as client:
        client.send(frame(BINARY, bytes(200_000)), *[frame(TEXT, bytes(900))] * 50)
        assert [each.close_code for each in client.last_frames()] == [1009]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_close_codes_of_a_client_are_answered_and_told(strict, code):
    app, url = strict
    app.events.clear()
    with Raw(url) as client:
        client.send(close(code, "grüße".encode()))
        assert client.last_frames() == [Frame(CLOSE, code.to_bytes(2, "big") + "grüße".encode())]
    assert app.end() == {"type": "websocket.disconnect", "code": code, "reason": "grüße"}


def test_a_close_without_a_code(url_of):
    app = Recorder()
    with Raw(url_of(app)) as client:
        client.send(frame(CLOSE))
        assert client.last_frames() == [Frame(CLOSE, b"")]
    assert app.end() == {"type": "websocket.disconnect", "code": 1005, "reason": ""}


def test_pings_are_answered_within_a_message_too(url_of):
    with Raw(url_of(Recorder())) as client:
        client.send(frame(PING, b"one"), START, frame(PING, bytes(125)), frame(PONG, b"nobody asked"))
        client.send(frame(CONTINUATION, b"ed"))
        found = client.frames(2)
        found += client.frames(3 - len(found)) if len(found) < 3 else []
        assert found == [Frame(PONG, b"one"), Frame(PONG, bytes(125)), Frame(TEXT, b"started")]


def test_what_comes_behind_a_close_is_not_looked_at(url_of):
    app = Recorder()
    with Raw(url_of(app)) as client:
        client.send(close(1000) + frame(TEXT, b"late") + frame(3))
        assert [each.close_code for each in client.last_frames()] == [1000]
    assert app.end()["code"] == 1000


# --- what the application does ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closing", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 1001, "reason": None}, 1001, ""),
        ({"code": 4000, "reason": "grüße"}, 4000, "grüße"),
        ({"code": 1011}, 1011, ""),
    ],
)
def test_the_application_closes(url_of, closing, code, reason):
    app = Recorder(reply=lambda message: {"type": "websocket.close", **closing})
    with connect(url_of(app)) as client:
        client.send("go")
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
    assert (client.close_code, client.close_reason) == (code, reason)
    assert app.end() == {"type": "websocket.disconnect", "code": code, "reason": reason}


def test_a_last_message_arrives_before_the_close(url_of):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(2_000_000)})
        await send({"type": "websocket.close", "code": 4000})

    with connect(url_of(app), max_size=None) as client:
        assert len(client.recv(PATIENCE)) == 2_000_000
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
    assert client.close_code == 4000


async def closes_badly(scope, receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1005})


async def closes_at_length(scope, receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "reason": "x" * 124})


async def accepts_twice(scope, receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.accept"})


async def fails_later(scope, receive, send):
    await send({"type": "websocket.accept"})
    raise LookupError


async def returns_early(scope, receive, send):
    await send({"type": "websocket.accept"})


async def returns_something(scope, receive, send):
    await send({"type": "websocket.accept"})
    return 1


FAILING = [closes_badly, closes_at_length, accepts_twice, fails_later, returns_early, returns_something]


@pytest.mark.parametrize("app", FAILING)
def test_an_application_that_ends_without_a_close_is_seen_as_1006(url_of, app):
    with connect(url_of(app)) as client, pytest.raises(ConnectionClosed):
        client.recv(PATIENCE)
    assert client.close_code == 1006


@pytest.mark.parametrize("app", FAILING)
def test_what_the_log_says_of_it(serve, caplog, app):
    with serve(app) as served, connect(ws(served)) as client, pytest.raises(ConnectionClosed):
        client.recv(PATIENCE)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == (0 if app is returns_early else 1)
    assert all(bool(record.exc_info) is (app is not returns_something) for record in errors)


async def fails_at_once(scope, receive, send):
    raise LookupError


async def does_nothing(scope, receive, send):
    pass


async def sends_before_accepting(scope, receive, send):
    await send({"type": "websocket.send", "text": "early"})


async def accepts_with_a_line_end(scope, receive, send):
    await send({"type": "websocket.accept", "headers": [(b"x-mine", b"a\r\nx-other: b")]})


async def accepts_an_injected_subprotocol(scope, receive, send):
    await send({"type": "websocket.accept", "subprotocol": "a\r\nx-other: b"})


async def denies_with_a_strange_status(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 700, "headers": []})


async def denies_by_half(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"half", "more_body": True})


async def denies_with_a_switch(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 101, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b""})


@pytest.mark.parametrize("app", [fails_at_once, does_nothing, sends_before_accepting, denies_with_a_strange_status])
def test_an_application_that_fails_before_it_accepts(url_of, app):
    with pytest.raises(InvalidStatus) as caught:
        connect(url_of(app))
    response = caught.value.response
    assert (response.status_code, response.body) == (500, b"Internal Server Error")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    "app", [accepts_with_a_line_end, accepts_an_injected_subprotocol, denies_by_half, denies_with_a_switch]
)
def test_other_failures_are_a_clean_500_too(serve, caplog, app):
    with serve(app) as served, pytest.raises(InvalidStatus) as caught:
        connect(ws(served))
    assert caught.value.response.status_code == 500
    assert "x-other" not in caught.value.response.headers
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_a_close_before_accept_is_a_403(url_of):
    events = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 4000, "reason": "no"})
        events.append(await receive())

    with pytest.raises(InvalidStatus) as caught:
        connect(url_of(app))
    assert (caught.value.response.status_code, caught.value.response.body) == (403, b"")
    until(lambda: events)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]


@pytest.mark.parametrize(
    ("status", "headers", "parts", "content_type"),
    [
        (401, [], [b"nobody"], "text/plain; charset=utf-8"),
        (404, [(b"Content-Type", b"application/json"), (b"X-Mine", b"1")], [b'{"a":', b"1}"], "application/json"),
        (410, [(b"content-length", b"0")], [b""], "text/plain; charset=utf-8"),
        (503, [(b"content-type", b"a/b"), (b"content-length", b"3")], [b"\x81\xfe\xff"], "a/b"),
    ],
)
def test_the_application_denies_with_a_response(url_of, status, headers, parts, content_type):
    events = []

    async def app(scope, receive, send):
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        for part in parts[:-1]:
            await send({"type": "websocket.http.response.body", "body": part, "more_body": True})
        await send({"type": "websocket.http.response.body", "body": parts[-1]})
        events.append(await receive())

    with pytest.raises(InvalidStatus) as caught:
        connect(url_of(app), max_size=None)
    response = caught.value.response
    assert (response.status_code, bytes(response.body)) == (status, b"".join(parts))
    assert response.headers.get_all("content-type") == [content_type]
    assert response.headers.get_all("content-length") == [str(len(b"".join(parts)))]
    assert response.headers.get_all("connection") == ["close"]
    assert ("x-mine" in response.headers) is (status == 404)
    until(lambda: events)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]


def test_messages_out_of_order(serve):
    raised = []

    async def app(scope, receive, send):
        async def wrong(kind, **message):
            with pytest.raises(RuntimeError) as caught:
                await send({"type": kind, **message})
            raised.append(str(caught.value))

        await wrong("websocket.send", text="early")
        await send({"type": "websocket.accept"})
        await wrong("websocket.http.response.start", status=200, headers=[])
        await send({"type": "websocket.send", "text": None, "bytes": None})  # nothing
        await send({"type": "websocket.close"})
        await wrong("websocket.send", text="late")
        await wrong("websocket.close")

    async def denying(scope, receive, send):
        await send({"type": "websocket.http.response.start", "status": 400, "headers": []})
        with pytest.raises(RuntimeError, match="Expected ASGI message 'websocket.http.response.body'"):
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.http.response.body"})

    with serve(app) as served, Raw(ws(served)) as client:
        assert [each.close_code for each in client.frames(1)] == [1000]
    assert len(raised) == 4
    with serve(denying) as served, pytest.raises(InvalidStatus):
        connect(ws(served))


def test_the_log_names_each_handshake(serve, caplog):
    caplog.set_level(logging.INFO, "turboapi.error")

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept" if scope["path"] == "/yes" else "websocket.close"})
        await receive()

    with serve(app, access_log=True) as served:
        url = ws(served)
        with connect(url + "/yes?q=1") as client:
            host, port = client.socket.getsockname()
        with pytest.raises(InvalidStatus):
            connect(url + "/no")
    lines = [record.getMessage() for record in caplog.records if "WebSocket" in record.getMessage()]
    assert lines[0] == f'{host}:{port} - "WebSocket /yes?q=1" [accepted]'
    assert lines[1].endswith(' - "WebSocket /no" 403')


# --- clients that leave -----------------------------------------------------------------------------------------------


def test_a_client_that_vanishes(url_of):
    app = Recorder()
    with Raw(url_of(app, ws_ping_interval=0)) as client:
        client.send(START)
    assert app.end() == {"type": "websocket.disconnect", "code": 1005}


def test_a_client_that_vanishes_before_it_is_accepted(url_of):
    events = []
    gate = threading.Event()

    async def app(scope, receive, send):
        await receive()
        gate.set()
        events.append(await receive())

    url = url_of(app)
    with socket.create_connection(url.removeprefix("ws://").split(":"), timeout=PATIENCE) as sock:
        sock.sendall(request("GET / HTTP/1.1", *UPGRADE))
        assert gate.wait(PATIENCE)
    until(lambda: events)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]


def test_sending_to_a_client_that_has_gone_is_an_oserror(url_of):
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        raised.append((await receive())["type"])
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as exc:
            raised.append(exc)

    with connect(url_of(app)):
        pass
    until(lambda: len(raised) == 2)
    assert raised[0] == "websocket.disconnect"


def test_a_close_to_a_client_that_has_gone_does_nothing(serve, caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await asyncio.sleep(0.1)
        await send({"type": "websocket.close"})

    with serve(app) as served, connect(ws(served)):
        pass
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


# --- pings ------------------------------------------------------------------------------------------------------------


def test_a_client_that_answers_pings_stays(serve):
    with serve(Recorder(), ws_ping_interval=0.02, ws_ping_timeout=5.0) as served, Raw(ws(served)) as client:
        for _ in range(5):
            [ping] = client.frames(1)
            assert (ping.opcode, len(ping.payload)) == (PING, 4)
            client.send(frame(PONG, b"another"), frame(PONG, ping.payload))
        client.send(frame(TEXT, b"still here"))
        assert Frame(TEXT, b"still here") in client.frames(1)


def test_a_client_that_answers_no_ping_is_left(url_of):
    app = Recorder()
    with Raw(url_of(app, ws_ping_interval=0.05, ws_ping_timeout=0.05)) as client:
        ping, *_, last = client.last_frames()
        assert ping.opcode == PING
        assert last == Frame(CLOSE, (1011).to_bytes(2, "big") + b"keepalive ping timeout")
    assert app.end()["code"] == 1005


def test_without_a_timeout_pings_go_on(serve):
    with serve(Recorder(), ws_ping_interval=0.02, ws_ping_timeout=0) as served, Raw(ws(served)) as client:
        assert len({client.frames(1)[0].payload for _ in range(4)}) == 4


def test_without_an_interval_nothing_is_sent():
    loop = asyncio.new_event_loop()
    pings = Pings(loop, 0.0, 1.0, lambda payload: None, lambda: None)
    pings.start()
    assert pings._timer is None
    loop.close()


def test_a_pong_that_we_have_not_read_is_not_missed(serve):
    """While a slow application holds up the reading, its client can not be blamed."""
    gate = threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while not gate.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    options = {"ws_max_queue": 1, "ws_ping_interval": 0.02, "ws_ping_timeout": 0.02}
    with serve(app, **options) as served, Raw(ws(served)) as client:
        client.send(frame(TEXT, b"waiting"))
        [ping, *_] = client.frames(1)
        client.send(frame(PONG, ping.payload))
        time.sleep(0.1)
        gate.set()
        assert client.last_frames()[0] == Frame(TEXT, b"waiting")


# --- the server's end -------------------------------------------------------------------------------------------------


def test_a_stop_closes_all_sockets_with_1012_and_waits_for_the_applications(serve):
    ended = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await asyncio.sleep(0.2)
        ended.append(message)

    with serve(app) as served:
        url = ws(served)
        clients = [connect(url) for _ in range(10)]
        served.server.should_exit = True
        for client in clients:
            with client, pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
            assert client.close_code == 1012
    assert ended == [{"type": "websocket.disconnect", "code": 1012}] * 10


def test_a_stop_cancels_what_is_left(serve, caplog):
    events = []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        try:
            await asyncio.sleep(PATIENCE * 10)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    with serve(app, timeout_graceful_shutdown=0.2) as served, connect(ws(served)) as client:
        served.server.should_exit = True
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1012
        until(lambda: events)
    assert events == ["cancelled"]
    assert not any(record.exc_info for record in caplog.records)


def test_the_command_stops_on_sigterm(tmp_path):
    (tmp_path / "main.py").write_text(
        "from turboapi import TurboAPI, WebSocket\n"
        "app = TurboAPI()\n"
        "@app.websocket('/ws')\n"
        "async def ws(socket: WebSocket):\n"
        "    await socket.accept()\n"
        "    await socket.send_text('hello')\n"
        "    async for _ in socket.iter_text(): pass\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "turboapi", "run", "main:app", "--port", str(port), "--ws-ping-interval", "5"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True) as server:
        for line in server.stderr:
            if "running on" in line:
                break
        with connect(f"ws://127.0.0.1:{port}/ws") as client:
            assert client.recv(PATIENCE) == "hello"
            server.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
            assert client.close_code == 1012
        rest = server.stderr.read()
    assert server.returncode == 0
    assert "Traceback" not in rest and "Application shutdown complete." in rest


# --- many -------------------------------------------------------------------------------------------------------------


def test_five_hundred_at_once(serve):
    async def talk(url, number):
        async with connect_async(url, ping_interval=None, compression=None) as client:
            open_now.append(number)
            while len(open_now) < 500:
                await asyncio.sleep(0.01)
            for turn in range(5):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async def main(url):
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(talk(url, number))

    open_now = []
    with serve(app := Recorder()) as served:
        asyncio.run(main(ws(served)))
        until(lambda: sum(event["type"] == "websocket.disconnect" for event in app.events) == 500)
    assert len(app.events) == 500 * 6


@pytest.fixture
def open_files():
    """How many files this process may have open: up to 5,000, if it is allowed so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 5000 if hard == resource.RLIM_INFINITY else min(5000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    yield max(soft, limit)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_at_once(serve, open_files):
    """Each is echoed to while all are open, and when the server stops all are closed with 1012."""
    count = min(2000, open_files // 2 - 200)  # both ends are in this process

    async def next_frame(reader):
        head = await reader.readexactly(2)
        return parse_frames(head + await reader.readexactly(head[1]))[0]

    async def talk(server, number):
        async with opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request("GET / HTTP/1.1", *UPGRADE))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await all_open.wait()
        writer.write(frame(TEXT, b"%d" % number))
        assert await next_frame(reader) == Frame(TEXT, b"%d" % number)
        await all_echoed.wait()
        server.should_exit = True
        assert (await next_frame(reader)).close_code == 1012
        writer.write(close(1012))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async def main(server):
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(talk(server, number))

    opening, all_open, all_echoed = asyncio.Semaphore(100), asyncio.Barrier(count), asyncio.Barrier(count)
    with serve(app := Recorder(), timeout_graceful_shutdown=PATIENCE) as served:
        asyncio.run(main(served.server))
    assert [event.get("code") for event in app.events] == [None] * count + [1012] * count


def test_a_slow_client_gets_everything(serve):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        for number in range(300):
            await send({"type": "websocket.send", "bytes": bytes([number % 256]) * 50_000})
        await send({"type": "websocket.close"})

    with serve(app) as served, connect(ws(served), compression=None, max_queue=1) as client:
        time.sleep(0.2)
        assert [message[0] for message in client] == [number % 256 for number in range(300)]


def test_a_slow_application_gets_everything(serve):
    sizes = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.2)
        while (message := await receive())["type"] == "websocket.receive":
            sizes.append(len(message["bytes"]))

    with serve(app) as served, connect(ws(served), compression=None) as client:
        for _ in range(300):
            client.send(bytes(50_000))
    until(lambda: len(sizes) == 300)
    assert set(sizes) == {50_000}


def test_a_client_that_does_not_answer_the_close(serve, monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.05)
    app = Recorder(reply=lambda message: {"type": "websocket.close"})
    with serve(app) as served, Raw(ws(served)) as client:
        client.send(frame(TEXT, b"go"))
        assert [each.close_code for each in client.last_frames()] == [1000]


# --- endpoints, beside FastAPI on uvicorn -----------------------------------------------------------------------------


def application(api, responses):
    """The same application of FastAPI's and of TurboAPI's classes, and the events it writes down."""
    app = (api.FastAPI if hasattr(api, "FastAPI") else api.TurboAPI)()
    events = []

    async def with_exit():
        events.append("enter")
        try:
            yield "value"
        finally:
            events.append("exit")

    def in_thread(token: str = api.Header(default="none", alias="x-token")):
        if token == "bad":
            raise api.WebSocketException(code=4401, reason="bad token")
        return token

    @app.websocket("/text")
    async def text(socket: api.WebSocket):
        await socket.accept()
        async for message in socket.iter_text():
            await socket.send_text(message.upper())
        events.append("left")

    @app.websocket("/bytes")
    async def in_bytes(socket: api.WebSocket):
        await socket.accept()
        async for message in socket.iter_bytes():
            await socket.send_bytes(message[::-1])

    @app.websocket("/json/{mode}")
    async def in_json(socket: api.WebSocket, mode: str):
        await socket.accept()
        async for message in socket.iter_json():
            await socket.send_json({"got": message}, mode=mode)

    @app.websocket("/items/{number}")
    async def item(
        socket: api.WebSocket,
        number: int,
        q: str | None = None,
        session: str = api.Cookie(default="none"),
        value: str = api.Depends(with_exit),
        token: str = api.Depends(in_thread),
    ):
        await socket.accept()
        await socket.send_json([number, q, session, value, token])
        events.append("sent")
        await socket.close(4000, "done")

    @app.websocket("/raises/{when}")
    async def raises(socket: api.WebSocket, when: str):
        if when == "before":
            raise api.WebSocketException(code=4001)
        await socket.accept()
        await socket.receive_text()
        raise api.WebSocketException(code=4002, reason="after")

    @app.websocket("/breaks")
    async def breaks(socket: api.WebSocket, value: str = api.Depends(with_exit)):
        await socket.accept()
        raise LookupError(value)

    @app.websocket("/denied")
    async def denied(socket: api.WebSocket):
        await socket.send_denial_response(responses.JSONResponse({"detail": "no"}, status_code=418))

    @app.websocket("/http-exception")
    async def http_exception(socket: api.WebSocket):
        raise api.HTTPException(status_code=402, detail="pay", headers={"X-Mine": "1"})

    @app.websocket("/subprotocol")
    async def subprotocol(socket: api.WebSocket):
        await socket.accept(subprotocol=socket.scope["subprotocols"][-1], headers=[(b"x-mine", b"1")])
        await socket.send_text(f"{socket.url.path} {socket.headers['x-token']}")
        await socket.close()

    @app.get("/text")
    def also_http():
        return {"http": True}

    return app, events


TALKS = {
    "text": ("/text", ["one", "zwö"], {}),
    "bytes": ("/bytes", [b"abc", b""], {}),
    "json text": ("/json/text", ['{"a": [1, null]}', "1"], {}),
    "json binary": ("/json/binary", ["[]"], {}),
    "broken json": ("/json/text", ["{"], {}),
    "text for bytes": ("/bytes", ["text"], {}),
    "parameters": ("/items/5?q=x", [], {"cookie": "session=s", "x-token": "t"}),
    "defaults": ("/items/5", [], {}),
    "invalid parameter": ("/items/five", [], {}),
    "dependency refuses": ("/items/5", [], {"x-token": "bad"}),
    "exception before accept": ("/raises/before", [], {}),
    "exception after accept": ("/raises/after", ["go"], {}),
    "failure": ("/breaks", [], {}),
    "denied": ("/denied", [], {}),
    "http exception": ("/http-exception", [], {}),
    "subprotocol": ("/subprotocol", [], {"x-token": "t"}),
    "no route": ("/nowhere", [], {}),
    "slash": ("/text/", [], {}),
}


def talk(url, path, messages, headers):
    """All that a client sees of a conversation."""
    seen = []
    try:
        with connect(url + path, additional_headers=headers, subprotocols=["a", "b"]) as client:
            seen.append((client.subprotocol, client.response.headers.get("x-mine")))
            for message in messages:
                client.send(message)
                seen.append(client.recv(PATIENCE))
            if messages and not path.startswith("/raises"):
                client.close(3000, "enough")
            seen.append(client.recv(PATIENCE))
            client.recv(PATIENCE)
    except InvalidStatus as exc:
        response = exc.response
        mine = [
            (key.lower(), value) for key, value in response.headers.raw_items() if key.lower() not in ("date", "server")
        ]
        seen.append((response.status_code, sorted(mine), bytes(response.body)))
    except ConnectionClosed:
        seen.append((client.close_code, client.close_reason))
    return seen


@pytest.mark.parametrize("name", TALKS)
def test_endpoints_are_fastapis(serve, name):
    ours, our_events = application(turboapi, turboapi.responses)
    theirs, their_events = application(fastapi, fastapi.responses)
    with uvicorn_serves(theirs) as url:
        expected = talk(url, *TALKS[name])
    with serve(ours) as served:
        assert talk(ws(served), *TALKS[name]) == expected
    assert our_events == their_events


def test_real_fastapi_on_our_server(serve):
    app, _ = application(fastapi, fastapi.responses)
    with serve(app) as served:
        assert talk(ws(served), *TALKS["parameters"])[1] == '[5,"x","s","value","t"]'


def test_a_disconnect_that_nobody_catches_is_no_failure(serve, caplog):
    app = turboapi.TurboAPI()
    ended = threading.Event()

    @app.websocket("/")
    async def endpoint(socket: turboapi.WebSocket):
        await socket.accept()
        try:
            while True:
                await socket.receive_text()
        finally:
            ended.set()

    with serve(app) as served, connect(ws(served)) as client:
        client.send("hello")
    assert ended.wait(PATIENCE)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_middleware_and_mounted_applications_see_websockets(serve):
    inner, outer = turboapi.TurboAPI(), turboapi.TurboAPI()
    seen = []

    class Middleware:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            seen.append(scope["type"])
            await self.app(scope, receive, send)

    @inner.websocket("/ws")
    async def endpoint(socket: turboapi.WebSocket):
        await socket.accept()
        await socket.send_text(socket.scope["root_path"] + " " + socket.scope["path"])
        await socket.close()

    outer.add_middleware(Middleware)
    outer.mount("/inner", inner)
    with serve(outer, root_path="/api") as served, connect(ws(served) + "/inner/ws") as client:
        assert client.recv(PATIENCE) == "/api/inner /api/inner/ws"
    assert seen == ["websocket"]
