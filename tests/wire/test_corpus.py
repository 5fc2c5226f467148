"""The corpus of malformed requests, each whole, byte by byte, cut at one place, and behind good requests.

No request is answered twice, none reaches the application that must not, and the server goes on after each.
"""

import contextlib
import random
import socket
import zlib
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conftest import PATIENCE, _served
from tests.wire.corpus import CHUNKED, FRAMES, HANDSHAKES, LIMIT, REQUESTS, UPGRADE, Case
from tests.wire.frames import CLOSE, parse_frames
from tests.wire.harness import Peer, Wire, parse_answers, read_body, request, respond
from tests.wire.test_refusals import MALFORMED

GOOD = request("GET /good HTTP/1.1")
PIECES = 400  # of what is delivered "byte by byte", at most


class App:
    """Echoes bodies and WebSocket messages; counts the requests that are answered, and the handshakes."""

    def __init__(self) -> None:
        self.answered = 0
        self.accepted = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            body = await read_body(receive)
            self.answered += 1
            await respond(send, body)
            return
        await receive()
        await send({"type": "websocket.accept"})
        self.accepted += 1
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})


def deliveries(name: str, data: bytes) -> Iterator[tuple[bytes, ...]]:
    """`data` whole, byte by byte (a long one in some hundred pieces), and cut at a place that depends on the name."""
    yield (data,)
    size = -(-len(data) // PIECES)
    yield tuple(data[at : at + size] for at in range(0, len(data), size))
    at = random.Random(zlib.crc32(name.encode())).randrange(1, len(data))
    yield data[:at], data[at:]


def feed(peer: Peer, parts: tuple[bytes, ...]) -> Peer:
    """Deliver each part as a read of its own; many of them in one turn of the loop, which takes a tenth of the time."""

    def read() -> None:
        for part in parts:
            if not peer.transport.closing:
                peer.protocol.data_received(part)

    if len(parts) > 2:
        peer.wire.call(read)
        return peer
    return peer.feed(*parts)


UNFINISHED = {
    "a line of HTTP/0.9": b"GET /\n",
    "a method": b"GET",
    "a target": b"GET /",
    "a version": b"GET / HTTP/1.1",
    "a CR": b"GET / HTTP/1.1\r",
    "a header name": b"GET / HTTP/1.1\r\nHost",
    "a header value": b"GET / HTTP/1.1\r\nHost: te",
    "no empty line": b"GET / HTTP/1.1\r\nHost: test\r\n",
    "half an empty line": b"GET / HTTP/1.1\r\nHost: test\r\n\r",
    "a refusal that is not due": b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Type: a\r\n",
    "half a body": request("POST / HTTP/1.1", "Content-Length: 5", body=b"he"),
    "half a chunk size": request("POST / HTTP/1.1", CHUNKED, body=b"5"),
    "half a chunk extension": request("POST / HTTP/1.1", CHUNKED, body=b"5;a"),
    "half a chunk": request("POST / HTTP/1.1", CHUNKED, body=b"5\r\nhel"),
    "no end of a chunk": request("POST / HTTP/1.1", CHUNKED, body=b"5\r\nhello"),
    "no last chunk": request("POST / HTTP/1.1", CHUNKED, body=b"5\r\nhello\r\n"),
    "half a last chunk": request("POST / HTTP/1.1", CHUNKED, body=b"5\r\nhello\r\n0\r\n"),
    "half a trailer": request("POST / HTTP/1.1", CHUNKED, body=b"0\r\nX: 1"),
    "no end of the trailers": request("POST / HTTP/1.1", CHUNKED, body=b"0\r\nX: 1\r\n"),
    "half a handshake": request("GET / HTTP/1.1", *UPGRADE)[:-40],
    "a handshake without its end": request("GET / HTTP/1.1", *UPGRADE)[:-2],
}


def by_name(cases):
    return {case.name: case for case in cases}


REQUESTS_BY_NAME, HANDSHAKES_BY_NAME, FRAMES_BY_NAME = by_name(REQUESTS), by_name(HANDSHAKES), by_name(FRAMES)


def test_the_corpus_is_large_and_every_case_another_one():
    assert len(REQUESTS) + len(HANDSHAKES) + len(FRAMES) >= 400
    for cases in (REQUESTS, HANDSHAKES, FRAMES):
        counted = Counter(case.name for case in cases) + Counter(case.data for case in cases)
        assert [each for each, count in counted.items() if count > 1] == []
    assert {case.name for case in REQUESTS if case.data in MALFORMED.values()} == set()


def outcomes(case: Case) -> list[tuple[tuple[int, ...], bool]]:
    """The statuses that may be seen, and whether the connection is closed behind them."""
    others = [case.statuses[:-1] + (status,) for status in case.either]
    return [(case.statuses, case.closed), *((each, each[-1] != 200) for each in others)]


def check(wire: Wire, case: Case, app: App, before: int = 0) -> None:
    """Ask behind `before` good requests, in every delivery; the answers are always the same."""
    seen = set()
    for parts in deliveries(case.name, case.data):
        app.answered = 0
        peer = feed(wire.connect().feed(*[GOOD] * before), parts)
        answers = peer.answers(*["GET"] * before, *["HEAD"] * case.data.startswith(b"HEAD"))
        assert b"HTTP/1.1 1" not in peer.output
        statuses = tuple(answer.status for answer in answers)
        assert statuses[:before] == (200,) * before
        last = statuses[before:]
        assert last, f"no answer to {parts}"
        closed = dict(outcomes(case)).get(last)
        assert closed is not None, (last, parts)
        assert app.answered == statuses.count(200)
        assert peer.open is not closed
        assert answers[-1].keep_alive is not closed
        seen.add(statuses)
        assert len(peer.feed(GOOD).output.split(b"HTTP/1.1 200 OK")) - 1 == statuses.count(200) + (not closed)
    assert len(seen) == 1
    assert wire.hub.requests == 0
    assert wire.answer(GOOD)[0].status == 200, "the server goes on"


@pytest.mark.parametrize("name", REQUESTS_BY_NAME)
def test_requests(wire, name):
    check(wire(app := App(), date_header=False), REQUESTS_BY_NAME[name], app)


@pytest.mark.parametrize("name", REQUESTS_BY_NAME)
def test_requests_behind_good_ones(wire, name):
    check(wire(app := App(), date_header=False), REQUESTS_BY_NAME[name], app, before=2)


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("name", HANDSHAKES_BY_NAME)
def test_handshakes(wire, name, before):
    check(wire(app := App(), websockets={}), HANDSHAKES_BY_NAME[name], app, before)
    assert app.accepted == 0


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("name", UNFINISHED)
def test_what_is_not_finished_is_told_so_in_time(wire, name, before):
    """RFC 9110, section 15.5.9."""
    site = wire(app := App(), websockets={}, timeout_header=5, timeout_body=5)
    for parts in deliveries(name, UNFINISHED[name]):
        peer = feed(site.connect().feed(*[GOOD] * before), parts)
        assert (peer.statuses(), peer.open) == ([200] * before, True)
        site.pass_time(10)
        assert (peer.statuses(), peer.open) == ([200] * before + [408], False)
        assert peer.feed(GOOD).output.count(b"HTTP/1.1 ") == before + 1
    assert (site.hub.requests, app.answered, app.accepted) == (0, 3 * before, 0)


def test_a_refusal_of_head_has_no_content(wire):
    """RFC 9110, section 9.3.2: what follows the head would be read as the next answer."""
    refused = [
        request("HEAD / HTTP/1.1", host=False),
        request("HEAD / HTTP/1.1", "X-Name : 1"),
        request("HEAD /" + "a" * 200 + " HTTP/1.1"),
        request("HEAD / HTTP/1.1", "Content-Length: 10000"),
        request("HEAD / HTTP/1.1", "Transfer-Encoding: x, chunked"),
    ]
    site = wire(App(), limit_body=100, limit_request_line=100)
    for message in refused:
        head, _, content = site.connect().feed(message).output.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 4") or head.startswith(b"HTTP/1.1 501")
        assert content == b""
        assert site.connect().feed(message.replace(b"HEAD", b"GET")).output.partition(b"\r\n\r\n")[2] != b""


def test_trailers_that_speak_of_the_connection_are_too_late_for_an_answer_that_has_left(wire):
    async def app(scope, receive, send):
        await respond(send, b"early")

    message = request("POST / HTTP/1.1", CHUNKED, body=b"5\r\nhello\r\n")
    peer = wire(app).connect().feed(message, b"0\r\nConnection: close\r\n\r\n", GOOD)
    assert peer.statuses() == [200, 400]
    assert not peer.open


@pytest.fixture(scope="module")
def served():
    with _served(App(), lifespan="off", log_level="critical") as each:
        yield each


def receive_all(connection: socket.socket) -> bytes:
    """What a server sends until it closes; who still writes to it then is told by a reset, behind the answers."""
    received = []
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received.append(data)
    return b"".join(received)


# Every eleventh case, so that each family is there.
@pytest.mark.parametrize("name", [case.name for case in REQUESTS[::11]])
def test_requests_over_a_socket(served, name):
    case = REQUESTS_BY_NAME[name]
    last = request("GET /last HTTP/1.1", "Connection: close")
    for parts in deliveries(name, case.data):
        with socket.create_connection((served.host, served.port), PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):  # refused meanwhile
                for part in (GOOD, *parts, last):
                    connection.sendall(part)
            received = receive_all(connection)
        methods = ["GET", *["HEAD"] * case.data.startswith(b"HEAD")]
        statuses = tuple(answer.status for answer in parse_answers(received, methods))
        assert statuses in [(200, *each, *[200] * (not closed)) for each, closed in outcomes(case)]


@pytest.mark.parametrize("name", FRAMES_BY_NAME)
def test_frames(wire, name):
    case = FRAMES_BY_NAME[name]
    site = wire(App(), websockets={"ws_max_size": LIMIT})
    seen = set()
    for parts in deliveries(name, case.data):
        peer = site.connect().feed(request("GET / HTTP/1.1", *UPGRADE))
        peer.transport.writes.clear()
        feed(peer, parts)
        found = parse_frames(peer.output)
        codes = [each.close_code for each in found if each.opcode == CLOSE]
        assert codes == ([] if case.code is None else [case.code])
        assert (case.code is None) or found[-1].opcode == CLOSE
        assert [each.opcode for each in found].count(CLOSE) <= 1
        seen.add(found[-1] if found else None)
    assert len(seen) == 1
    assert site.answer(GOOD)[0].status == 200, "the server goes on"
