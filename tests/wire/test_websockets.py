"""The way from HTTP to a WebSocket and out of it, byte by byte, with a clock and a client that do as the test says."""

import asyncio
import contextvars
import gc
import logging
import re

import anyio
import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode

from tests.wire.frames import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    Frame,
    close,
    frame,
    parse_frames,
)
from tests.wire.harness import parse_answers, request, respond, splits
from turboapi.server import websocket

HANDSHAKE = request("GET /ws HTTP/1.1", *UPGRADE)


class App:
    """Answers HTTP with the path and echoes messages; writes down what it is told. Held up at `gates`, by state."""

    def __init__(self, **gates):
        self.events = []
        self.gates = gates
        self.scope = None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await self.wait("http")
            await respond(send, scope["path"].encode())
            return
        self.scope = scope
        assert await receive() == {"type": "websocket.connect"}
        await self.wait("connect")
        await send({"type": "websocket.accept"})
        await self.wait("open")
        while True:
            message = await receive()
            self.events.append(message)
            if message["type"] == "websocket.disconnect":
                return
            await send({**message, "type": "websocket.send"})

    async def wait(self, name):
        if name in self.gates:
            await self.gates[name]


@pytest.fixture
def site(wire):
    """`site(app, **options)`: a Wire that serves WebSockets."""

    def make(app=None, **options):
        return wire(app or App(), websockets=options.pop("websockets", {}), **options)

    return make


def opened(site, **options):
    """A peer whose handshake has been accepted."""
    peer = site.connect(**options).feed(HANDSHAKE)
    assert peer.output.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    peer.transport.writes.clear()
    peer.transport.read_all()
    site.settle()
    return peer


def frames(peer):
    """What the server has sent behind the handshake."""
    return parse_frames(peer.output.partition(b"\r\n\r\n")[2] if peer.output.startswith(b"HTTP") else peer.output)


def receives(data):
    return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}


# --- the handshake ----------------------------------------------------------------------------------------------------


def test_the_bytes_of_a_handshake(site):
    peer = site(date_header=False).connect().feed(HANDSHAKE)
    assert peer.output == (
        b"HTTP/1.1 101 Switching Protocols\r\nserver: turboapi\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: " + ACCEPT + b"\r\n\r\n"
    )
    assert peer.open


def test_handshake_and_frames_however_they_are_split(site):
    here = site(date_header=False)
    messages = frame(TEXT, b"one") + frame(BINARY, b"two")
    for parts in splits(HANDSHAKE + messages):
        peer = here.connect().feed(*parts)
        assert frames(peer) == [Frame(TEXT, b"one"), Frame(BINARY, b"two")]


def test_requests_before_the_handshake_are_answered_first(site):
    here = site(app := App())
    app.gates["http"] = gate = here.loop.create_future()
    peer = here.connect().feed(
        request("GET /a HTTP/1.1"), request("GET /b HTTP/1.1") + HANDSHAKE, frame(TEXT, b"early")
    )
    assert peer.output == b""
    here.call(gate.set_result, None)
    head, _, rest = peer.output.partition(b"HTTP/1.1 101")
    assert [answer.body for answer in parse_answers(head)] == [b"/a", b"/b"]
    assert parse_frames(rest.partition(b"\r\n\r\n")[2]) == [Frame(TEXT, b"early")]


def test_requests_and_a_handshake_in_one_read(site):
    peer = site().connect().feed(request("GET /a HTTP/1.1") + request("GET /b HTTP/1.1") + HANDSHAKE)
    assert re.findall(rb"HTTP/1.1 (\d+)", peer.output) == [b"200", b"200", b"101"]


def test_a_kept_connection_may_become_a_websocket(site):
    here = site()
    peer = here.connect().feed(request("GET /a HTTP/1.1"))
    peer.transport.writes.clear()
    assert frames(peer.feed(HANDSHAKE, frame(TEXT, b"hi"))) == [Frame(TEXT, b"hi")]
    assert (len(here.hub.open), len(here.hub.websockets), here.hub.connections) == (0, 1, 1)


