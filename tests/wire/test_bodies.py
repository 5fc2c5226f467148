"""Large bodies of a known length, which are read past the parser: where they end, and what may happen before."""

import asyncio
from contextvars import ContextVar

import pytest

from tests.speedups.test_protocol import talk
from tests.wire.harness import chunked, echo, parse_answers, read_body, request, respond

PARSED = 65536  # as much of a body as the parser may get
READ = 256_000  # as much as is read at once
GET = request("GET /next HTTP/1.1")
BODY = bytes(range(250)) * 4000


def post(size, *headers):
    return request("POST / HTTP/1.1", f"Content-Length: {size}", *headers)


def is_read_past_the_parser(peer):
    return hasattr(peer.protocol, "get_buffer")


@pytest.mark.parametrize("size", [PARSED, PARSED + 1, READ - 1, READ, READ + 1, 3 * READ, 1_000_000])
@pytest.mark.parametrize("first", [0, 1, 1000])
def test_body_and_what_follows_it(wire, size, first):
    """However it is cut, it ends where its length says."""
    body = BODY[:size]
    peer = wire(echo).connect().feed(post(size) + body[:first])
    assert is_read_past_the_parser(peer) is (size - first > PARSED)
    peer.feed(body[first:] + GET + post(3) + b"abc")
    assert not is_read_past_the_parser(peer)
    assert [answer.body for answer in peer.answers()] == [b"POST /\n" + body, b"GET /next\n", b"POST /\nabc"]


@pytest.mark.parametrize("cut", [1, 99_999, 100_000])
def test_body_in_two_reads(wire, cut):
    body = BODY[:100_000]
    peer = wire(echo).connect().feed(post(len(body)), body[:cut], body[cut:] + GET[:5], GET[5:])
    assert [answer.body for answer in peer.answers()] == [b"POST /\n" + body, b"GET /next\n"]


def test_body_behind_another_request(wire):
    peer = wire(echo).connect().feed(GET + post(100_000), BODY[:100_000] + post(100_000) + BODY[:100_000] + GET)
    bodies = [b"GET /next\n", b"POST /\n" + BODY[:100_000]]
    assert [answer.body for answer in peer.answers()] == [*bodies, bodies[1], bodies[0]]


@pytest.mark.parametrize("kind", ["chunked", "encrypted"])
def test_bodies_that_are_always_parsed(wire, kind):
    """Chunks have to be taken apart, and a TLS transport is not known to read no further than it is told."""
    encrypted = kind == "encrypted"
    peer = wire(echo).connect(**({"sslcontext": object()} if encrypted else {}))
    message = post(len(BODY)) + BODY if encrypted else request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    peer.feed(message[:200])
    assert not is_read_past_the_parser(peer)
    peer.feed(message[200:] if encrypted else chunked(BODY))
    assert peer.answers()[0].body == b"POST /\n" + BODY


def test_body_of_a_request_for_another_protocol(wire):
    peer = wire(echo).connect().feed(post(len(BODY), "Connection: upgrade", "Upgrade: irc") + b"x", BODY[1:] + GET)
    assert [answer.status for answer in peer.answers()] == [200, 200]
    assert peer.answers()[0].body == b"POST /\nx" + BODY[1:]


def test_last_request_of_a_connection(wire):
    peer = wire(echo).connect().feed(post(len(BODY), "Connection: close"), BODY + GET)
    [answer] = peer.answers()
    assert answer.body == b"POST /\n" + BODY
    assert not peer.open


def test_application_takes_the_parts_as_they_are_read(wire):
    """Without a turn of the loop for each, but others have theirs."""
    parts, taken = [], []

    async def app(scope, receive, send):
        while (message := await receive())["more_body"]:
            parts.append(message["body"])
        await respond(send)

    site = wire(app)
    peer = site.connect().feed(post(100 * len(BODY)))

    def read_on():
        for _ in range(100):
            if peer.transport.paused:
                break
            with memoryview(peer.protocol.get_buffer(-1)) as room:
                room[:] = bytes(len(room))
                size = len(room)
            peer.protocol.buffer_updated(size)
            taken.append(len(parts))

    site.loop.call_soon(read_on)
    site.settle()
    assert taken[0] == 1
    assert 1 < len(taken) < 10
    assert taken[-1] == taken[-2]
    assert len(parts) == len(taken)
    assert not peer.transport.paused
    assert b"".join(parts) == bytes(READ * len(parts))
    peer.leave()


