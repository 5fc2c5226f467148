"""What holds for any bytes on a connection, however they are cut: the invariants of the server's own protocol.

* No exception leaves the protocol, and none is reported to the loop.
* What is written is HTTP, and behind a WebSocket handshake whole frames.
* Each request is answered once, in order: the access log has all answers but, at most, the last one, and after that one
  the connection is closed.
* The same bytes are answered alike, whole or in pieces. In a WebSocket pongs and the application's messages may change
  places, and what the application has to say is lost when a close comes before it (RFC 6455, section 7.1.7).
* When the client has left, nothing is left behind, and the next one is answered.
"""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from tests.wire.frames import BINARY, CLOSE, PONG, TEXT, Frame, parse_frames
from tests.wire.harness import Transport, Wire, parse_answers, read_body, request, respond
from turboapi import Cookie, Depends, File, Form, Header, HTTPException, Request, TurboAPI, UploadFile, WebSocket
from turboapi._speedups.access import AccessLog
from turboapi.responses import StreamingResponse

GOOD = request("GET /good HTTP/1.1")
# What the server may answer itself, and then closes the connection.
REFUSALS = {400, 403, 408, 413, 414, 426, 431, 501, 503, 505}
LIMITS: dict[str, Any] = {
    "limit_body": 5000,
    "limit_header_size": 2000,
    "limit_header_count": 20,
    "limit_request_line": 500,
}
PIECES = 400  # of what is delivered "byte by byte", at most
FEW = 10  # parts that are delivered in turns of their own
TURNS = 5  # of the loop between two parts, and four times as many until an answer is there
PATIENCE = 1000  # turns; an application that has not ended then never will


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with the body, and WebSocket messages with themselves."""
    if scope["type"] == "http":
        await respond(send, await read_body(receive))
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def application() -> TurboAPI:
    """Return an application with something for each part of the compiled core; none of it waits or uses threads."""
    app = TurboAPI()

    class Item(BaseModel):
        name: str
        price: float = 1.0
        tags: list[str] = []

    async def paging(skip: int = 0, limit: int = 10) -> tuple[int, int]:
        return skip, limit

    async def borrowed() -> AsyncIterator[int]:
        yield 5

    @app.get("/good")
    async def good() -> str:
        return "good"

    @app.get("/items/{number}")
    async def item(number: int, q: str | None = None, page: tuple[int, int] = Depends(paging)) -> dict[str, Any]:
        return {"number": number, "q": q, "page": page}

    @app.get("/floats/{value}/{rest:path}")
    async def rest(value: float, rest: str) -> str:
        return rest

    @app.get("/given")
    async def given(flags: bool = True, x_token: str = Header(""), a: str = Cookie("")) -> list[Any]:
        return [flags, x_token, a]

    @app.post("/items")
    async def post(item: Item) -> Item:
        return item

    @app.post("/form")
    async def form(name: str = Form(), age: int = Form(0)) -> dict[str, Any]:
        return {"name": name, "age": age}

    @app.post("/upload")
    async def upload(file: UploadFile, data: bytes = File(b"")) -> dict[str, Any]:
        return {"size": len(await file.read()), "data": len(data)}

    @app.put("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.api_route("/stream", methods=["GET", "HEAD", "POST"])
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(parts())

    @app.get("/borrowed")
    async def borrow(number: int = Depends(borrowed)) -> int:
        return number

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(403, "no", {"x-why": "because"})

    @app.websocket("/")
    async def socket(websocket: WebSocket) -> None:
        await echo(websocket.scope, websocket.receive, websocket.send)

    return app


class Heard(NamedTuple):
    """What a client has heard, what is in the access log about it, and whether its connection is open."""

    output: bytes
    logged: list[tuple[str, int]]
    is_open: bool


class Outcome(NamedTuple):
    """The answers as (status, body), the frames behind a 101, and whether the connection is open."""

    answers: list[tuple[int, bytes]]
    frames: list[Frame]
    is_open: bool


class Connections:
    """Connections to one application, one after the other.

    An application that `reads_bodies` before it answers has to answer the same bytes alike in any pieces. With any
    other it depends on the pieces whether the answer or a mistake in the body comes first.
    """

    def __init__(self, app: Any, reads_bodies: bool) -> None:
        self.reads_bodies = reads_bodies
        self.access_log = AccessLog(lambda: None)
        self.wire = Wire(app, websockets={"ws_max_size": 300}, date_header=False, access_log=self.access_log, **LIMITS)
        self.greeting = self.wire.run(self._deliver((GOOD,)))
        assert [status for status, _ in outcome(self.greeting).answers] == [200]

    def check(self, *deliveries: tuple[bytes, ...]) -> None:
        """Deliver the same bytes in several ways; AssertionError when something does not hold."""
        first, *others = self.wire.run(self._deliver_all(deliveries))
        seen = outcome(first)
        for other in others:
            if other != first:
                assert self._are_alike(seen, outcome(other)), (first, other)

    async def _deliver_all(self, deliveries: Iterable[tuple[bytes, ...]]) -> list[Heard]:
        heard = [await self._deliver(parts) for parts in deliveries]
        assert await self._deliver((GOOD,)) == self.greeting, "the server does not go on"
        return heard

    async def _deliver(self, parts: tuple[bytes, ...]) -> Heard:
        """What one client hears that sends each part as a read of its own, and then leaves.

        The protocol is called by the loop, as a transport does: outside of any task.
        """
        loop = self.wire.loop
        self.access_log.take()
        transport = Transport(loop, self.wire.hub.protocol(), {"peername": ("1.2.3.4", 5)}, None)
        loop.call_soon(transport.protocol.connection_made, transport)
        for part in parts:
            loop.call_soon(self._read, transport, part)
            if len(parts) < FEW:
                await self._turn(TURNS)
        await self._turn(4 * TURNS)
        logged = [(method, status) for _, method, _, _, status, *_ in self.access_log.take()]
        heard = Heard(b"".join(transport.writes), logged, not (transport.closing or transport.eof))
        transport.lose(None)
        await self._empty()
        return heard

    def _read(self, transport: Transport, part: bytes) -> None:
        if not transport.closing:
            transport.protocol.data_received(part)

    async def _turn(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def _empty(self) -> None:
        """Wait until all is as it was before."""
        hub = self.wire.hub
        for _ in range(PATIENCE):
            if not (hub.requests or hub.connections or hub.tasks):
                break
            await asyncio.sleep(0)
        assert (hub.requests, hub.connections, hub.tasks) == (0, 0, 0)
        assert self.wire.loop.errors == []

    def _are_alike(self, one: Outcome, other: Outcome) -> bool:
        if not frames_are_alike(one.frames, other.frames):
            return False
        are_equal = (one.answers, one.is_open) == (other.answers, other.is_open)
        if self.reads_bodies or are_equal:
            return are_equal
        shorter, longer = sorted((without_refusal(one), without_refusal(other)), key=len)
        return longer[: len(shorter)] == shorter and not (one.is_open and other.is_open)


def frames_are_alike(one: list[Frame], other: list[Frame]) -> bool:
    """Whether both may be said to the same bytes."""
    closes = [[frame for frame in frames if frame.opcode == CLOSE] for frames in (one, other)]
    if closes[0] != closes[1]:
        return False
    for opcodes in ((PONG,), (TEXT, BINARY)):
        said = [[frame for frame in frames if frame.opcode in opcodes] for frames in (one, other)]
        shorter, longer = sorted(said, key=len)
        if longer != shorter and not (closes[0] and longer[: len(shorter)] == shorter):
            return False
    return True


def outcome(heard: Heard) -> Outcome:
    """Read what has been heard; AssertionError if it is not what a server may say, or not what is in the log."""
    answers = parse_answers(heard.output, [method for method, _ in heard.logged])
    statuses = [answer.status for answer in answers]
    own = statuses[len(heard.logged) :]
    assert statuses[: len(heard.logged)] == [status for _, status in heard.logged], heard
    assert 500 not in statuses, heard
    assert all(answer.keep_alive for answer in answers[:-1]), heard
    if own and own != [101]:
        assert len(own) == 1 and own[0] in REFUSALS, heard
        assert not (heard.is_open or answers[-1].keep_alive), heard
    frames = whole_frames(answers[-1].body) if own == [101] else []
    seen = [(answer.status, b"" if answer.status in (101, *REFUSALS) else answer.body) for answer in answers]
    return Outcome(seen, frames, heard.is_open)


def whole_frames(data: bytes) -> list[Frame]:
    """The frames that a server has sent: whole messages, and nothing behind a close."""
    frames = parse_frames(data)
    assert sum(len(frame.payload) + (2 if len(frame.payload) < 126 else 4) for frame in frames) == len(data), data
    assert all(frame.fin for frame in frames), frames
    assert all(frame.opcode != CLOSE for frame in frames[:-1]), frames
    return frames


def without_refusal(outcome: Outcome) -> list[tuple[int, bytes]]:
    """The answers up to one that may be a refusal."""
    answers = outcome.answers
    return answers[:-1] if answers and answers[-1][0] in REFUSALS else answers


def deliveries(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """`data` whole, byte by byte (a long one in some hundred pieces), and cut at a place that depends on it alone."""
    yield (data,)
    size = -(-len(data) // PIECES)
    yield tuple(data[at : at + size] for at in range(0, len(data), size))
    at = random.Random(zlib.crc32(data)).randrange(len(data))
    yield data[:at], data[at:]


@cache
def connections() -> tuple[Connections, Connections]:
    """The applications that are asked: one that echoes by ASGI, and TurboAPI's."""
    return Connections(echo, reads_bodies=True), Connections(application(), reads_bodies=False)


def check_connection(data: bytes) -> None:
    """Look at any bytes."""
    if data:
        for each in connections():
            each.check(*deliveries(data))
