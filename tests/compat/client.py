"""Put one request to an application, by ASGI or by TurboAPI's own protocol, and bring back the answer as it was sent.

A `Request` is what stands on the wire; `ask_asgi` makes the scope that a server would make of it, `ask_native` feeds its
bytes to the compiled protocol, on a transport that only remembers.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httptools

PATIENCE = 10.0  # seconds; only a hanging application ever reaches it
CLIENT = ("127.0.0.1", 50000)
SERVER = ("127.0.0.1", 8000)
STATE = {"born": "lifespan"}  # what a lifespan has yielded

ANSWERED = "answered"

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Request:
    """A request: `target` is the undecoded path with its query. Host and Content-Length are added on the wire.

    It arrives in `pieces`: reads of the native server, ASGI messages (those are parts of the body).
    """

    method: str = "GET"
    target: bytes = b"/"
    headers: Pairs = ()
    body: bytes = b""
    pieces: int = 1

    @property
    def wire_headers(self) -> list[tuple[bytes, bytes]]:
        length = [(b"content-length", b"%d" % len(self.body))] if self.body or self.method in ("POST", "PUT") else []
        host = [] if any(name.lower() == b"host" for name, _ in self.headers) else [(b"host", b"testserver")]
        return [
            *host,
            *((name.lower(), value.strip(b" \t")) for name, value in self.headers),
            *length,
        ]

    @property
    def wire(self) -> bytes:
        lines = b"".join(b"%s: %s\r\n" % pair for pair in self.wire_headers)
        return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (self.method.encode(), self.target, lines, self.body)


@dataclass
class Answer:
    """What was sent back. `error` is the class of the exception that the application raised to the server."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    error: str | None = None

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]


def scope_of(request: Request, root_path: str = "") -> dict[str, Any]:
    """Return the ASGI scope for a request, made as uvicorn makes it."""
    raw_path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": SERVER,
        "client": CLIENT,
        "scheme": "http",
        "method": request.method,
        "root_path": root_path,
        "path": root_path + unquote(raw_path.decode("ascii")),
        "raw_path": root_path.encode() + raw_path,
        "query_string": query,
        "headers": request.wire_headers,
        "state": dict(STATE),
    }


async def ask_asgi(app: Any, request: Request, root_path: str, log: list[Any]) -> Answer:
    """Call an ASGI application, with a line in the log when it has answered.

    What a HEAD response or a 204 carries as a body is dropped, as any server drops it.
    """
    answer = Answer()
    size = -(-len(request.body) // request.pieces) or 1
    parts = [request.body[start : start + size] for start in range(0, len(request.body), size)] or [b""]
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    disconnected = asyncio.Event()

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
            if not message.get("more_body", False):
                log.append(ANSWERED)
                disconnected.set()

    try:
        await asyncio.wait_for(app(scope_of(request, root_path), receive, send), PATIENCE)
    except Exception as exc:
        answer.error = type(exc).__name__
    if request.method == "HEAD" or answer.status in (204, 304):
        answer.body = b""
    return answer


class _Transport(asyncio.Transport):
    """Takes what the protocol writes and reads it as an HTTP response."""

    def __init__(self, request: Request, done: asyncio.Event) -> None:
        super().__init__({"peername": CLIENT, "sockname": SERVER})
        self.answer = Answer()
        self.done = done
        self.failure: Exception | None = None
        self.is_head = request.method == "HEAD"
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.answer.status = self.parser.get_status_code()
        if self.is_head:
            self.done.set()

    def on_body(self, data: bytes) -> None:
        self.answer.body += data

    def on_message_complete(self) -> None:
        self.done.set()

    def write(self, data: Any) -> None:
        self.parser.feed_data(bytes(data))

    def close(self) -> None:
        self.done.set()

    abort = close

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def ask_native(site: Any, request: Request, root_path: str, log: list[Any]) -> Answer:
    """Feed a request to TurboAPI's protocol, in several reads where it says so. An unanswered one has the status 0.

    The moment of the answer is not logged: answers are gathered until the loop gets its turn.
    """
    from turboapi._speedups import Hub, Settings

    others = asyncio.all_tasks()
    done = asyncio.Event()
    transport = _Transport(request, done)
    hub = Hub(asyncio.get_running_loop(), site, Settings(root_path=root_path), STATE)
    protocol = hub.protocol()
    protocol.connection_made(transport)
    wire = request.wire
    size = -(-len(wire) // request.pieces)
    loop = asyncio.get_running_loop()

    def read(data: bytes) -> None:
        try:
            protocol.data_received(data)
        except Exception as exc:
            transport.failure = exc
            done.set()

    for start in range(0, len(wire), size):  # a loop reads outside of any task
        loop.call_soon(read, wire[start : start + size])
    await asyncio.wait_for(done.wait(), PATIENCE)
    if transport.failure is not None:
        raise transport.failure
    while running := asyncio.all_tasks() - others:  # background tasks and exit code of dependencies
        await asyncio.wait(running, timeout=PATIENCE)
    protocol.connection_lost(None)
    return transport.answer
