"""Back-pressure, clients that leave, time, and the end of the server."""

import asyncio
import gc
import weakref

import pytest

from tests.wire.harness import Wire, chunked, echo, read_body, request, respond
from turboapi._speedups.endpoint import logger
from turboapi.responses import StreamingResponse

GET = request()
POST = request("POST / HTTP/1.1", "Content-Length: 10")


class Gate:
    """Handlers wait at it until the test opens it."""

    def __init__(self):
        self.waiting = []

    async def __call__(self):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future

    def open(self, site):
        for future in self.waiting:
            if not future.done():
                site.call(future.set_result, None)


# --- back-pressure of the output --------------------------------------------------------------------------------------


def test_flood_of_requests_stops_when_the_client_does_not_read(wire):
    calls = []

    async def app(scope, receive, send):
        calls.append(scope["path"])
        await respond(send, b"x" * 10_000)

    site = wire(app)
    peer = site.connect(high_water=65536)
    flood = GET * 20_000
    taken = peer.feed_while_reading(flood)
    assert taken < len(flood)
    assert peer.transport.paused
    assert len(calls) * 10_000 < 1_000_000
    answered = len(calls)
    peer.transport.read_all()
    site.settle()
    assert len(calls) > answered
    while peer.transport.paused:
        peer.transport.read_all()
        site.settle()
    assert site.hub.requests == 0
    assert len(calls) == taken // len(GET)


def test_sender_waits_for_a_slow_client(wire):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0)
        for number in range(10):
            await send({"type": "http.response.body", "body": b"x" * 40_000, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body", "body": b""})

    site = wire(app)
    peer = site.connect(high_water=65536).feed(GET)
    for expected in (1, 3, 5, 7, 9):
        assert len(sent) == expected
        peer.transport.read_all()
        site.settle()
    assert len(peer.answers()[0].body) == 400_000


def test_sender_that_never_waits_is_held_up_all_the_same(wire):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body", "body": b""})

    site = wire(app)
    peer = site.connect(high_water=65536).feed(GET)
    assert len(sent) < 400
    while peer.transport.write_paused:
        peer.transport.read_all()
        site.settle()
    assert len(peer.answers()[0].body) == 1_000_000


def test_sender_that_gives_up_waiting_may_try_again(wire):
    seen = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0)
        for number in range(3):
            try:
                async with asyncio.timeout(0.001):
                    await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            except TimeoutError:
                seen.append(number)
        await send({"type": "http.response.body", "body": b""})
        seen.append("end")

    site = wire(app)
    peer = site.connect(high_water=100).feed(GET)
    for _ in range(10_000):
        if len(seen) == 3:
            break
        site.run(asyncio.sleep(0.001))
    assert seen == [0, 1, 2]
    peer.transport.read_all()
    site.settle()
    assert seen == [0, 1, 2, "end"]


def test_sender_is_freed_when_the_client_leaves(wire):
    seen = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        seen.append(await receive())
        seen.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"to nobody"})

    peer = wire(app).connect(high_water=65536).feed(GET)
    assert seen == []
    peer.leave(ConnectionResetError())
    assert seen == [{"type": "http.request", "body": b"", "more_body": False}, "http.disconnect"]


# --- back-pressure of the input ---------------------------------------------------------------------------------------


def test_body_that_nobody_reads_pauses_reading(wire):
    gate, bodies = Gate(), []

    async def app(scope, receive, send):
        await gate()
        bodies.append(await read_body(receive))
        await respond(send)

    site = wire(app)
    peer = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 1000000"))
    body = bytes(range(250)) * 4000
    taken = peer.feed_while_reading(body)
    assert 65536 < taken <= 65536 + 2 * 16384
    gate.open(site)
    assert not peer.transport.paused
    taken += peer.feed_while_reading(body[taken:])
    assert taken == len(body)
    assert bodies == [body]
    assert peer.statuses() == [200]


@pytest.mark.parametrize("size", [65_536, 65_537, 100_000])
def test_answer_without_reading_the_body(wire, size):
    """The rest of the body is let through, and the next request is answered."""
    gate = Gate()

    async def app(scope, receive, send):
        if scope["method"] == "POST":
            await gate()
        await respond(send, scope["method"].encode())

    site = wire(app)
    peer = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 200000"), b"x" * size)
    assert peer.transport.paused is (size > 65536)
    gate.open(site)
    assert not peer.transport.paused
    peer.feed(b"x" * (200_000 - size) + GET)
    assert [answer.body for answer in peer.answers()] == [b"POST", b"GET"]


