"""Bytes in, bytes out: connections of the real protocol on a real uvloop loop, over a transport that only writes down.

    site = Wire(app, limit_body=100)          # an ASGI application, one of TurboAPI's, or a Site
    peer = site.connect()
    peer.feed(b"GET / HTTP/1.1\\r\\n...")       # as one read; settles the loop
    [answer] = peer.answers()                 # parsed by the standard library

Everything is called from outside of any task, as a transport calls it. `site.pass_time(seconds)` sets the clock forward
and lets the hub sweep.
"""

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import uvloop

from turboapi import TurboAPI
from turboapi._speedups.endpoint import Site
from turboapi._speedups.exchange import Settings
from turboapi._speedups.protocol import Hub
from turboapi.server.config import ServerConfig
from turboapi.server.websocket import open_websockets

PATIENCE = 20.0

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class Loop(uvloop.Loop):
    """A uvloop loop whose clock can be set forward, and that remembers the errors reported to it."""

    offset = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda loop, context: self.errors.append(context))

    def time(self) -> float:
        return super().time() + self.offset


class Transport:
    """Keeps each write; `high_water` is the number of unread bytes above which writing is paused, None for never."""

    def __init__(self, loop: Loop, protocol: Any, extra: dict[str, Any], high_water: int | None) -> None:
        self.writes: list[bytes] = []
        self.paused = False
        self.pauses = 0
        self.closing = False
        self.aborted = False
        self.eof = False
        self.unread = 0
        self.write_paused = False
        self._loop, self.protocol, self._extra, self._high_water = loop, protocol, extra, high_water

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._extra.get(name, default)

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.eof, "write after write_eof"
        if self.closing:
            return
        self.writes.append(data)
        self.unread += len(data)
        if self._high_water is not None and self.unread > self._high_water and not self.write_paused:
            self.write_paused = True
            self.protocol.pause_writing()

    def read_all(self) -> None:
        """The client reads what there is."""
        self.unread = 0
        if self.write_paused:
            self.write_paused = False
            self.protocol.resume_writing()
            if self.closing:
                self._lose_soon(None)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return 0 if self._high_water is None else self.unread

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return "sslcontext" not in self._extra

    def write_eof(self) -> None:
        self.eof = True

    def close(self) -> None:
        """Close when the client has read what there is."""
        if self.write_paused:
            self.closing = True
        else:
            self.lose(None)

    def abort(self) -> None:
        if self.closing and self.write_paused and not self.aborted:
            self._lose_soon(None)
        self.aborted = True
        self.lose(None)

    def lose(self, exc: BaseException | None) -> None:
        """The connection is gone: reported once, soon."""
        if not self.closing:
            self.closing = True
            self._lose_soon(exc)

    def _lose_soon(self, exc: BaseException | None) -> None:
        self._loop.call_soon(self.protocol.connection_lost, exc)


@dataclass(frozen=True)
class Answer:
    """A response, as the standard library understands it."""

    version: int
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    keep_alive: bool

    def header(self, name: str) -> str | None:
        """The only value of `name` (lower case), None without one."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, values
        return values[0] if values else None


class _Stream(io.BytesIO):
    """What http.client takes for a socket and its file; several responses are read from it one after the other."""

    def makefile(self, *args: Any) -> "_Stream":
        return self

    def close(self) -> None:
        pass


def parse_answers(data: bytes, methods: Iterable[str] = ()) -> list[Answer]:
    """The responses in `data` to requests of `methods` (GET for those that are not named); 100 is skipped.

    What follows a 101 is in another protocol, and the body of it.
    """
    stream, found, named = _Stream(data), [], iter(methods)
    while stream.tell() < len(data):
        response = http.client.HTTPResponse(stream, method=next(named, "GET"))  # type: ignore[arg-type]
        response.begin()
        headers = [(name.lower(), value) for name, value in response.getheaders()]
        keep_alive = not response.will_close
        body = stream.read() if response.status == 101 else response.read()
        found.append(Answer(response.version, response.status, response.reason, headers, body, keep_alive))
    return found


class Peer:
    """The client's end of one connection."""

    def __init__(self, wire: "Wire", extra: dict[str, Any], high_water: int | None) -> None:
        self.wire = wire
        self.transport = Transport(wire.loop, wire.hub.protocol(), extra, high_water)
        wire.call(self.protocol.connection_made, self.transport)

    @property
    def protocol(self) -> Any:
        """Whom the transport speaks to at present."""
        return self.transport.protocol

    @property
    def output(self) -> bytes:
        return b"".join(self.transport.writes)

    @property
    def open(self) -> bool:
        return not (self.transport.closing or self.transport.eof)

    def feed(self, *parts: bytes) -> "Peer":
        """Deliver each part as a read of its own, or as several if the protocol takes no more at a time."""
        for part in parts:
            rest = part
            while rest and not self.transport.closing:
                taken = self._read_into(rest) if hasattr(self.protocol, "get_buffer") else self._read(rest)
                rest = rest[taken:]
        return self

    def _read(self, data: bytes) -> int:
        self.wire.call(self.protocol.data_received, data)
        return len(data)

    def _read_into(self, data: bytes) -> int:
        with memoryview(self.protocol.get_buffer(-1)) as room:
            size = min(len(room), len(data))
            assert size > 0
            room[:size] = data[:size]
        self.wire.call(self.protocol.buffer_updated, size)
        return size

    def feed_while_reading(self, data: bytes, size: int = 16384) -> int:
        """Deliver `data` in reads of `size`, as long as reading is not paused; how much was taken."""
        at = 0
        while at < len(data) and not self.transport.paused and self.open:
            self.feed(data[at : at + size])
            at += size
        return min(at, len(data))

    def answers(self, *methods: str) -> list[Answer]:
        return parse_answers(self.output, methods)

    def statuses(self, *methods: str) -> list[int]:
        return [answer.status for answer in self.answers(*methods)]

    def leave(self, exc: BaseException | None = None) -> None:
        """The client is gone."""
        self.transport.lose(exc)
        self.wire.settle()

    def finish(self) -> None:
        """The client has sent everything (EOF)."""
        self.wire.call(self.protocol.eof_received)
        self.leave()


