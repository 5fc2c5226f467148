"""Files over real sockets: what `FileResponse` and `StaticFiles` send goes from the page cache to the socket.

`sent` notes what each sendfile(2) has sent, so that a test sees which way a file took.
"""

import asyncio
import contextlib
import os
import random
import socket
import threading
import time

import httpx
import pytest

from tests.wire.harness import Wire, attached_socket, parse_answers, request
from turboapi import TurboAPI, _files
from turboapi.background import BackgroundTask
from turboapi.middleware.cors import CORSMiddleware
from turboapi.middleware.gzip import GZipMiddleware
from turboapi.middleware.hooks import HookMiddleware, ResponseHook
from turboapi.requests import Request
from turboapi.responses import FileResponse
from turboapi.server.worker import site_of
from turboapi.staticfiles import StaticFiles

PATIENCE = 20.0
CONTENT = random.Random(7).randbytes(8_000_000)
GET = request("GET /file HTTP/1.1")
LAST = request("GET /file HTTP/1.1", "Connection: close")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def sent(monkeypatch):
    sizes = []
    sendfile = os.sendfile

    def noted(*args):
        sizes.append(sendfile(*args))
        return sizes[-1]

    monkeypatch.setattr(os, "sendfile", noted)
    return sizes


def application(path, **options):
    app = TurboAPI()
    app.mount("/static", StaticFiles(directory=path.parent))

    @app.api_route("/file", methods=["GET", "HEAD", "POST"])
    async def file():
        return FileResponse(path, **options)

    @app.get("/hello")
    async def hello():
        return "hello"

    return app


def connect(served):
    return socket.create_connection((served.host, served.port), PATIENCE)


def read_until(sock, end):
    data = b""
    while end not in data:
        part = sock.recv(1)
        assert part, data
        data += part
    return data


def read_all(sock):
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def open_descriptors(path):
    """Return how many descriptors of this process belong to the file."""
    found = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{entry}") == str(path)
    return found


@pytest.mark.parametrize("url", ["/file", "/static/data.bin"])
def test_a_file_goes_from_the_page_cache_to_the_socket(serve, path, sent, url):
    with serve(application(path)) as served, connect(served) as sock:
        sock.sendall(request(f"GET {url} HTTP/1.1") + request(f"GET {url} HTTP/1.1", "Connection: close"))
        first, second = parse_answers(read_all(sock))
    assert first.body == second.body == CONTENT
    assert first.header("content-length") == str(len(CONTENT))
    assert sum(sent) > len(CONTENT) * 1.5  # the rest was handed to the transport when the socket was full


def test_a_small_file_is_read_whole(serve, path, sent):
    path.write_bytes(b"small")
    with serve(application(path)) as served:
        answer = httpx.get(f"{served.url}/file")
    assert (answer.content, answer.headers["content-length"], sent) == (b"small", "5", [])


@pytest.mark.parametrize(
    ("headers", "start", "end"),
    [
        ("bytes=0-999999", 0, 1_000_000),
        ("bytes=5000001-", 5_000_001, 8_000_000),
        ("bytes=-2000000", 6_000_000, 8_000_000),
    ],
)
def test_a_range_is_sent_from_the_page_cache_too(serve, path, sent, headers, start, end):
    with serve(application(path)) as served:
        answer = httpx.get(f"{served.url}/file", headers={"range": headers})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/8000000"
    assert answer.content == CONTENT[start:end]
    assert sum(sent) > 0


def test_several_ranges_are_read(serve, path, sent):
    with serve(application(path)) as served:
        answer = httpx.get(f"{served.url}/file", headers={"range": "bytes=0-199999,4000000-4000009"})
    assert answer.status_code == 206
    assert CONTENT[:200_000] in answer.content
    assert CONTENT[4_000_000:4_000_010] in answer.content
    assert sent == []


def test_head_sends_no_byte_of_the_file(serve, path, sent):
    with serve(application(path)) as served, connect(served) as sock:
        sock.sendall(request("HEAD /file HTTP/1.1") + request("GET /hello HTTP/1.1", "Connection: close"))
        head, hello = parse_answers(read_all(sock), ["HEAD"])
    assert (head.header("content-length"), head.body) == ("8000000", b"")
    assert hello.body == b'"hello"'
    assert sent == []


def test_http_1_0_gets_the_file_and_the_end_of_the_connection(serve, path, sent):
    with serve(application(path)) as served, connect(served) as sock:
        sock.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        [answer] = parse_answers(read_all(sock))
    assert answer.body == CONTENT


class Mark(HookMiddleware):
    def before(self, exchange):
        return MarkHook()


class MarkHook(ResponseHook):
    def head(self, status, headers):
        headers.append((b"x-mark", b"yes"))


def test_middleware_that_edits_heads_keeps_the_way(serve, path, sent):
    app = application(path)
    app.add_middleware(Mark)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    with serve(app) as served:
        answer = httpx.get(f"{served.url}/file", headers={"origin": "http://a"})
    assert answer.content == CONTENT
    assert (answer.headers["x-mark"], answer.headers["access-control-allow-origin"]) == ("yes", "*")
    assert sum(sent) > 0


