"""A Redis server for the tests that count in one."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_pong(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(5) == b"+PONG":
                    return
        except OSError:
            time.sleep(0.02)
    pytest.fail("redis-server does not start")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real Redis server, which ends with the tests."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("needs the redis-server binary (Debian: apt-get install redis-server)")
    folder: Path = tmp_path_factory.mktemp("redis")
    port = free_port()
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([binary, "--port", str(port), *options], stdout=log, stderr=log)
    try:
        wait_for_pong(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture
def redis_url(redis_server: int) -> str:
    """The URL of an empty Redis database."""
    with socket.create_connection(("127.0.0.1", redis_server), timeout=PATIENCE) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(5) == b"+OK\r\n"
    return f"redis://127.0.0.1:{redis_server}/0"


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    return free_port()