class Wire:
    """A hub with its application, on a loop of its own; `websockets` are the options for these, if there are any."""

    def __init__(
        self,
        app: App | Site,
        state: Any = None,
        websockets: dict[str, Any] | None = None,
        health: App | None = None,
        **settings: Any,
    ) -> None:
        self.loop = Loop()
        site = app if isinstance(app, Site) else app.freeze() if isinstance(app, TurboAPI) else Site(asgi=app)
        serves = None if websockets is None else open_websockets(app, ServerConfig(**websockets))  # type: ignore[arg-type]
        self.hub = Hub(self.loop, site, Settings(**settings), state, serves, health)
        self.peers: list[Peer] = []

    def connect(self, high_water: int | None = None, **extra: Any) -> Peer:
        peer = Peer(self, {"peername": ("1.2.3.4", 5), "sockname": ("6.7.8.9", 80), **extra}, high_water)
        self.peers.append(peer)
        return peer

    def answer(self, *parts: bytes, methods: Iterable[str] = ()) -> list[Answer]:
        """The answers to `parts` on a new connection."""
        return self.connect().feed(*parts).answers(*methods)

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it from the loop, outside of any task, and run the loop until nothing is left to do."""
        self.loop.call_soon(function, *args)
        self.settle()

    def settle(self, turns: int = 20) -> None:
        def turn(left: int) -> None:
            if left:
                self.loop.call_soon(turn, left - 1)
            else:
                self.loop.stop()

        self.loop.call_soon(turn, turns)
        self.loop.run_forever()

    def wait_until(self, condition: Callable[[], Any]) -> None:
        """Run the loop until it is so: what a socket carries, or a thread does, takes its time."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, "waited in vain"
            self.settle()

    def run(self, awaitable: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(awaitable)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with sweeps as often as the hub makes them."""
        for _ in range(int(seconds) + 1):
            self.loop.offset += 1.0
            self.call(self.hub._sweep)
            self.hub.stop()

    def close(self) -> None:
        """Every client leaves. Nothing may be left over, and nothing may have been reported to the loop."""
        try:
            for peer in self.peers:
                peer.leave()
            self.settle(40)
            left = set(self.hub.runner.suspended)
            assert not left, left
            assert (self.hub.requests, self.hub.connections) == (0, 0)
            assert self.loop.errors == []
        finally:
            self.hub.abort()
            self.settle()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


@contextlib.contextmanager
def attached_socket(wire: Wire) -> Iterator[tuple[Any, socket.socket]]:
    """A connection that is a real socket: its transport, and the client's end, which does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with theirs:
        transport, _ = wire.run(wire.loop.connect_accepted_socket(wire.hub.protocol, ours))
        theirs.setblocking(False)
        yield transport, theirs
        theirs.close()
        wire.wait_until(lambda: not wire.hub.tasks and not wire.hub.connections)


def splits(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """`data` whole, byte by byte, and cut in two at every position."""
    yield (data,)
    yield tuple(data[i : i + 1] for i in range(len(data)))
    for i in range(1, len(data)):
        yield data[:i], data[i:]


def request(line: str = "GET / HTTP/1.1", *headers: str, body: bytes = b"", host: bool = True) -> bytes:
    """A request message with CRLF line ends; "Host: test" is added unless `host` is off."""
    lines = [line, *(["Host: test"] if host else []), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*parts: bytes, trailer: bytes = b"") -> bytes:
    """A chunked body (RFC 9112 section 7.1) of these chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"


async def read_body(receive: Any) -> bytes:
    """The whole body; ConnectionError when the client leaves before its end."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message["body"]
        if not message["more_body"]:
            return body


async def respond(
    send: Any, body: bytes = b"", status: int = 200, headers: Iterable[Any] = (), length: bool = True
) -> None:
    """A response in one part."""
    framing = [(b"content-length", b"%d" % len(body))] if length else []
    await send({"type": "http.response.start", "status": status, "headers": [*framing, *headers]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers method, path and query, a line end, and the body."""
    body = await read_body(receive)
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    await respond(send, f"{scope['method']} {scope['path']}".encode() + query + b"\n" + body)
