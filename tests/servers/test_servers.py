"""TurboAPI under other people's servers answers as FastAPI does under the same server.

Needs the dependency group `servers`, which is not part of `test`: `nox -s servers`.
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

pytest.importorskip("granian", reason="the servers are not installed: nox -s servers")
pytest.importorskip("hypercorn", reason="the servers are not installed: nox -s servers")
pytest.importorskip("uvicorn_worker", reason="the servers are not installed: nox -s servers")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.servers.processes import COMMANDS, PATIENCE, Running, running

JSON = {"content-type": "application/json"}


class Side(NamedTuple):
    """The application of one framework, under the server of the moment."""

    running: Running
    client: httpx.Client


class Case(NamedTuple):
    """A request, and how many entries it adds to the application's log."""

    method: str
    target: str
    options: dict[str, Any] = {}
    entries: int = 0


CASES = {
    "json body": Case("POST", "/items", {"json": {"name": "pen", "price": 2}}, 2),
    "wrong body": Case("POST", "/items", {"json": {"price": "dear", "tags": [1]}}, 2),
    "broken json": Case("POST", "/items", {"content": b'{"name": ', "headers": JSON}),
    "not json": Case("POST", "/items", {"content": b"name=pen"}, 2),
    "no body": Case("POST", "/items", {}, 2),
    "dependencies": Case("GET", "/users/7?name=eve", {}, 4),
    "error passes dependencies": Case("GET", "/users/0", {}, 4),
    "wrong path parameter": Case("GET", "/users/x", {}, 3),
    "lifespan state": Case("GET", "/state"),
    "scope": Case("GET", "/scope/a%20b/%C3%A9//c?x=1&y=%20"),
    "headers": Case("GET", "/headers", {"headers": [("x-many", "1"), ("X-Many", "2")]}),
    "no content": Case("GET", "/empty"),
    "unknown path": Case("GET", "/nowhere"),
    "wrong method": Case("PUT", "/items"),
    "wrong slash": Case("GET", "/state/"),
    "head": Case("HEAD", "/file"),
    "exception": Case("GET", "/breaks"),
    "exception in a stream": Case("GET", "/breaks-late"),
    "background": Case("GET", "/background", {}, 4),
    "stream": Case("GET", "/stream"),
    "stream of known length": Case("GET", "/stream-def"),
    "json lines": Case("GET", "/lines"),
    "events": Case("GET", "/events", {}, 2),
    "file": Case("GET", "/file"),
    "range of a file": Case("GET", "/file", {"headers": {"range": "bytes=5-20"}}),
    "upload": Case("POST", "/upload", {"data": {"title": "t"}, "files": [("files", ("a.txt", b"a" * 2_000_000))]}),
    "wrong upload": Case("POST", "/upload", {"data": {"title": "t"}}),
    "large body": Case("POST", "/count", {"content": b"x" * 1_000_000}),
    "chunked body": Case("POST", "/count", {"content": [b"x" * 10, b"y" * 70_000]}),
    "cors": Case("GET", "/state", {"headers": {"origin": "https://example.com"}}),
    "preflight": Case(
        "OPTIONS", "/items", {"headers": {"origin": "https://example.com", "access-control-request-method": "POST"}}
    ),
    "schema": Case("GET", "/openapi.json"),
}


@pytest.fixture(params=COMMANDS, scope="module")
def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Side]]:
    folder: Path = tmp_path_factory.mktemp("servers")
    with both(request.param, folder) as (reference, ours), client_of(reference) as first, client_of(ours) as second:
        yield [Side(reference, first), Side(ours, second)]


@contextlib.contextmanager
def both(server: str, folder: Path) -> Iterator[list[Running]]:
    """FastAPI's and TurboAPI's application under a server, ready."""
    with running(server, "fastapi", folder) as reference, running(server, "turboapi", folder) as ours:
        for each in (reference, ours):
            each.wait_until_ready()
        yield [reference, ours]


def client_of(running: Running) -> httpx.Client:
    """A client that opens a connection for each request: errors may end them."""
    once = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=f"http://127.0.0.1:{running.port}", trust_env=False, timeout=PATIENCE, limits=once)


def log_of(side: Side) -> list[str]:
    log: list[str] = side.client.get("/log").json()
    return log