class Count(HookMiddleware):
    def before(self, exchange):
        return CountHook()


class CountHook(ResponseHook):
    sizes = []

    def sender(self, send):
        async def counted(message):
            if message["type"] == "http.response.body":
                self.sizes.append(len(message["body"]))
            await send(message)

        return counted


def test_middleware_that_looks_at_messages_sees_the_body(serve, path, sent):
    app = application(path)
    app.add_middleware(Count)
    CountHook.sizes.clear()
    with serve(app) as served:
        assert httpx.get(f"{served.url}/file").content == CONTENT
    assert sum(CountHook.sizes) == len(CONTENT)
    assert sent == []


def test_gzip_compresses_a_file(serve, path, sent):
    path.write_bytes(b"again " * 100_000)
    app = application(path, media_type="text/plain")
    app.add_middleware(GZipMiddleware)
    with serve(app) as served:
        answer = httpx.get(f"{served.url}/file", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == b"again " * 100_000
    assert sent == []


def test_a_function_around_the_application_passes_a_file_on(serve, path, sent):
    app = application(path)

    @app.middleware("http")
    async def mark(request: Request, call_next):
        response = await call_next(request)
        response.headers["x-mark"] = "yes"
        return response

    with serve(app) as served:
        answer = httpx.get(f"{served.url}/file")
    assert (answer.content, answer.headers["x-mark"]) == (CONTENT, "yes")
    assert sent == []


def test_background_tasks_run_when_the_file_has_been_sent(serve, path, sent):
    ended = threading.Event()
    sizes = []

    def task():
        sizes.append(sum(sent))
        ended.set()

    with serve(application(path, background=BackgroundTask(task))) as served:
        assert httpx.get(f"{served.url}/file").content == CONTENT
        assert ended.wait(PATIENCE)
    assert sizes[0] > len(CONTENT) * 0.75


def test_requests_behind_a_file_are_answered_after_it(serve, path, sent):
    with serve(application(path)) as served, connect(served) as sock:
        sock.sendall(GET + request("GET /hello HTTP/1.1") + GET + request("GET /hello HTTP/1.1", "Connection: close"))
        bodies = [answer.body for answer in parse_answers(read_all(sock))]
    assert bodies == [CONTENT, b'"hello"', CONTENT, b'"hello"']


def test_a_request_body_that_nobody_reads_does_not_block_the_file(serve, path):
    with serve(application(path)) as served, connect(served) as sock:
        sock.sendall(request("POST /file HTTP/1.1", "Content-Length: 3000000") + bytes(3_000_000) + LAST)
        bodies = [answer.body for answer in parse_answers(read_all(sock))]
    assert bodies == [CONTENT, CONTENT]


def test_a_client_that_leaves_ends_the_transfer(serve, path, sent):
    ended = threading.Event()
    with serve(application(path, background=BackgroundTask(ended.set))) as served:
        with connect(served) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # its end is a reset
            sock.sendall(GET)
            read_until(sock, b"\r\n\r\n")
        assert ended.wait(PATIENCE)
        assert httpx.get(f"{served.url}/hello").json() == "hello"
    assert open_descriptors(path) == 0


def test_no_descriptor_is_left(serve, path):
    with serve(application(path)) as served, httpx.Client(base_url=served.url) as client:
        for headers in ({}, {"range": "bytes=9-4000000"}, {"range": "bytes=0-0,9-4000000"}) * 3:
            assert client.get("/file", headers=headers).is_success
            assert client.head("/file", headers=headers).is_success
    assert open_descriptors(path) == 0


def test_a_file_that_shrinks_ends_the_connection(serve, path, sent):
    with serve(application(path)) as served, connect(served) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(GET + request("GET /hello HTTP/1.1"))
        data = read_until(sock, b"\r\n\r\n")
        os.truncate(path, 7_900_000)
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                data += part
    body = data.partition(b"\r\n\r\n")[2]
    assert len(body) <= 7_900_000
    assert CONTENT.startswith(body)


def test_a_wrong_length_ends_the_connection(serve, path, sent):
    with serve(application(path, headers={"content-length": "1000"})) as served:
        with pytest.raises(httpx.RemoteProtocolError, match="received 0 bytes, expected 1000"):
            httpx.get(f"{served.url}/file")
        assert httpx.get(f"{served.url}/hello").json() == "hello"
    assert sent == []


@pytest.mark.parametrize("calls", [0, 2])
def test_a_file_system_without_sendfile_is_read(serve, path, monkeypatch, calls):
    sendfile = os.sendfile
    left = [None] * calls

    def limited(*args):
        if not left:
            raise OSError(22, "Invalid argument")
        left.pop()
        return sendfile(*args)

    monkeypatch.setattr(os, "sendfile", limited)
    with serve(application(path)) as served:
        assert httpx.get(f"{served.url}/file").content == CONTENT
    assert left == []


@contextlib.contextmanager
def attached(path):
    """A connection over a socket on a loop that is run by hand: its wire, its transport, and the client's socket."""
    times = {"timeout_keep_alive": 1.0, "timeout_header": 1.0, "timeout_body": 1.0, "timeout_write": 0.0}
    wire = Wire(site_of(application(path)), **times)
    with contextlib.closing(wire), attached_socket(wire) as (transport, client):
        yield wire, transport, client


def read_slowly(wire, sock, step, size):
    """Yield parts of what comes, `size` bytes in all; `step` is called before each."""
    give_up = time.monotonic() + PATIENCE
    got = 0
    while got < size:
        assert time.monotonic() < give_up
        step()
        with contextlib.suppress(BlockingIOError):
            part = sock.recv(262_144)
            got += len(part)
            yield part
        wire.settle()


def test_a_slow_reader_gets_everything_in_its_time_and_costs_little_memory(path):
    with attached(path) as (wire, transport, sock):
        sock.sendall(GET)
        held = []

        def step():
            wire.pass_time(3)
            held.append(transport.get_write_buffer_size())

        head = b""
        while b"\r\n\r\n" not in head:
            wire.settle()
            with contextlib.suppress(BlockingIOError):
                head += sock.recv(1)
        assert b"".join(read_slowly(wire, sock, step, len(CONTENT))) == CONTENT
        assert 0 < max(held) <= 16384


def test_a_client_that_reads_nothing_is_cut_off_when_the_server_has_to_end(path):
    with attached(path) as (wire, transport, sock):
        sock.sendall(GET)
        wire.wait_until(transport.get_write_buffer_size)
        assert open_descriptors(path) == 1
        wire.hub.abort()
        wire.wait_until(lambda: not wire.hub.tasks)
        assert (wire.hub.connections, open_descriptors(path)) == (0, 0)


def test_a_server_that_stops_sends_its_files_to_the_end(serve, path):
    with serve(application(path)) as served, connect(served) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(GET)
        head = read_until(sock, b"\r\n\r\n")
        served.server.should_exit = True
        assert head + read_all(sock) == head + CONTENT


def test_tls_gets_the_bytes_through_its_transport(path, sent):
    with contextlib.closing(Wire(site_of(application(path)))) as wire, socket.socket() as sock:
        peer = wire.connect(sslcontext=object(), socket=sock).feed(GET)
        wire.wait_until(lambda: not wire.hub.tasks)
        assert peer.answers()[0].body == CONTENT
    assert sent == []


def test_what_is_not_in_the_page_cache_is_loaded_by_a_thread(serve, path, sent, monkeypatch):
    loaded = []
    load = _files._load

    def noted(file, start, size):
        loaded.append((threading.current_thread().name, start, size))
        load(file, start, size)

    monkeypatch.setattr(_files, "_is_cached", lambda file, start, size: start % 2_097_152 == 0)
    monkeypatch.setattr(_files, "_load", noted)
    with serve(application(path)) as served:
        assert httpx.get(f"{served.url}/file").content == CONTENT
    assert [(start, size) for _, start, size in loaded] == [
        (start, min(1_048_576, len(CONTENT) - start)) for start in range(1_048_576, len(CONTENT), 2_097_152)
    ]
    assert "server" not in {name for name, _, _ in loaded}
    assert sum(sent) > len(CONTENT) * 0.75


def test_the_page_cache_is_asked_for_both_ends_of_a_part(path, monkeypatch):
    asked = []

    def preadv(file, buffers, offset, flags):
        asked.append((offset, flags))
        return 1

    monkeypatch.setattr(os, "preadv", preadv)
    assert _files._is_cached(3, 1000, 500)
    assert asked == [(1000, os.RWF_NOWAIT), (1499, os.RWF_NOWAIT)]


@pytest.mark.parametrize("error", [BlockingIOError(11, "again"), OSError(95, "not supported")], ids=["cold", "unknown"])
def test_a_part_that_would_be_waited_for_is_not_cached(error, monkeypatch):
    def preadv(*args):
        raise error

    monkeypatch.setattr(os, "preadv", preadv)
    assert not _files._is_cached(3, 0, 1)


def test_a_system_that_cannot_tell_has_nothing_cached(monkeypatch):
    monkeypatch.setattr(_files, "_NOWAIT", None)
    assert not _files._is_cached(3, 0, 1)


def test_others_have_their_turn_between_the_pieces_of_a_file(path):
    turns = []
    pieces = []

    async def other():
        while True:
            turns.append(len(pieces))
            await asyncio.sleep(0)

    async def send_file(file, offset, size):
        pieces.append((offset, size))
        return size

    async def main():
        task = asyncio.create_task(other())
        with path.open("rb") as file:
            assert await _files.send_cached(send_file, file.fileno(), 100, len(CONTENT)) == len(CONTENT)
        task.cancel()

    asyncio.run(main())
    assert sum(size for _, size in pieces) == len(CONTENT) - 100
    assert set(range(len(pieces))) <= set(turns)
