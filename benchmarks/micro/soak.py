"""Does memory grow? Requests of every kind over real sockets, in this process, and what is left of them.

`python -m benchmarks.micro.soak [requests] [ROW …]`

The requests (1,000,000 without a number) are shared out over the rows, so that slow ones get fewer. Printed is by how
much the process grows from the end of a row's warm-up to its end: resident memory, blocks of Python's allocator, and
objects that the garbage collector knows; and how many of those it had to break cycles for.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import re
import socket
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from benchmarks.load import rows as load
from benchmarks.load.apps import build, build_with_middleware
from benchmarks.load.apps_turboapi import TURBOAPI, ItemStruct
from benchmarks.load.probe import FRAME, request_bytes, upgrade_bytes
from turboapi import BackgroundTasks, Request, TurboAPI, UploadFile, WebSocket, WebSocketDisconnect
from turboapi._speedups import Hub, Settings, Site
from turboapi.middleware import SessionMiddleware
from turboapi.param_functions import Form
from turboapi.responses import FileResponse, Response, StreamingResponse
from turboapi.server.config import ServerConfig
from turboapi.server.websocket import open_websockets
from turboapi.sse import EventSourceResponse

READ_SIZE = 262144
FILE_SIZE = 300_000
BATCH = 100  # messages between two runs of the collector, of a row with a share of 1
MINIMUM = 50  # messages in a batch of any row
PATIENCE = 10.0  # seconds until a client that waits for an answer gives up
CLOSE = bytes((0x88, 0x82)) + bytes(4) + (1000).to_bytes(2)
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"
PARTS_TYPE = "Content-Type: multipart/form-data; boundary=edge"
PARTS = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(3000) + b"\r\n--edge--\r\n"
)


@dataclass(frozen=True)
class Row:
    """What is sent on a connection, and how it goes on.

    Attributes:
        message: sent again and again, each time when the answer to the last one is there.
        answers: how many answers it gets.
        status: what the first answer begins with, as a number.
        app: one of `APPS`.
        opening: sent before the first message, a WebSocket handshake.
        kept: one connection for all messages, not one for each.
        leave_after: the client closes the connection when it has this many bytes of the answer.
        share: of the requests of `hello`, in a soak.
    """

    message: bytes
    answers: int = 1
    status: int = 200
    app: str = "plain"
    opening: bytes = b""
    kept: bool = True
    leave_after: int | None = None
    share: float = 1.0


def add_further_routes(app: TurboAPI) -> None:
    """Add what no row of the load benchmark asks for."""
    file = blob_file()

    @app.post("/structs")
    async def struct(item: ItemStruct) -> ItemStruct:
        return item

    @app.get("/streamed")
    async def streamed() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(5):
                yield b"part %d" % number

        return StreamingResponse(parts())

    @app.get("/streamed-sync")
    def streamed_sync() -> StreamingResponse:
        return StreamingResponse(iter((b"first", b"second")))

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1000)
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[dict[str, int]]:
        for number in range(3):
            yield {"number": number}

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> dict[str, bool]:
        async def later(values: list[int]) -> None:
            values.append(len(values))

        tasks.add_task(later, [])
        return {"queued": True}

    @app.get("/waiting")
    async def waiting() -> dict[str, bool]:
        await asyncio.sleep(0)
        return {"waited": True}

    @app.get("/forgotten")
    async def forgotten(request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("as planned")

    @app.get("/raw")
    async def raw(request: Request) -> Response:
        return Response(request.url.path, headers={"x-agent": request.headers.get("user-agent", "")})

    @app.post("/login")
    async def login(name: str = Form(), password: str = Form()) -> dict[str, str]:
        return {"name": name}

    @app.post("/upload")
    async def upload(file: UploadFile) -> dict[str, int]:
        return {"size": len(await file.read())}

    @app.get("/file")
    async def download() -> FileResponse:
        return FileResponse(file)

    @app.websocket("/text")
    async def text(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect:
            return


@cache
def blob_file() -> Path:
    """Return a file that is larger than what is read in one go."""
    folder = tempfile.TemporaryDirectory()
    blob_folders.append(folder)
    path = Path(folder.name) / "blob"
    path.write_bytes(bytes(FILE_SIZE))
    return path


blob_folders: list[tempfile.TemporaryDirectory[str]] = []  # they go with the process


def plain() -> TurboAPI:
    app: TurboAPI = build(TURBOAPI)
    add_further_routes(app)
    return app


def with_middleware() -> TurboAPI:
    app: TurboAPI = build_with_middleware(TURBOAPI)
    add_further_routes(app)
    return app


def with_sessions() -> TurboAPI:
    app = TurboAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")

    @app.get("/visits")
    async def visits(request: Request) -> dict[str, int]:
        request.session["visits"] = 1
        return {"visits": 1}

    return app


def under_asgi() -> Callable[..., Any]:
    """Return the plain application as one that is ASGI and no more."""
    app = plain()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return asgi


APPS: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "middleware": with_middleware,
    "sessions": with_sessions,
    "asgi": under_asgi,
}


@cache
def app_of(name: str) -> Any:
    """Return one of `APPS`, made once."""
    return APPS[name]()


def get(path: str, *headers: str) -> bytes:
    return request("GET", path, *headers)


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, *length]
    return "\r\n".join((*lines, "", "")).encode() + body


def text_frame(payload: bytes, compressed: bool) -> bytes:
    """A text frame of a client, masked with zeros (RFC 6455, section 5.2; RFC 7692, section 7.2.1)."""
    first = 0x81
    if compressed:
        deflate = zlib.compressobj(wbits=-12)
        payload = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first |= 0x40
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def load_rows() -> Iterator[tuple[str, Row]]:
    """Yield the rows of the load benchmark, but for those that take long: these have smaller ones below."""
    for row in load.ROWS.values():
        if row.driver == "wrk":
            app = row.setup if row.setup in APPS else "plain"
            share = 0.02 if row.name == "rows" else 0.3 if row.name.endswith("_sync") else 1.0
            yield row.name, Row(request_bytes(row) * row.pipeline, row.pipeline, row.status, app, share=share)


HELLO = get("/hello")
LAST_HELLO = get("/hello", "Connection: close")
SOCKET = upgrade_bytes(load.ROWS["websocket"])
DEFLATED = SOCKET[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
LOGIN = request("POST", "/login", FORM_TYPE, body=b"name=ada&password=secret")
UPLOAD = request("POST", "/upload", PARTS_TYPE, body=PARTS)
CHUNKED = request("POST", "/items", "Content-Type: application/json", "Transfer-Encoding: chunked")
ROWS: dict[str, Row] = {
    **dict(load_rows()),
    "waiting": Row(get("/waiting")),
    "raw response": Row(get("/raw", "User-Agent: soak")),
    "no route": Row(get("/nowhere"), status=404),
    "wrong method": Row(request("DELETE", "/hello"), status=405),
    "exception": Row(get("/broken"), status=500, share=0.1),
    "exception (middleware)": Row(get("/broken"), status=500, app="middleware", share=0.1),
    "not JSON": Row(request("POST", "/items", "Content-Type: application/json", body=b"{"), status=422),
    "chunked body": Row(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(load.ITEM_BODY), load.ITEM_BODY.encode())),
    "session": Row(get("/visits"), app="sessions"),
    "preflight": Row(
        request("OPTIONS", "/hello", "Origin: https://a.example", "Access-Control-Request-Method: GET"),
        app="middleware",
    ),
    "compressed": Row(get("/rows", "Accept-Encoding: gzip"), app="middleware", share=0.005),
    "stream": Row(get("/streamed"), share=0.3),
    "stream (def)": Row(get("/streamed-sync"), share=0.1),
    "events": Row(get("/events"), share=0.1),
    "background": Row(get("/background")),
    "form": Row(LOGIN, share=0.3),
    "upload": Row(UPLOAD, share=0.1),
    "file": Row(get("/file"), share=0.1),
    "refused": Row(request("GET", "/hello", "Host: again"), status=400, kept=False, share=0.1),
    "connections": Row(LAST_HELLO, kept=False, share=0.1),
    "pipelined, closed": Row(HELLO * 7 + LAST_HELLO, 8, kept=False, share=0.1),
    "left in a head": Row(HELLO[:-10], kept=False, leave_after=0, share=0.1),
    "left in a body": Row(UPLOAD[:-100], kept=False, leave_after=0, share=0.1),
    "left in a pipeline": Row(HELLO * 16, 16, kept=False, leave_after=300, share=0.1),
    "left while waiting": Row(HELLO + get("/forgotten"), 2, kept=False, leave_after=100, share=0.1),
    "left in a response": Row(get("/endless"), kept=False, leave_after=5000, share=0.1),
    "left in a file": Row(get("/file"), kept=False, leave_after=5000, share=0.05),
    "left in middleware": Row(get("/rows"), app="middleware", kept=False, leave_after=1000, share=0.02),
    "asgi events": Row(get("/events"), app="asgi", share=0.1),
    "websocket": Row(FRAME, opening=SOCKET),
    "websocket, deflate": Row(
        text_frame(b"a text that comes a second time, a text that comes a second time", True),
        opening=DEFLATED.replace(b"/echo", b"/text"),
    ),
    "websocket, closed": Row(CLOSE, opening=SOCKET, kept=False, share=0.05),
    "websocket, left": Row(FRAME, opening=SOCKET, kept=False, leave_after=50, share=0.05),
    "websocket, left opening": Row(b"", opening=SOCKET, kept=False, leave_after=0, share=0.05),
}


async def converse(ours: socket.socket, row: Row, count: int) -> None:
    """Send the row's message `count` times to the server at the other end of a socket that does not block.

    AssertionError for a wrong answer, or none.
    """
    loop = asyncio.get_running_loop()
    if row.opening:
        await loop.sock_sendall(ours, row.opening)
    if row.leave_after is not None:
        await loop.sock_sendall(ours, row.message)
        await read(ours, row.leave_after)
        return
    if row.opening:
        check(await read_answers(ours, 1), 101)
    await loop.sock_sendall(ours, row.message)
    first = await read_answers(ours, row.answers)
    check(first, row.status)
    for _ in range(count - 1):
        await loop.sock_sendall(ours, row.message)
        if row.opening:  # compressed with what has gone before, a frame gets smaller
            await read_answers(ours, row.answers)
        else:
            check(await read(ours, len(first)), row.status)


async def read(sock: socket.socket, size: int) -> bytes:
    """Read `size` bytes."""
    data = b""
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        assert part, "the server has left"
        data += part
    return data


async def read_answers(sock: socket.socket, count: int) -> bytes:
    """Read so many responses or frames, whatever their size."""
    data, end = b"", 0
    for _ in range(count):
        while (size := answer_size(data[end:])) is None:
            part = await asyncio.get_running_loop().sock_recv(sock, READ_SIZE)
            assert part, "the server has left"
            data += part
        end += size
    assert end == len(data), data[end:]
    return data


class Client:
    """A client and a server that share a loop, for one application."""

    def __init__(self, app: Any) -> None:
        self.loop = asyncio.get_running_loop()
        site = app.freeze() if isinstance(app, TurboAPI) else Site(asgi=app)
        self.hub = Hub(self.loop, site, Settings(), {}, open_websockets(app, ServerConfig()))

    async def run(self, row: Row, count: int) -> None:
        """Send the row's message `count` times, and wait until nothing of it is left to do.

        AssertionError for a wrong answer, TimeoutError if there is none, or if the server does not come to rest.
        """
        conversations = 1 if row.kept else count
        async with asyncio.timeout(PATIENCE + count / 100):
            for _ in range(conversations):
                ours, theirs = socket.socketpair()
                with ours:
                    ours.setblocking(False)
                    await self.loop.connect_accepted_socket(self.hub.protocol, theirs)
                    await converse(ours, row, count // conversations)
                while self.hub.connections or self.hub.requests or self.hub.tasks:
                    await asyncio.sleep(0)


def check(answer: bytes, status: int) -> None:
    """Look at the status, unless it is a frame."""
    assert not answer.startswith(b"HTTP") or answer[9:12] == b"%d" % status, answer


def answer_size(data: bytes) -> int | None:
    """Return the size of the response, or the short frame, that `data` begins with; None while it is incomplete."""
    if data and not data.startswith(b"H"):
        size = 2 + data[1] if len(data) > 1 else len(data) + 1
    else:
        head, end, body = data.partition(b"\r\n\r\n")
        size = len(head) + len(end)
        if not end:
            return None
        if b"\r\ntransfer-encoding: chunked" in head:
            if not body.endswith(b"0\r\n\r\n"):
                return None
            size = len(data)
        elif length := re.search(rb"\r\ncontent-length: (\d+)", head):
            size += int(length[1])
    return size if len(data) >= size else None


class Growth(NamedTuple):
    """By how much the process has grown, and how many objects the collector found in cycles.

    Attributes:
        resident: bytes of resident memory.
        blocks: pieces of memory of Python's allocator.
        objects: what the collector knows, by type.
        garbage: objects that only the collector could free.
    """

    resident: int
    blocks: int
    objects: Counter[str]
    garbage: int


def resident() -> int:
    """Return the process's resident memory in bytes (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def objects() -> Counter[str]:
    """Count the objects that the garbage collector knows, by type."""
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