def test_body_behind_a_slow_request_pauses_reading(wire):
    gate = Gate()

    async def app(scope, receive, send):
        if scope["method"] == "GET":
            await gate()
        await echo(scope, receive, send)

    site = wire(app)
    peer = site.connect().feed(GET + request("POST / HTTP/1.1", "Content-Length: 300000"))
    taken = peer.feed_while_reading(b"x" * 300_000)
    assert 65536 < taken < 100_000
    gate.open(site)
    peer.feed_while_reading(b"x" * (300_000 - taken))
    assert len(peer.answers()[1].body) == 300_000 + len("POST /\n")


def test_requests_behind_a_slow_one_pause_reading(wire):
    gate = Gate()

    async def app(scope, receive, send):
        await gate()
        await respond(send)

    site = wire(app, limit_pipeline=4)
    peer = site.connect()
    taken = peer.feed_while_reading(GET * 100, len(GET))
    assert taken == 5 * len(GET)
    gate.open(site)
    assert not peer.transport.paused
    for _ in range(4):
        gate.open(site)
    assert peer.statuses() == [200] * 5


def test_refused_body_is_read_away_even_when_reading_was_paused(wire):
    gate = Gate()

    async def app(scope, receive, send):
        await gate()
        await respond(send, b"no", 403, [(b"connection", b"close")])

    site = wire(app)
    peer = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 200000"), b"x" * 100_000)
    assert peer.transport.paused
    gate.open(site)
    assert peer.statuses() == [403]
    assert (peer.transport.paused, peer.transport.eof) == (False, True)


# --- clients that leave -----------------------------------------------------------------------------------------------


async def answers_after_the_body(scope, receive, send):
    await read_body(receive)
    await respond(send)


async def awaits(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass
    await respond(send)


async def streams(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["type"] != "http.disconnect":
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})


async def raises_when_left(scope, receive, send):
    await awaits(scope, receive, send)
    raise ValueError


MESSAGES = {
    "nothing": b"",
    "half a head": GET[:-5],
    "a request": GET,
    "half a body": POST + b"12345",
    "half a chunk": request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhe"),
    "a queue": GET + POST + b"1234567890" + GET + POST,
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("app", [answers_after_the_body, awaits, streams, raises_when_left])
@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["closed", "reset"])
def test_client_leaves(wire, app, name, error, caplog):
    site = wire(app)
    peer = site.connect()
    if MESSAGES[name]:
        peer.feed(MESSAGES[name])
    peer.leave(error)
    assert (site.hub.requests, site.hub.connections) == (0, 0)
    assert site.hub.runner.suspended == set()
    assert site.loop.errors == []


@pytest.mark.parametrize("name", MESSAGES)
def test_client_leaves_a_handler_that_waits_for_something_else(wire, name):
    gate, seen = Gate(), []

    async def app(scope, receive, send):
        await gate()
        try:
            await read_body(receive)
        except ConnectionError:
            seen.append("disconnect")
        seen.append((await receive())["type"])
        await respond(send, b"to nobody")
        await respond(send, b"to nobody")

    site = wire(app)
    peer = site.connect()
    if MESSAGES[name]:
        peer.feed(MESSAGES[name])
    peer.leave()
    gate.open(site)
    assert peer.output == b""
    assert site.hub.requests == 0
    assert len(gate.waiting) == (name not in ("nothing", "half a head"))
    assert not gate.waiting or seen[-1] == "http.disconnect"


def test_two_may_wait_for_the_client_to_leave(wire):
    """As a streaming response does while the application asks whether the client is still there."""
    seen = []

    async def app(scope, receive, send):
        await receive()

        async def listen():
            seen.append((await receive())["type"])

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        for _ in range(2):
            try:
                async with asyncio.timeout(0):
                    await receive()
            except TimeoutError:
                seen.append("still there")
        await listener

    site = wire(app)
    peer = site.connect().feed(GET)
    site.run(asyncio.sleep(0.01))
    assert seen == ["still there"] * 2
    peer.leave()
    assert seen == ["still there"] * 2 + ["http.disconnect"]