def new_entries(side: Side, seen: int, count: int) -> list[str]:
    """Return what the log has behind its first `seen` entries, as soon as there are `count` of them."""
    deadline = time.monotonic() + PATIENCE
    while len(found := log_of(side)[seen:]) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def ask(side: Side, method: str, target: str, options: dict[str, Any]) -> dict[str, Any]:
    """The answer without what may differ: its date. With the error that ended it, if there was one."""
    body, error = b"", None
    with side.client.stream(method, target, **options) as response:
        try:
            for part in response.iter_bytes():
                body += part
        except httpx.RemoteProtocolError as exc:
            error = type(exc).__name__
    headers = [(name, value) for name, value in response.headers.multi_items() if name != "date"]
    text = body.decode().replace(str(side.running.port), "PORT")
    headers = [(name, value.replace(str(side.running.port), "PORT")) for name, value in headers]
    return {"status": response.status_code, "headers": headers, "body": text, "error": error}


@pytest.mark.parametrize("prefix", ["", "/wrapped"], ids=["plain", "wrapped"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_answers_are_equal(sides: list[Side], case: Case, prefix: str) -> None:
    seen = [len(log_of(side)) for side in sides]
    expected, answer = (ask(side, case.method, prefix + case.target, case.options) for side in sides)
    assert answer == expected
    behind, ours = (new_entries(side, count, case.entries) for side, count in zip(sides, seen, strict=True))
    assert len(behind) == case.entries, behind
    assert ours == behind


# --- WebSockets ------------------------------------------------------------------------------------------------------

TALKS: dict[str, tuple[str, list[str | bytes], int]] = {
    "text and bytes": ("/ws/1?name=ada", ["hello", b"abc", "", "é" * 40_000, b"\x00" * 300_000], 3),
    "closed by the application": ("/ws/1", ["bye"], 2),
    "an exception": ("/ws/1", ["break"], 2),
    "not accepted": ("/ws/0", [], 2),
    "wrong parameter": ("/ws/x", [], 2),
    "closed before it is accepted": ("/refused", [], 0),
    "unknown path": ("/nowhere", [], 0),
}


def talk(side: Side, target: str, messages: list[str | bytes]) -> list[Any]:
    """Everything that the client sees: the answer's headers, the messages, and how it ends."""
    seen: list[Any] = []
    address = f"ws://127.0.0.1:{side.running.port}{target}"
    try:
        with connect(address, subprotocols=["other", "chat"], proxy=None, open_timeout=PATIENCE) as connection:  # type: ignore[list-item]
            headers = connection.response.headers.raw_items()  # type: ignore[union-attr]
            seen.append(sorted((name.lower(), value) for name, value in headers if name.lower().startswith("x-")))
            seen.append(connection.subprotocol)
            seen.append(connection.recv(PATIENCE))
            for message in messages:
                connection.send(message)
                seen.append(connection.recv(PATIENCE))
            connection.close(3001, "enough")
    except InvalidStatus as exc:
        seen.append((exc.response.status_code, exc.response.body))
    except ConnectionClosed as exc:
        seen.append((exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else "lost")
    return seen


@pytest.mark.parametrize("prefix", ["", "/wrapped"], ids=["plain", "wrapped"])
@pytest.mark.parametrize("case", TALKS.values(), ids=TALKS)
def test_websockets_are_equal(sides: list[Side], case: tuple[str, list[str | bytes], int], prefix: str) -> None:
    target, messages, entries = case
    seen = [len(log_of(side)) for side in sides]
    expected, answer = (talk(side, prefix + target, messages) for side in sides)
    assert answer == expected
    behind, ours = (new_entries(side, count, entries) for side, count in zip(sides, seen, strict=True))
    assert len(behind) == entries, behind
    assert ours == behind


# --- time ------------------------------------------------------------------------------------------------------------


# NOTE: below a BaseHTTPMiddleware neither framework's `is_disconnected` notices anything (starlette#2094).
@pytest.mark.parametrize("target", ["/endless", "/wrapped/endless", "/waits"])
def test_a_client_that_leaves_is_noticed(sides: list[Side], target: str) -> None:
    if target == "/waits" and sides[0].running.server == "hypercorn-trio":
        pytest.skip("under trio neither framework's `is_disconnected` gives the server the time to tell")
    noticed = []
    for side in sides:
        seen = len(log_of(side))
        with socket.create_connection(("127.0.0.1", side.running.port), PATIENCE) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            if target != "/waits":
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
        noticed.append(new_entries(side, seen, 1))
    assert noticed == [noticed[0]] * 2
    assert len(noticed[0]) == 1


@pytest.mark.parametrize("server", COMMANDS)
def test_start_and_stop(server: str, tmp_path: Path) -> None:
    ends = []
    with both(server, tmp_path) as sides:
        for side in sides:
            with client_of(side) as client:
                assert client.get("/log").json() == ["starts"]
            assert not side.stopped.exists()
            ends.append((side.stop(), side.stopped.exists() and side.stopped.read_text()))
    assert ends == [ends[0]] * 2
    assert ends[0][1] == "stopped"