def test_a_closing_answer_before_the_handshake_is_the_last_one(site):
    peer = site().connect().feed(request("GET /a HTTP/1.1", "Connection: close") + HANDSHAKE)
    assert peer.statuses() == [200]
    assert not peer.open


@pytest.mark.parametrize("leaves", [True, False])
def test_a_handshake_behind_an_answer_that_ends_the_connection_is_forgotten(site, leaves):
    """The application closes, or the client leaves, while the handshake waits."""

    async def app(scope, receive, send):
        await gate
        await respond(send, b"last", headers=[(b"connection", b"close")])

    here = site(app)
    gate = here.loop.create_future()
    peer = here.connect().feed(request("GET /a HTTP/1.1"), HANDSHAKE, bytes(60000))
    if leaves:
        peer.leave()
    here.call(gate.set_result, None)
    peer.feed(bytes(60000))
    assert peer.statuses() == ([] if leaves else [200])
    assert not peer.open


def test_headers_for_every_response_are_sent_with_a_handshake_and_its_refusal(site):
    here = site(headers=[(b"x-tea", b"green"), (b"server", b"kettle")])
    for message in (HANDSHAKE, HANDSHAKE.replace(b": 13", b": 12")):
        head = here.connect().feed(message).output.partition(b"\r\n\r\n")[0]
        assert head.count(b"\r\nx-tea: green\r\nserver: kettle\r\n") == 1
        assert head.count(b"server: ") == 1


def test_a_websocket_counts_as_a_connection(site):
    here = site(limit_concurrency=1)
    peer = opened(here)
    surplus = here.connect().feed(request())
    [refused] = surplus.answers()
    assert (refused.status, refused.header("retry-after")) == (503, "1")
    surplus.leave()
    peer.feed(close(1000))
    assert here.connect().feed(request()).statuses() == [200]


@pytest.mark.parametrize("size", [65536, 65537])
def test_what_comes_before_the_answer_is_kept_up_to_a_limit(site, size):
    here = site(app := App())
    app.gates["http"] = here.loop.create_future()
    peer = here.connect().feed(request("GET /a HTTP/1.1"), HANDSHAKE, b"x" * (size - 1), b"x")
    here.call(app.gates["http"].set_result, None)
    assert re.findall(rb"HTTP/1.1 (\d+)", peer.output) == [b"200", b"400" if size > 65536 else b"101"]


def test_frames_before_accept_are_kept_up_to_a_limit_and_read_afterwards(site):
    here = site(app := App())
    app.gates["connect"] = here.loop.create_future()
    message = frame(BINARY, bytes(16000))
    peer = here.connect().feed(HANDSHAKE)
    assert peer.feed_while_reading(message * 100) < 6 * len(message)
    assert peer.transport.paused
    here.call(app.gates["connect"].set_result, None)
    assert not peer.transport.paused
    assert frames(peer)[:4] == [Frame(BINARY, bytes(16000))] * 4


def test_the_header_timeout_holds_for_a_handshake(site):
    here = site(timeout_header=20)
    peer = here.connect().feed(HANDSHAKE[:-10])
    here.pass_time(25)
    assert peer.statuses() == [408]