def test_stream_that_waits_for_nothing_ends_when_the_client_leaves(wire):
    """An endless one would keep the event loop for itself."""
    closed = []

    async def content():
        try:
            for _ in range(1000):  # endless, as far as this test is concerned
                yield b"x" * 1000
            closed.append("exhausted")
        finally:
            closed.append("closed")

    async def app(scope, receive, send):
        await StreamingResponse(content())(scope, receive, send)

    site = wire(app)
    peer = site.connect(high_water=10_000).feed(GET)
    peer.leave()
    gc.collect()
    site.settle()
    assert closed == ["closed"]


def test_generator_is_closed_when_the_client_leaves(wire):
    seen = []

    async def numbers():
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.001)
        finally:
            seen.append("closed")

    async def app(scope, receive, send):
        await StreamingResponse(numbers())(scope, receive, send)

    site = wire(app)
    peer = site.connect().feed(GET)
    site.run(asyncio.sleep(0.01))
    assert peer.output.endswith(b"1\r\nx\r\n")
    peer.leave()
    site.run(asyncio.sleep(0.01))
    gc.collect()
    site.run(asyncio.sleep(0.01))
    assert seen == ["closed"]
    assert site.hub.requests == 0


def test_a_stream_that_never_waits_ends_when_the_client_leaves(wire):
    from turboapi.responses import StreamingResponse

    parts = []

    async def endless():
        while len(parts) < 10_000:  # as good as without end
            parts.append(b"x" * 1000)
            yield parts[-1]

    async def app(scope, receive, send):
        await StreamingResponse(endless())(scope, receive, send)

    site = wire(app)
    peer = site.connect(high_water=65536).feed(GET)
    assert len(parts) < 400
    peer.leave()
    assert len(parts) < 500
    assert site.hub.requests == 0


def test_half_closed_client_gets_what_is_ready(wire):
    peer = wire(echo).connect().feed(GET)
    peer.finish()
    assert peer.statuses() == [200]


# --- time -------------------------------------------------------------------------------------------------------------

TIMES = {"timeout_header": 10.0, "timeout_body": 20.0, "timeout_keep_alive": 5.0}