def test_part_that_nobody_reads_is_not_overwritten(wire):
    """Each is the application's own, whichever connection reads next."""
    kept = []

    async def app(scope, receive, send):
        while (message := await receive())["more_body"]:
            kept.append(message["body"])
        await respond(send)

    site = wire(app)
    peers = [site.connect().feed(post(3 * READ)) for _ in range(2)]
    for turn in range(2):
        for number, peer in enumerate(peers):
            size = READ if turn else 1000
            peer.feed(bytes([turn * 2 + number]) * size)
    assert kept == [b"\0" * 1000, b"\1" * 1000, b"\2" * READ, b"\3" * READ]


@pytest.mark.parametrize("read", [0, 1000, READ, 2 * READ])
@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["closed", "reset"])
def test_client_leaves_in_the_middle(wire, read, error):
    seen = []

    async def app(scope, receive, send):
        try:
            await read_body(receive)
        except ConnectionError:
            seen.append((await receive())["type"])

    site = wire(app)
    site.connect().feed(post(len(BODY)), BODY[:read]).leave(error)
    assert seen == ["http.disconnect"]
    assert (site.hub.requests, site.hub.connections) == (0, 0)


def test_client_has_no_more_to_send_in_the_middle(wire):
    site = wire(echo)
    peer = site.connect().feed(post(len(BODY)), BODY[:1000])
    peer.finish()
    assert peer.output == b""


@pytest.mark.parametrize("read", [0, 1000, READ + 1000])
def test_client_is_late_in_the_middle(wire, read):
    site = wire(echo, timeout_body=20.0)
    peer = site.connect().feed(post(len(BODY)), BODY[:read])
    site.pass_time(23)
    assert peer.statuses() == [408]
    peer.feed(BODY[read:], GET)
    assert peer.statuses() == [408]
    assert not peer.open


@pytest.mark.parametrize("keep", [True, False])
def test_application_answers_in_the_middle(wire, keep):
    async def app(scope, receive, send):
        if scope["method"] == "POST":
            await receive()
        await respond(send, scope["method"].encode(), headers=[] if keep else [(b"connection", b"close")])

    peer = wire(app).connect().feed(post(len(BODY)), BODY[:300_000], BODY[300_000:] + GET)
    assert [answer.body for answer in peer.answers()] == [b"POST", b"GET"][: 1 + keep]


def test_application_fails_in_the_middle(wire, caplog):
    async def app(scope, receive, send):
        await receive()
        raise ValueError

    peer = wire(app).connect().feed(post(len(BODY)), BODY[:300_000], BODY[300_000:] + GET)
    assert peer.statuses()[0] == 500


def test_application_gives_up_waiting_and_tries_again(wire):
    seen = []

    async def app(scope, receive, send):
        try:
            async with asyncio.timeout(0):
                await receive()
        except TimeoutError:
            seen.append("nothing yet")
        await respond(send, await read_body(receive))

    site = wire(app)
    peer = site.connect().feed(post(len(BODY)))
    site.run(asyncio.sleep(0.01))
    assert seen == ["nothing yet"]
    assert peer.feed(BODY).answers()[0].body == BODY


def test_context_variables_are_those_of_the_task(wire):
    variable = ContextVar("variable", default="none")
    seen = []

    async def app(scope, receive, send):
        variable.set(scope["path"])
        while (await receive())["more_body"]:
            seen.append((variable.get(), asyncio.current_task() is not None))
        await respond(send)

    site = wire(app)
    peer = site.connect().feed(request("POST /mine HTTP/1.1", f"Content-Length: {len(BODY)}"), BODY)
    assert peer.statuses() == [200]
    assert set(seen) == {("/mine", True)}


@pytest.mark.parametrize("pause", [False, True])
def test_on_a_socket(pause):
    """With requests before and behind it, whether the application is quicker than the client or slower."""
    body = BODY * 5

    async def app(scope, receive, send):
        parts = []
        while True:
            message = await receive()
            parts.append(message["body"])
            if pause:
                await asyncio.sleep(0.001)
            if not message["more_body"]:
                break
        await respond(send, b"".join(parts))

    async def script(reader, writer, hub):
        message = post(len(body)) + body + GET
        writer.write(GET + message * 3 + request("GET / HTTP/1.1", "Connection: close"))
        return await reader.read(-1)

    answers = parse_answers(talk(app, script))
    assert [answer.body for answer in answers] == [b"", *[body, b""] * 3, b""]
