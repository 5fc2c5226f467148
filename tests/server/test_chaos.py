"""The server under bad conditions: clients that stall or leave anywhere, a full disk, a clock that jumps."""

import contextlib
import http.client
import itertools
import os
import resource
import select
import signal
import socket
import struct
import time

import pytest

from tests.running import PATIENCE, Running
from tests.wire.harness import Wire, request
from turboapi import TurboAPI
from turboapi.responses import FileResponse, StreamingResponse
from turboapi.server.worker import site_of

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection
GET = request("GET /json HTTP/1.1")


@pytest.fixture
def app(tmp_path):
    (tmp_path / "file").write_bytes(bytes(70_000))
    app = TurboAPI()

    @app.get("/json")
    async def json():
        return {"a": 1}

    @app.get("/stream")
    async def stream():
        async def content():
            for _ in range(3):
                yield b"part"

        return StreamingResponse(content())

    @app.get("/file")
    async def file():
        return FileResponse(tmp_path / "file")

    return app


@pytest.fixture
def room():
    """`room(count)`: how many connections, up to `count`, can have both their ends in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def room(count):
        wanted = 2 * count + 200
        available = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(available, soft), hard))
        return (available - 200) // 2

    yield room
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(served):
    return socket.create_connection((served.host, served.port), PATIENCE)


def ask(connection):
    """Status and body of an answer; the connection stays open."""
    connection.request("GET", "/json")
    response = connection.getresponse()
    return response.status, response.read()


# --- many of them -----------------------------------------------------------------------------------------------------


def test_a_thousand_half_requests_hold_nobody_up_and_are_shed(serve, app, room):
    with contextlib.ExitStack() as stack:
        count = room(1000)
        served = stack.enter_context(serve(app, timeout_header=4.0))
        kept = stack.enter_context(contextlib.closing(http.client.HTTPConnection(served.host, served.port, PATIENCE)))
        stalled = []
        for number in range(count):
            stalled.append(stack.enter_context(connect(served)))
            stalled[-1].sendall(GET[: number % len(GET)])
            if number % 10 == 0:
                assert ask(kept) == (200, b'{"a":1}')
        first = select.poll()
        first.register(stalled[0], select.POLLIN)
        while not first.poll(0):
            assert ask(kept) == (200, b'{"a":1}')
            with contextlib.closing(http.client.HTTPConnection(served.host, served.port, PATIENCE)) as new:
                assert ask(new) == (200, b'{"a":1}')
        for number, client in enumerate(stalled):
            with client.makefile("rb") as answer:
                status = answer.read()[:12]
            assert status == (b"HTTP/1.1 408" if number % len(GET) else b""), number
        assert ask(kept) == (200, b'{"a":1}')


def test_thousands_of_idle_connections_hold_nobody_up_and_stay(serve, app, room):
    with contextlib.ExitStack() as stack:
        count = room(2000)
        served = stack.enter_context(serve(app, timeout_keep_alive=0.0))
        idle = []
        for _ in range(count):
            idle.append(http.client.HTTPConnection(served.host, served.port, PATIENCE))
            stack.callback(idle[-1].close)
            assert ask(idle[-1]) == (200, b'{"a":1}')
        for number in range(0, count, 50):
            with contextlib.closing(http.client.HTTPConnection(served.host, served.port, PATIENCE)) as new:
                assert ask(new) == ask(idle[number]) == (200, b'{"a":1}')


# --- clients that leave -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/json", "/stream", "/file"])
def test_a_client_may_leave_at_any_byte_of_an_answer(serve, app, path, caplog):
    with serve(app) as served:
        with connect(served) as client:
            client.sendall(request(f"GET {path} HTTP/1.1", "Connection: close"))
            head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
        for size in range(len(head) + min(len(body), 100)):
            with connect(served) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.sendall(request(f"GET {path} HTTP/1.1") * 2)
                with client.makefile("rb", buffering=0) as answer:
                    while size:
                        size -= len(answer.read(size))
        with contextlib.closing(http.client.HTTPConnection(served.host, served.port, PATIENCE)) as new:
            assert ask(new) == (200, b'{"a":1}')
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


def test_a_client_may_leave_at_any_byte_of_a_request(serve, app, caplog):
    message = request("POST /json HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n") + GET
    with serve(app) as served:
        for size in range(len(message)):
            with connect(served) as client:
                if size % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.sendall(message[:size])
        with contextlib.closing(http.client.HTTPConnection(served.host, served.port, PATIENCE)) as new:
            assert ask(new) == (200, b'{"a":1}')
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


# --- a full disk ------------------------------------------------------------------------------------------------------

UPLOADS = """
import os
from {package} import {application}, File, UploadFile
app = {application}()

@app.post("/")
async def upload(file: UploadFile):
    return file.size