def batch_size(row: Row) -> int:
    """Return how many messages there are between two runs of the collector."""
    return max(MINIMUM, round(BATCH * row.share))


async def grow(client: Client, row: Row, count: int) -> Growth:
    """Send `count` messages of a row after a warm-up, with the collector running only between batches of them."""
    batch = batch_size(row)
    gc.collect()
    gc.freeze()  # the collector has less to look at
    gc.disable()
    try:
        garbage = 0
        await client.run(row, batch)
        gc.collect()
        known = objects()
        blocks, memory = sys.getallocatedblocks(), resident()
        for start in range(0, count, batch):
            await client.run(row, min(batch, count - start))
            garbage += gc.collect()
        memory, blocks = resident() - memory, sys.getallocatedblocks() - blocks
        return Growth(memory, blocks, objects() - known, garbage)
    finally:
        gc.enable()
        gc.unfreeze()


def sweep(names: list[str], requests: int) -> None:
    """Soak every row with its share of the requests, and print what each has left."""
    logging.disable()
    rows = {name: ROWS[name] for name in names or ROWS}
    unit = requests / sum(row.share for row in rows.values())
    began = resident()
    print(f"{'row':24} {'requests':>9} {'KiB':>7} {'blocks':>7} {'objects':>7} {'cycles/request':>14} {'RSS MiB':>8}")

    async def soak() -> None:
        clients = {name: Client(app_of(name)) for name in {row.app for row in rows.values()}}
        for name, row in rows.items():
            count = max(1, round(unit * row.share / row.answers))
            memory, blocks, left, garbage = await grow(clients[row.app], row, count)
            sent = count * row.answers
            figures = f"{memory // 1024:7} {blocks:7} {left.total():7} {garbage / sent:14.1f}"
            print(f"{name:24} {sent:9,} {figures} {resident() / 2**20:8.1f}", *left.most_common(3), flush=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(soak())
    print(f"resident memory: {began / 2**20:.1f} MiB at first, {resident() / 2**20:.1f} MiB in the end")


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    sweep([word for word in sys.argv[1:] if not word.isdecimal()], numbers[0] if numbers else 1_000_000)


if __name__ == "__main__":
    main()
