"""The server as a service: what systemd and the limits of the operating system ask of it, in processes of its own."""

import contextlib
import http.client
import os
import resource
import signal
import socket
import stat
import sys
import time

import pytest

from tests.running import PATIENCE, Running
from turboapi.server.notify import notify

APP = """
from turboapi import Request, TurboAPI
app = TurboAPI()
@app.get("/")
def root(request: Request): return request.scope["server"]
"""

# What systemd does between fork and exec.
ACTIVATED = """
import fcntl, os, sys
inherited = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",")]
for place, number in enumerate(inherited, 3):
    os.dup2(number, place, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(inherited)), LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "turboapi", "run", "main:app", *sys.argv[2:]])
"""


@pytest.fixture
def project(tmp_path):
    """A directory with an application."""
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


@pytest.fixture
def start(project):
    """`start(*options)`: a running server; it and its workers are killed after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options, **given):
            server = Running("main:app", *options, cwd=project, **given)
            stack.callback(server.ended)
            stack.callback(server.kill)
            return server

        yield start


def ask(family, address):
    """The last line of the answer."""
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile().read().splitlines()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sockets_that_systemd_hands_over(project, start, workers):
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = str(project / "app.sock")
        unix.bind(path)
        unix.listen()
        program = ["-c", ACTIVATED, f"{tcp.fileno()},{unix.fileno()}", "--workers", workers]
        server = start(program=program, pass_fds=(tcp.fileno(), unix.fileno()))
        port = tcp.getsockname()[1]
        server.wait_for(server.err, rf"running on http://127\.0\.0\.1:{port} ")
        server.wait_for(server.err, rf"running on unix socket {path} ")
        assert ask(socket.AF_INET, ("127.0.0.1", port)) == f'["127.0.0.1",{port}]'
        assert ask(socket.AF_UNIX, path) == f'["{path}",null]'
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        assert os.path.exists(path)  # it belongs to systemd


def test_sockets_for_another_process_are_not_taken(start):
    server = start(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    assert server.get().startswith('["127.0.0.1",')


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "abstract", [False, pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux only"))]
)
def test_systemd_is_told_when_it_is_ready_and_when_it_stops(project, start, workers, abstract):
    name = f"@turboapi-{os.getpid()}-{workers}" if abstract else str(project / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE)
        manager.bind(name.replace("@", "\0"))
        server = start("--workers", workers, NOTIFY_SOCKET=name)
        assert manager.recv(100) == b"READY=1"
        assert server.get().startswith("[")
        server.signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert server.ended() == 0
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket"])
def test_nobody_to_tell(monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_for_few(project, start, workers):
    server = start("--uds", "app.sock", "--uds-mode", "600", "--workers", workers)
    server.wait_for(server.err, "running on")
    assert stat.S_IMODE((project / "app.sock").stat().st_mode) == 0o600


def test_several_workers_on_every_address_of_ipv6(start):
    server = start("--host", "::1", "--workers", "2")
    port = int(server.wait_for(server.err, r"running on http://\[::1\]:(\d+) ")[1])
    assert ask(socket.AF_INET6, ("::1", port)) == f'["::1",{port}]'


def test_running_out_of_descriptors_is_survived(start):
    server = start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    port = server.connect().port
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(100)]
        clients[-1].settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert clients[-1].recv(1) == b""  # the server has none left for it
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:  # it may not have noticed yet that these have gone
        with contextlib.suppress(OSError, http.client.HTTPException):
            assert server.get().startswith("[")
            break
    else:
        pytest.fail("the server does not recover")
    assert server.marks("ERROR") == server.marks("Traceback") == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_more_connections_than_the_limit_wait_until_there_is_room(start, workers):
    server = start("--limit-connections", "3", "--workers", str(workers), "--timeout-keep-alive", "0")
    address = ("127.0.0.1", server.connect().port)
    with contextlib.ExitStack() as stack:
        accepted, waiting = connect_until_full(stack, address, 3 * workers)
        for client in accepted:
            client.close()
        assert waiting.recv(1000).startswith(b"HTTP/1.1 200")
        _, waiting = connect_until_full(stack, address, 3 * workers - 1)  # the one that waited is there, too
        server.signal(signal.SIGTERM)
        assert waiting.recv(1000).startswith(b"HTTP/1.1 200")  # the kernel had told it "connected"
    assert server.ended() == 0


def connect_until_full(stack, address, least):
    """Connections that are answered, at least so many, and one that is not."""
    accepted = []
    while True:
        client = stack.enter_context(socket.create_connection(address))
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.settimeout(PATIENCE if len(accepted) < least else 1)
        try:
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        except TimeoutError:
            assert len(accepted) >= least
            client.settimeout(PATIENCE)
            return accepted, client
        accepted.append(client)
        assert len(accepted) < 100