REFUSED = {
    "post": (request("POST / HTTP/1.1", *UPGRADE), 400),
    "head": (request("HEAD / HTTP/1.1", *UPGRADE), 400),
    "old": (request("GET / HTTP/1.0", *UPGRADE), 400),
    "body": (request("GET / HTTP/1.1", *UPGRADE, "Content-Length: 2", body=b"hi"), 400),
    "chunked body": (
        request("GET / HTTP/1.1", *UPGRADE, "Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        400,
    ),
    "no host": (request("GET / HTTP/1.1", *UPGRADE, host=False), 400),
    "two hosts": (request("GET / HTTP/1.1", *UPGRADE, "Host: other"), 400),
    "no key": (request("GET / HTTP/1.1", *(line for line in UPGRADE if "Key" not in line)), 400),
    "two keys": (request("GET / HTTP/1.1", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"), 400),
    "short key": (request("GET / HTTP/1.1", *UPGRADE).replace(KEY.encode(), b"c2hvcnQ="), 400),
    "key of other letters": (request("GET / HTTP/1.1", *UPGRADE).replace(KEY.encode(), b"****************"), 400),
    "no version": (request("GET / HTTP/1.1", *UPGRADE[:3]), 400),
    "version 8": (request("GET / HTTP/1.1", *UPGRADE[:3], "Sec-WebSocket-Version: 8"), 426),
    "version 14": (request("GET / HTTP/1.1", *UPGRADE[:3], "Sec-WebSocket-Version: 14"), 426),
    "two versions": (request("GET / HTTP/1.1", *UPGRADE, "Sec-WebSocket-Version: 13"), 426),
    "two origins": (request("GET / HTTP/1.1", *UPGRADE, "Origin: http://a", "Origin: http://b"), 400),
    "two upgrades": (request("GET / HTTP/1.1", *UPGRADE, "Upgrade: h2c"), 426),
    "bad subprotocol": (request("GET / HTTP/1.1", *UPGRADE, "Sec-WebSocket-Protocol: a b"), 400),
    "bad extension": (request("GET / HTTP/1.1", *UPGRADE, "Sec-WebSocket-Extensions: ;;"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_handshake_that_is_none_is_refused(site, name):
    message, status = REFUSED[name]
    here = site(app := App())
    peer = here.connect().feed(message + frame(TEXT, b"hi"))
    [answer] = peer.answers("HEAD" if name == "head" else "GET")
    assert (answer.status, answer.keep_alive) == (status, False)
    assert not peer.open
    assert app.scope is None
    if status == 426:  # RFC 9110, section 15.5.22; RFC 6455, section 4.4
        assert answer.header("upgrade") == "websocket"
        assert answer.header("connection") == "upgrade, close"
    if "version" in name and status == 426:
        assert answer.header("sec-websocket-version") == "13"
    assert opened(here).open, "the server goes on"


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "WEBSOCKET"])
def test_the_protocol_is_named_in_any_case(site, value):
    lines = [line.replace("websocket", value) if line.startswith("Upgrade") else line for line in UPGRADE]
    assert site().connect().feed(request("GET / HTTP/1.1", *lines)).output.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: websocket"],
        ["Connection: Upgrade"],
        ["Connection: Upgrade", "Upgrade: h2c"],
        ["Connection: Upgrade", "Upgrade: websocket/13"],
        ["Connection: keep-alive", "Upgrade: websocket"],
    ],
)
def test_other_upgrades_are_answered_in_http(site, lines):
    peer = site().connect().feed(request("GET /a HTTP/1.1", *lines) + request("GET /b HTTP/1.1"))
    assert [answer.body for answer in peer.answers()] == [b"/a", b"/b"]


def test_without_the_library_it_is_answered_in_http_and_said_once(wire, caplog):
    here = wire(App())
    for _ in range(2):
        peer = here.connect().feed(HANDSHAKE + request("GET /b HTTP/1.1"))
        assert [answer.body for answer in peer.answers()] == [b"/ws", b"/b"]
    [record] = caplog.records
    assert "pip install 'turboapi[websockets]'" in record.getMessage()
    assert record.levelno == logging.WARNING


def test_the_library_may_be_missing(monkeypatch):
    monkeypatch.setattr(websocket, "AVAILABLE", False)
    assert websocket.open_websockets(App(), None) is None  # type: ignore[arg-type]


# --- back-pressure ----------------------------------------------------------------------------------------------------


def test_a_slow_application_pauses_the_client_by_the_bytes_that_wait(site):
    here = site(app := App())
    app.gates["open"] = here.loop.create_future()
    peer = opened(here)
    message = frame(BINARY, bytes(10000))
    assert peer.feed_while_reading(message * 100) < 8 * len(message) + 16384
    here.call(app.gates["open"].set_result, None)
    assert not peer.transport.paused


@pytest.mark.parametrize("limit", [1, 5])
def test_a_slow_application_pauses_the_client_by_the_messages_that_wait(site, limit):
    here = site(app := App(), websockets={"ws_max_queue": limit})
    app.gates["open"] = here.loop.create_future()
    peer = opened(here)
    for count in range(1, limit + 1):
        assert not peer.transport.paused
        peer.feed(frame(TEXT, b"%d" % count))
    assert peer.transport.paused
    here.call(app.gates["open"].set_result, None)
    assert not peer.transport.paused
    assert [int(each.payload) for each in frames(peer)] == list(range(1, limit + 1))


def test_a_slow_client_pauses_the_application(site):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        for number in range(100):
            await send({"type": "websocket.send", "bytes": bytes(1000)})
            sent.append(number)
        await send({"type": "websocket.close"})

    here = site(app)
    peer = here.connect(high_water=5000).feed(HANDSHAKE)
    assert len(sent) == 5
    peer.transport.read_all()
    here.settle()
    assert 5 < len(sent) < 15
    while frames(peer)[-1].opcode != CLOSE:
        peer.transport.read_all()
        here.settle()
    assert len(sent) == 100
    peer.feed(close(1000))
    assert not peer.open


def test_a_slow_client_is_answered_its_last_ping_only(site):
    """Otherwise pings could fill the memory with pongs that nobody reads."""
    here = site()
    peer = opened(here, high_water=10)
    peer.feed(frame(TEXT, b"as large as the buffer"))
    peer.feed(*(frame(PING, b"%d" % number) for number in range(1000)))
    assert [each.opcode for each in frames(peer)] == [TEXT]
    peer.transport.read_all()
    here.settle()
    assert frames(peer)[1:] == [Frame(PONG, b"999")]


def test_a_paused_client_stays_paused_when_the_protocol_changes(site):
    """The answers before the handshake have filled the buffer."""
    here = site()
    peer = here.connect(high_water=10).feed(request("GET /a HTTP/1.1") + HANDSHAKE)
    assert peer.statuses() == [200]
    peer.transport.read_all()
    here.settle()
    assert b"HTTP/1.1 101" in peer.output


def test_what_was_read_before_the_client_left_is_delivered(site):
    events = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await gate
        while not events or events[-1]["type"] != "websocket.disconnect":
            events.append(await receive())

    here = site(app, websockets={"ws_max_queue": 1})
    gate = here.loop.create_future()
    peer = here.connect().feed(HANDSHAKE)
    peer.feed(frame(TEXT, b"a") * 5000 + close(4000, b"bye"))
    [connection] = here.hub.websockets
    assert len(connection.inbox) == 1
    peer.leave()
    here.call(gate.set_result, None)
    assert events[:-1] == [receives("a")] * 5000
    assert events[-1] == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}


def test_endless_empty_fragments_take_no_memory(site):
    here = site()
    peer = opened(here).feed(frame(TEXT, b"a", fin=False))
    peer.feed(frame(CONTINUATION, fin=False) * 10000)
    connection = next(iter(here.hub.websockets))
    assert connection.reader.held == 1 and not connection.inbox
    assert frames(peer.feed(frame(CONTINUATION, b"b"))) == [Frame(TEXT, b"ab")]


# --- who waits for a message ------------------------------------------------------------------------------------------


def test_the_application_has_answered_when_a_read_returns(site):
    """No turn of the loop lies between a message and who waits for it."""
    here = site()
    peer = opened(here)
    answers = []

    def read():
        peer.protocol.data_received(frame(TEXT, b"one") + frame(TEXT, b"two"))
        answers.extend(frames(peer))

    here.call(read)
    assert answers == [Frame(TEXT, b"one"), Frame(TEXT, b"two")]


def test_the_application_goes_on_in_its_own_task_and_context(site):
    variable = contextvars.ContextVar("variable")
    seen = []

    async def app(scope, receive, send):
        variable.set("mine")
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            seen.append((asyncio.current_task(), variable.get()))

    here = site(app)
    peer = opened(here).feed(frame(TEXT, b"one"), frame(TEXT, b"two"))
    [task] = here.hub.runner.suspended
    peer.leave()
    assert seen == [(task, "mine")] * 2


def accepting(conversation):
    """An application that accepts and goes on with `conversation(receive, send)`."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await conversation(receive, send)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


def test_one_who_waits_may_be_cancelled_and_loses_nothing(site):
    seen = []

    async def conversation(receive, send):
        for message in (None, "why"):
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            waiting.cancel(message)
            with pytest.raises(asyncio.CancelledError) as caught:
                await waiting
            assert waiting.cancelled()
            seen.append(caught.value.args)
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await receive()
        seen.append(scope.cancelled_caught)
        seen.append(await receive())

    here = site(accepting(conversation))
    peer = opened(here)
    assert seen == [(), ("why",), True]
    peer.feed(frame(TEXT, b"one"))
    assert seen[3:] == [receives("one")]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_several_who_wait_each_gets_a_message(site, count):
    seen = []

    async def conversation(receive, send):
        seen.extend(await asyncio.gather(*(receive() for _ in range(3))))

    peer = opened(site(accepting(conversation)))
    messages = [frame(TEXT, b"%d" % number) for number in range(3)]
    peer.feed(b"".join(messages[:count]), *messages[count:])
    assert seen == [receives(str(number)) for number in range(3)]


def test_one_who_is_woken_may_cancel_another(site):
    seen = []

    async def first(receive, others):
        seen.append(await receive())
        others[0].cancel()

    async def conversation(receive, send):
        others = []
        task = asyncio.ensure_future(first(receive, others))
        await asyncio.sleep(0)
        others.append(asyncio.ensure_future(receive()))
        await task
        with pytest.raises(asyncio.CancelledError):
            await others[0]
        seen.append(await receive())

    peer = opened(site(accepting(conversation)))
    peer.feed(frame(TEXT, b"one") + frame(TEXT, b"two"))
    assert seen == [receives("one"), receives("two")]


def test_one_who_makes_room_wakes_the_others_later(site):
    """What is read while a task runs reaches another task when that one has its turn."""
    seen = []

    async def other(receive):
        seen.append(await receive())

    async def conversation(receive, send):
        await gate
        task = asyncio.ensure_future(other(receive))
        seen.append(await receive())
        await task

    here = site(accepting(conversation), websockets={"ws_max_queue": 1})
    gate = here.loop.create_future()
    opened(here).feed(frame(TEXT, b"one") + frame(TEXT, b"two"))
    here.call(gate.set_result, None)
    assert seen == [receives("one"), receives("two")]


def test_system_exit_behind_a_message_ends_the_loop(site):
    """A transport would log it and go on."""

    async def conversation(receive, send):
        await receive()
        raise SystemExit(3)

    def read():
        peer.protocol.data_received(frame(TEXT, b"stop"))
        returned.append(True)

    returned = []
    here = site(accepting(conversation))
    peer = opened(here)
    with pytest.raises(SystemExit):
        here.call(read)
    assert returned
    gc.collect()
    [error] = here.loop.errors
    assert error["message"].endswith("exception was never retrieved")
    here.loop.errors.clear()


def test_a_receive_that_is_never_resumed_is_forgotten(site):
    async def conversation(receive, send):
        for _ in range(3):
            waiting = receive()
            waiting.send(None)
            waiting.close()

    here = site(accepting(conversation))
    peer = opened(here).feed(frame(TEXT, b"one"))
    assert peer.open


def feed_in_one_turn(here, peer, *parts):
    """Deliver the reads without a turn of the loop between them: on 3.11 a Task has not seen yet what it waits for."""
    for part in parts:
        here.loop.call_soon(lambda part=part: peer.protocol.data_received(part))


def test_a_message_in_the_same_turn_as_the_handshake_is_answered(site):
    here = site()
    peer = here.connect()
    feed_in_one_turn(here, peer, HANDSHAKE, frame(TEXT, b"one"))
    here.settle()
    assert frames(peer) == [Frame(TEXT, b"one")]
    peer.feed(frame(TEXT, b"two"))
    assert frames(peer) == [Frame(TEXT, b"one"), Frame(TEXT, b"two")]


def test_messages_leave_nothing_behind(site):
    """Whole and in fragments, packed or not, with pings, and receivers that are cancelled."""
    packing = PerMessageDeflate(False, False, 12, 12)

    async def conversation(receive, send):
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            waiting.cancel()

    def packed(number):
        return LibraryFrame(Opcode.TEXT, b"%d" % number).serialize(mask=True, extensions=[packing])

    here = site(accepting(conversation))
    peer = here.connect().feed(request("GET /ws HTTP/1.1", *UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate"))
    counts = []
    for _ in range(3):
        for number in range(200):
            peer.feed(frame(TEXT, b"half", fin=False) + frame(PING) + frame(CONTINUATION, b"%d" % number))
            peer.feed(packed(number))
        peer.transport.writes.clear()
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[2] - counts[1] < 50


# --- clients that leave -----------------------------------------------------------------------------------------------

LEAVING = {
    "connecting": ({"connect"}, ()),
    "open": (set(), ()),
    "with half a frame": (set(), (frame(TEXT, b"half")[:-2],)),
    "with half a message": (set(), (frame(TEXT, b"half", fin=False),)),
    "with a message unread": ({"open"}, (frame(TEXT, b"unread"),)),
    "after closing": (set(), (close(1000),)),
    "after closing unread": ({"open"}, (close(1000),)),
    "after a violation": (set(), (frame(3),)),
}


@pytest.mark.parametrize("gone", [None, ConnectionResetError()], ids=["eof", "reset"])
@pytest.mark.parametrize("name", LEAVING)
def test_a_client_may_leave_at_any_time(site, caplog, name, gone):
    """Nothing is left over (`wire` looks for it), and nobody is told of a failure."""
    gates, sends = LEAVING[name]
    here = site(app := App())
    app.gates.update({gate: here.loop.create_future() for gate in gates})
    peer = here.connect().feed(HANDSHAKE, *sends)
    peer.leave(gone)
    for gate in app.gates.values():
        here.call(gate.set_result, None)
    if "connect" not in gates:
        assert app.events[-1]["type"] in ("websocket.disconnect", "websocket.receive")
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert here.hub.connections == 0


def test_a_client_may_leave_in_the_same_turn_as_the_handshake(site):
    here = site(app := App())
    peer = here.connect()
    feed_in_one_turn(here, peer, HANDSHAKE)
    here.loop.call_soon(lambda: peer.protocol.connection_lost(None))
    peer.transport.closing = True
    here.settle()
    assert app.events == [{"type": "websocket.disconnect", "code": 1005}]
    assert here.hub.connections == 0


def test_an_application_may_be_cancelled_in_the_same_turn_as_the_handshake(site):
    here = site(app := App())
    peer = here.connect()
    feed_in_one_turn(here, peer, HANDSHAKE)
    here.loop.call_soon(here.hub.abort)
    here.settle()
    assert app.events == []
    assert here.hub.connections == 0
    assert not peer.open


def test_a_send_that_waits_ends_when_the_client_leaves(site):
    raised = []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(1000)})
        except OSError as exc:
            raised.append(exc)

    peer = opened(site(app), high_water=5000)
    assert raised == []
    peer.leave()
    assert len(raised) == 1


def test_a_disconnect_is_told_as_often_as_asked(site):
    told = []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        told.extend([await receive() for _ in range(4)])
        told.extend(await asyncio.gather(receive(), receive()))

    opened(site(app)).feed(close(1001, b"away"))
    assert (
        told == [{"type": "websocket.connect"}] + [{"type": "websocket.disconnect", "code": 1001, "reason": "away"}] * 5
    )


def test_several_may_wait_for_a_message(site):
    told = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        told.extend(await asyncio.gather(receive(), receive(), receive()))

    peer = opened(site(app)).feed(frame(TEXT, b"one"))
    peer.leave()
    assert told[0] == receives("one")
    assert told[1:] == [{"type": "websocket.disconnect", "code": 1005}] * 2


def test_a_receive_that_is_cancelled_loses_nothing(site):
    told = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        told.append("timeout")
        told.append(await receive())

    here = site(app)
    peer = opened(here)
    here.run(asyncio.sleep(0.05))
    peer.feed(frame(TEXT, b"one"))
    assert told == ["timeout", receives("one")]


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", [True, False])
def test_a_client_that_does_not_answer_a_close_is_left(site, reading):
    """One that still reads what was sent before is waited for."""

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(1000)})
        await send({"type": "websocket.close"})

    here = site(app)
    peer = here.connect(high_water=100_000).feed(HANDSHAKE)
    [connection] = here.hub.websockets
    for _ in range(5):
        peer.transport.unread -= 10 if reading else 0
        here.call(connection._late, 10.0)
    assert peer.transport.aborted is not reading


def test_a_client_that_does_not_leave_after_a_violation_is_left(site, monkeypatch):
    monkeypatch.setattr(websocket, "LINGER", 0.02)
    here = site()
    peer = opened(here).feed(frame(3))
    assert frames(peer)[-1].close_code == 1002
    assert peer.transport.eof and not peer.transport.aborted
    peer.feed(b"what comes now is not read")
    here.run(asyncio.sleep(0.05))
    assert peer.transport.aborted


def test_a_tls_connection_can_not_be_closed_by_half(site):
    peer = opened(site(), sslcontext=object()).feed(frame(3))
    assert frames(peer)[-1].close_code == 1002
    assert not peer.open


def test_the_scheme_over_tls(site):
    opened(site(app := App()), sslcontext=object())
    assert app.scope["scheme"] == "wss"


# --- the server's end -------------------------------------------------------------------------------------------------


def test_drain_closes_with_1012_and_waits_for_the_answer(site):
    here = site(app := App())
    peer = opened(here)
    here.call(here.hub.drain)
    assert [each.close_code for each in frames(peer)] == [1012]
    assert app.events == [{"type": "websocket.disconnect", "code": 1012}]
    assert peer.open
    peer.feed(close(1012))
    assert not peer.open
    assert here.hub.connections == 0


def test_drain_resumes_reading_for_the_answer(site):
    here = site(app := App(), websockets={"ws_max_queue": 1})
    app.gates["open"] = here.loop.create_future()
    peer = opened(here).feed(frame(TEXT, b"one"))
    assert peer.transport.paused
    here.call(here.hub.drain)
    assert not peer.transport.paused
    peer.feed(close(1012))
    assert not peer.open
    here.call(app.gates["open"].set_result, None)


def test_drain_does_not_wait_for_ever(site, monkeypatch):
    monkeypatch.setattr(websocket, "LINGER", 0.02)
    here = site()
    peer = opened(here)
    here.call(here.hub.drain)
    here.run(asyncio.sleep(0.05))
    assert peer.transport.aborted


def test_drain_refuses_handshakes_that_are_not_answered_and_those_to_come(site, caplog):
    here = site(app := App())
    app.gates["connect"] = here.loop.create_future()
    waiting, new = here.connect().feed(HANDSHAKE), here.connect()
    here.call(here.hub.drain)
    assert waiting.statuses() == new.feed(HANDSHAKE).statuses() == [503]
    here.call(app.gates["connect"].set_result, None)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_drain_while_a_close_is_not_answered(site, monkeypatch):
    monkeypatch.setattr(websocket, "LINGER", 0.02)

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})

    here = site(app)
    peer = here.connect().feed(HANDSHAKE)
    here.call(here.hub.drain)
    assert [each.close_code for each in frames(peer)] == [4001]
    here.run(asyncio.sleep(0.05))
    assert peer.transport.aborted


def test_abort_cancels_the_application_and_closes(site):
    here = site(app := App())
    app.gates["open"] = here.loop.create_future()
    peer = opened(here)
    here.call(here.hub.abort)
    assert app.gates["open"].cancelled()
    assert peer.transport.aborted
    assert here.hub.connections == 0


def test_a_connection_is_counted_until_its_application_has_ended(site):
    here = site(app := App())
    app.gates["open"] = here.loop.create_future()
    peer = opened(here)
    peer.leave()
    assert here.hub.connections == 1
    here.call(app.gates["open"].set_result, None)
    assert here.hub.connections == 0