@app.get("/open")
async def left():
    paths = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
    return [path for path in paths if path.startswith(os.environ["TMPDIR"])]
"""


@pytest.fixture(params=["turboapi", "fastapi"])
def uploads(request, tmp_path):
    """A server that cannot write files of more than 2 MB, and the folder of its temporary files."""
    package, application = {"turboapi": ("turboapi", "TurboAPI"), "fastapi": ("fastapi", "FastAPI")}[request.param]
    (tmp_path / "main.py").write_text(UPLOADS.format(package=package, application=application))
    (tmp_path / "temporary").mkdir()
    limit = (2_000_000, 2_000_000)
    server = Running(
        *["main:app"] * (package == "turboapi"),
        program=["-m", "uvicorn", "main:app", "--port", "0"] if package == "fastapi" else (),
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        TMPDIR=str(tmp_path / "temporary"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    yield server, tmp_path / "temporary"
    server.signal(signal.SIGTERM)
    server.ended()


def send_file(connection, size):
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/", head + bytes(size) + b"\r\n--x--\r\n", headers)
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at the server's open files")
def test_an_upload_for_which_there_is_no_room_is_an_error_that_leaves_nothing(uploads):
    """As with FastAPI."""
    server, folder = uploads
    with contextlib.closing(server.connect()) as connection:
        for _ in range(3):
            assert send_file(connection, 5_000_000) == (400, b'{"detail":"There was an error parsing the body"}')
            assert send_file(connection, 1_500_000) == (200, b"1500000")
    assert os.listdir(folder) == []
    deadline = time.monotonic() + PATIENCE
    while server.get("/open") != "[]":
        assert time.monotonic() < deadline
    assert server.marks("Traceback") == 0


# --- time and the lifespan --------------------------------------------------------------------------------------------


def test_a_wall_clock_that_jumps_changes_nothing(app, monkeypatch):
    """Timers go by the event loop's clock. Only the Date header tells the time of day."""
    jumps = itertools.cycle([86_400.0, -86_400.0, 1e9, 0.0])
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    wire = Wire(site_of(app), timeout_header=5.0, timeout_keep_alive=20.0, timeout_body=20.0)
    with contextlib.closing(wire):
        idle = wire.connect().feed(GET)
        silent = wire.connect()
        wire.pass_time(3)
        assert (idle.statuses(), idle.open, silent.open) == ([200], True, True)
        wire.pass_time(5)
        assert (idle.open, silent.open) == (True, False)
        assert idle.feed(GET).statuses() == [200, 200]
        wire.pass_time(25)
        assert not idle.open


def test_a_server_starts_serves_and_stops_by_a_clock_that_jumps(serve, app, monkeypatch):
    jumps = itertools.cycle([86_400.0, -86_400.0, 1e9, 0.0])
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + next(jumps))
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(serve(app, access_log=True))
        kept = stack.enter_context(contextlib.closing(http.client.HTTPConnection(served.host, served.port, PATIENCE)))
        for _ in range(20):
            assert ask(kept) == (200, b'{"a":1}')
    assert served.server.exit_code == 0


LIFESPAN = """
import asyncio, contextlib
from turboapi import TurboAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    {startup}
    yield
    {shutdown}

app = TurboAPI(lifespan=lifespan)
app.get("/")(lambda: "answer")
"""
HANG = "print('hangs', flush=True); await asyncio.Event().wait()"


@pytest.fixture
def start(tmp_path):
    """`start(startup, shutdown, *options)`: a server with these two steps of its application."""
    with contextlib.ExitStack() as stack:

        def start(startup, shutdown, *options):
            (tmp_path / "main.py").write_text(LIFESPAN.format(startup=startup, shutdown=shutdown))
            server = Running("main:app", "--timeout-graceful-shutdown", "0.5", *options, cwd=tmp_path)
            stack.callback(server.ended)
            stack.callback(server.kill)
            return server

        yield start


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_startup_that_hangs_ends_with_one_signal(start, workers):
    """As `docker stop` and `systemctl stop` send it. Nobody gets in before."""
    server = start(HANG, "pass", "--workers", workers)
    server.wait_for(server.out, "hangs")
    server.signal(signal.SIGTERM)
    assert server.ended() != 0
    assert server.marks("startup complete") == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_shutdown_that_raises_shows_in_the_exit_code(start, workers):
    server = start("pass", "raise RuntimeError('cannot save')", "--workers", workers)
    assert server.get() == '"answer"'
    server.signal(signal.SIGTERM)
    assert server.ended() == 1
    assert server.marks("RuntimeError: cannot save") >= 1


def test_a_shutdown_that_hangs_ends_with_the_second_signal(start):
    server = start("pass", HANG)
    assert server.get() == '"answer"'
    server.signal(signal.SIGTERM)
    server.wait_for(server.out, "hangs")
    server.signal(signal.SIGTERM)
    assert server.ended() == 1
