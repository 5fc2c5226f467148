"""Clients that do not read what they have asked for: what they cost, and when they are left."""

import contextlib
import fcntl
import select
import socket
import struct
import termios

import pytest

from tests.wire.harness import Wire, attached_socket, request
from turboapi import TurboAPI, WebSocket, WebSocketDisconnect
from turboapi.background import BackgroundTask
from turboapi.responses import FileResponse, Response, StreamingResponse
from turboapi.server.worker import site_of

TIMEOUT = 10.0
MIB = 1024 * 1024
# More than the kernel holds for both ends of a connection on any system
MUCH = 32 * MIB
HANDSHAKE = request(
    *("GET /ws HTTP/1.1", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
TIMES = {"timeout_keep_alive": 1.0, "timeout_header": 1.0, "timeout_body": 1.0, "timeout_write": TIMEOUT}


class Application:
    """Answers in every way by which much may be sent, and counts what it makes."""

    def __init__(self, directory):
        self.path = directory / "large"
        with self.path.open("wb") as file:
            file.truncate(MUCH)
        self.made = 0
        self.ended = []
        app = self.app = TurboAPI()

        @app.get("/whole")
        async def whole():
            self.made += 1
            return Response(bytes(MUCH), background=BackgroundTask(self.ended.append, "whole"))

        @app.get("/one")
        async def one():
            self.made += 1
            return Response(bytes(MIB))

        @app.get("/stream")
        async def stream():
            return StreamingResponse(self.parts())

        @app.get("/file")
        async def file():
            return FileResponse(self.path)

        @app.websocket("/ws")
        async def talk(websocket: WebSocket):
            await websocket.accept()
            try:
                while True:
                    self.made += 1
                    await websocket.send_bytes(bytes(65536))
            except (WebSocketDisconnect, OSError):
                self.ended.append("websocket")
                raise

    async def parts(self):
        try:
            while True:
                self.made += 1
                yield bytes(65536)
        finally:
            self.ended.append("stream")


@pytest.fixture
def application(tmp_path):
    return Application(tmp_path)


@contextlib.contextmanager
def stalled(application, data, **options):
    """A connection on which `data` has been sent, and nothing is read, when the server cannot send any more."""
    options = {**TIMES, **options}
    if data is HANDSHAKE:
        options["websockets"] = {"ws_ping_interval": 0.0, "ws_per_message_deflate": False}
    wire = Wire(application.app if data is HANDSHAKE else site_of(application.app), **options)
    with contextlib.closing(wire), attached_socket(wire) as (transport, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(data)
        wire.wait_until(transport.get_write_buffer_size)
        wire.settle()
        yield wire, transport, client


def left(transport):
    """What the client's system has not acknowledged: in the transport, and in the kernel."""
    unsent = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return transport.get_write_buffer_size(), struct.unpack("i", unsent)[0]


def read_some(wire, transport, client, size):
    """Read, and wait until the server can know: the clock of these tests is faster than acknowledgements are."""
    wire.wait_until(lambda: select.select([client], [], [], 0)[0])
    before = left(transport)
    part = client.recv(size)
    assert part, "cut off"
    wire.wait_until(lambda: left(transport) != before)
    return part


WAYS = {
    "whole": request("GET /whole HTTP/1.1"),
    "whole and closed": request("GET /whole HTTP/1.1", "Connection: close"),
    "stream": request("GET /stream HTTP/1.1"),
    "file": request("GET /file HTTP/1.1"),
    "pipelined": request("GET /one HTTP/1.1") * 200,
    "websocket": HANDSHAKE,
}


@pytest.mark.parametrize("data", WAYS.values(), ids=WAYS)
def test_a_client_that_reads_nothing_is_left_after_a_while(application, data):
    with stalled(application, data) as (wire, transport, client):
        held, made = transport.get_write_buffer_size(), application.made
        wire.pass_time(TIMEOUT - 2)
        assert wire.hub.connections == 1
        assert transport.get_write_buffer_size() == held
        assert application.made == made  # nothing is made for nobody
        wire.pass_time(3)
        wire.wait_until(lambda: not wire.hub.connections and not wire.hub.tasks)
        assert wire.hub.requests == 0
        with pytest.raises(ConnectionResetError):  # not an end that could be taken for that of the answer
            while client.recv(MIB):
                pass


def test_what_was_under_way_ends(application):
    for name in ("stream", "whole", "websocket"):
        with stalled(application, WAYS[name]) as (wire, _, _):
            wire.pass_time(TIMEOUT + 2)
            wire.wait_until(lambda name=name: name in application.ended)


@pytest.mark.parametrize(
    ("name", "most"), [("stream", 3 * 65536), ("file", 65536), ("pipelined", 2 * MIB), ("websocket", 3 * 65536)]
)
def test_little_is_held_for_it(application, name, most):
    """Of a complete answer, the rest."""
    with stalled(application, WAYS[name]) as (_, transport, _):
        assert 0 < transport.get_write_buffer_size() <= most


@pytest.mark.parametrize("data", WAYS.values(), ids=WAYS)
def test_a_client_that_reads_now_and_then_is_not_left(application, data):
    with stalled(application, data) as (wire, transport, client):
        for _ in range(8):
            wire.pass_time(TIMEOUT - 2)
            read_some(wire, transport, client, 200_000)
        assert wire.hub.connections == 1


@pytest.mark.parametrize("name", ["whole", "whole and closed", "file"])
def test_it_gets_everything_however_long_it_takes(application, name):
    with stalled(application, WAYS[name]) as (wire, transport, client):
        received = bytearray()

        def has_all():
            with contextlib.suppress(BlockingIOError):
                part = client.recv(4 * MIB)
                assert part, f"cut off after {len(received)} bytes"
                received.extend(part)
            return len(received) > MUCH and len(received.partition(b"\r\n\r\n")[2]) == MUCH

        while len(received) < MUCH - 8 * MIB:
            wire.pass_time(3)
            received.extend(read_some(wire, transport, client, 4 * MIB))
        wire.wait_until(has_all)


@pytest.mark.parametrize("data", [WAYS["whole"], WAYS["stream"], WAYS["file"], WAYS["websocket"]])
def test_without_a_limit_it_stays(application, data):
    with stalled(application, data, timeout_write=0.0) as (wire, _, _):
        wire.pass_time(200)
        assert wire.hub.connections == 1


def test_an_answer_that_the_kernel_has_taken_is_nobody_s_concern(application):
    """The connection is idle, then, and closed as such."""
    wire = Wire(site_of(application.app), **{**TIMES, "timeout_keep_alive": 30.0})
    with contextlib.closing(wire), attached_socket(wire) as (transport, client):
        client.sendall(request("GET /openapi.json HTTP/1.1"))
        wire.wait_until(lambda: wire.hub.total_requests == 1)
        assert transport.get_write_buffer_size() == 0
        wire.pass_time(20)
        assert wire.hub.connections == 1
        wire.pass_time(20)
        wire.wait_until(lambda: not wire.hub.connections)