@pytest.mark.parametrize(
    ("parts", "patience", "statuses"),
    [
        ([], 10, []),
        ([b"G"], 10, [408]),
        ([GET[:-2]], 10, [408]),
        ([GET], 5, [200]),
        ([GET + b"G"], 10, [200, 408]),
        ([GET, b"G"], 10, [200, 408]),
        ([GET + GET[:-2]], 10, [200, 408]),
        ([POST], 20, [408]),
        ([POST, b"12345"], 20, [408]),
        ([request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhe")], 20, [408]),
        ([request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n")], 20, [408]),
        ([request("POST / HTTP/1.1", "Content-Length: 1", "Expect: 100-continue")], 20, [408]),
    ],
)
def test_late_clients(wire, parts, patience, statuses):
    """RFC 9110 section 15.5.9; silence between requests needs no words."""
    site = wire(echo, **TIMES)
    peer = site.connect().feed(*parts)
    site.pass_time(patience - 1)
    assert peer.open
    site.pass_time(4)
    assert peer.statuses() == statuses
    assert not peer.open
    site.pass_time(5)
    assert peer.transport.closing
    assert site.hub.requests == 0


@pytest.mark.parametrize("early", [False, True], ids=["last answer", "answer before the body"])
def test_a_slow_client_gets_the_whole_of_the_last_answer(wire, early):
    async def app(scope, receive, send):
        await respond(send, b"x" * 100_000)

    site = wire(app, **TIMES)
    start = "POST / HTTP/1.1" if early else "GET / HTTP/1.1"
    message = request(start, "Connection: close", *(["Content-Length: 10"] if early else []))
    peer = site.connect(high_water=1000).feed(message)
    site.pass_time(50)
    assert not peer.transport.aborted
    peer.transport.read_all()
    assert len(peer.answers()[0].body) == 100_000
    site.pass_time(5)
    assert site.hub.connections == 0


def test_no_timeouts(wire):
    site = wire(echo, timeout_header=0, timeout_body=0, timeout_keep_alive=0, timeout_write=0)
    peers = [site.connect(), site.connect().feed(b"G"), site.connect().feed(GET), site.connect().feed(POST)]
    site.pass_time(200)
    assert all(peer.open for peer in peers)


def test_dripping_head_is_late_all_the_same(wire):
    site = wire(echo, **TIMES)
    peer = site.connect().feed(GET[:-2])
    for _ in range(12):
        peer.feed(b"x: 1\r\n")
        site.pass_time(0)
    assert peer.statuses() == [408]


def test_body_that_goes_on_is_not_late(wire):
    site = wire(echo, **TIMES)
    peer = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 6"))
    for _ in range(5):
        site.pass_time(15)
        peer.feed(b"x")
    assert peer.open
    assert peer.feed(b"x").statuses() == [200]


def test_slow_handler_is_not_the_clients_fault(wire):
    gate = Gate()

    async def app(scope, receive, send):
        await gate()
        await respond(send)

    site = wire(app, **TIMES)
    peer = site.connect().feed(GET)
    expecting = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 1", "Expect: 100-continue"))
    full = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 200000"), b"x" * 100_000)
    site.pass_time(100)
    assert peer.open and expecting.open and full.open
    gate.open(site)
    assert peer.statuses() == [200]
    assert expecting.statuses() == [200]
    site.pass_time(7)
    assert not peer.open


def test_half_head_behind_a_slow_handler_has_its_time_afterwards(wire):
    gate = Gate()

    async def app(scope, receive, send):
        await gate()
        await respond(send)

    for parts in ([GET + b"G"], [GET, b"G"]):
        site = wire(app, **TIMES)
        peer = site.connect().feed(*parts)
        site.pass_time(30)
        gate.open(site)
        assert peer.open
        site.pass_time(13)
        assert peer.statuses() == [200, 408]


def test_body_that_stalls_is_an_exception_of_receive(wire):
    """Also when it was the handler that let the client wait at first."""
    gate, seen = Gate(), []

    async def app(scope, receive, send):
        await gate()
        try:
            await read_body(receive)
        except Exception as exc:
            seen.append(exc.status_code)
            raise

    site = wire(app, **TIMES)
    peer = site.connect().feed(request("POST / HTTP/1.1", "Content-Length: 200000"), b"x" * 100_000)
    site.pass_time(50)
    gate.open(site)
    site.pass_time(19)
    assert peer.open
    site.pass_time(4)
    assert seen == [408]
    assert peer.statuses() == [408]
    assert not peer.open


def test_body_that_stalls_behind_a_slow_request(wire):
    gate = Gate()

    async def app(scope, receive, send):
        await gate()
        await respond(send)

    site = wire(app, **TIMES)
    peer = site.connect().feed(GET + POST)
    site.pass_time(30)
    assert peer.output == b""
    gate.open(site)
    assert peer.statuses() == [200, 408]
    assert site.hub.requests == 0


def test_body_that_stalls_after_the_answer(wire):
    async def app(scope, receive, send):
        await respond(send)

    site = wire(app, **TIMES)
    peer = site.connect().feed(POST)
    site.pass_time(25)
    assert peer.statuses() == [200]
    assert not peer.open


def test_sweep_repeats_until_it_is_stopped(wire):
    site = wire(echo, timeout_header=0.01)
    peer = site.connect()
    site.loop.call_soon(site.hub.start)
    site.run(asyncio.sleep(0.01))
    site.loop.offset += 5
    site.hub.stop()
    site.hub.stop()
    assert peer.open
    site.loop.call_soon(site.hub.start)
    site.run(asyncio.sleep(0.01))
    assert not peer.open
    site.hub.stop()


# --- the end of the server --------------------------------------------------------------------------------------------


def test_drain(wire):
    gate = Gate()

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await gate()
        await respond(send)

    site = wire(app)
    slow = site.connect().feed(request("GET /slow HTTP/1.1") + GET)
    half = site.connect().feed(GET[:-2])
    idle = site.connect().feed(GET)
    new = site.connect()
    site.call(site.hub.drain)
    site.call(site.hub.close_idle)
    assert [peer.open for peer in (slow, half, idle, new)] == [True, True, False, False]
    half.feed(GET[-2:])
    gate.open(site)
    for peer in (slow, half):
        assert [answer.header("connection") for answer in peer.answers()] == ["close"]
        assert not peer.open
    assert site.hub.requests == 0
    late = site.connect().feed(GET)
    assert [answer.header("connection") for answer in late.answers()] == ["close"]
    assert not late.open


def test_drain_during_a_stream(wire):
    gate = Gate()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await gate()
        await send({"type": "http.response.body", "body": b"2"})

    site = wire(app)
    peer = site.connect().feed(GET)
    site.call(site.hub.drain)
    site.call(site.hub.close_idle)
    assert peer.open
    gate.open(site)
    assert peer.answers()[0].body == b"12"
    assert not peer.open


def test_abort(wire):
    seen = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    site = wire(app)
    peers = [site.connect(), site.connect().feed(GET * 2), site.connect().feed(GET[:9])]
    site.call(site.hub.abort)
    site.settle()
    assert all(peer.transport.aborted for peer in peers)
    assert seen == ["cleaned up"]
    assert (site.hub.requests, site.hub.connections) == (0, 0)


def test_handler_that_is_cancelled_cuts_the_connection(wire):
    async def app(scope, receive, send):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    peer = wire(app).connect().feed(GET * 2)
    assert (peer.output, peer.transport.aborted) == (b"", True)


# --- nothing is kept alive --------------------------------------------------------------------------------------------


class Sentinel:
    pass


async def at_once(scope, receive, send):
    await respond(send)


async def after_a_turn(scope, receive, send):
    await asyncio.sleep(0)
    await respond(send)


async def fails(scope, receive, send):
    raise ValueError


async def with_a_request(scope, receive, send):
    from turboapi.requests import Request

    request = Request(scope, receive, send)
    await request.body()
    assert not await request.is_disconnected()
    await respond(send)


@pytest.mark.parametrize("kind", [at_once, after_a_turn, fails, streams, with_a_request, awaits])
@pytest.mark.parametrize("message", [GET, POST + b"1234567890", GET * 3, GET + b"BAD\r\n\r\n", POST], ids=range(5))
def test_nothing_keeps_a_finished_connection_alive(monkeypatch, kind, message):
    """Without the collector: the sentinels are held by the scope, the coroutine and the transport."""
    monkeypatch.setattr(logger, "disabled", True)  # pytest keeps log records, and with them the traceback
    dead = []

    async def app(scope, receive, send):
        sentinel = scope["sentinel"] = Sentinel()
        dead.append(weakref.ref(sentinel))
        await kind(scope, receive, send)

    site = Wire(app)
    gc.collect()
    gc.disable()
    try:
        peer = site.connect().feed(message)
        peer.transport.sentinel = Sentinel()
        dead.append(weakref.ref(peer.transport.sentinel))
        peer.leave()
        site.peers.clear()
        del peer
        site.settle(40)
        alive = [ref() for ref in dead if ref() is not None]
        assert not alive
    finally:
        gc.enable()
        site.close()


def test_finished_requests_leave_nothing_on_an_open_connection():
    dead = []

    async def app(scope, receive, send):
        sentinel = scope["sentinel"] = Sentinel()
        dead.append(weakref.ref(sentinel))
        await echo(scope, receive, send)

    site = Wire(app)
    gc.collect()
    gc.disable()
    try:
        peer = site.connect()
        chunks = request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunked(b"x"))
        peer.feed(GET, POST + b"1234567890", chunks, GET * 3)
        assert len(dead) == 6
        assert [ref() for ref in dead] == [None] * 6
    finally:
        gc.enable()
        site.close()


# --- too many connections ---------------------------------------------------------------------------------------------


def test_a_connection_too_many_is_told_to_come_back(wire):
    server = wire(echo, limit_concurrency=2)
    first, second = server.connect(), server.connect()
    for message in (request(), request("POST / HTTP/1.1", "Content-Length: 4", body=b"body")):
        surplus = server.connect().feed(message + request())
        [answer] = surplus.answers()
        assert (answer.status, answer.header("retry-after"), answer.keep_alive) == (503, "1", False)
        assert answer.body == b"Service Unavailable"
        surplus.leave()
    for peer in (first, second):
        assert peer.feed(request()).feed(request()).statuses() == [200, 200]
    first.leave()
    assert server.answer(request())[0].status == 200


def test_a_connection_too_many_that_asks_for_nothing_is_timed_out_like_any_other(wire):
    server = wire(echo, limit_concurrency=1, timeout_header=5)
    server.connect()
    surplus = server.connect()
    assert surplus.output == b""
    server.pass_time(7)
    assert not surplus.open
