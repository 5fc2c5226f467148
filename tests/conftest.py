"""Fixtures that run an application: in this process, and on a real socket.

The server is imported by the fixtures themselves, so that tests of single modules do not need all of it.
"""

import asyncio
import contextlib
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop

if hasattr(sys, "gettotalrefcount") and sys.version_info[:2] == (3, 11):
    # A debug build of 3.11 aborts at the line number of the frame that Cython makes for `cr_frame`: it has no code to
    # stand in. The representation of a task asks for it; other builds find no line, and say so.
    _format_coroutine = asyncio.coroutines._format_coroutine  # type: ignore[attr-defined]
    asyncio.coroutines._format_coroutine = lambda coro: (  # type: ignore[attr-defined]
        _format_coroutine(coro) if isinstance(coro, types.CoroutineType) else f"{coro.__qualname__}()"
    )

PATIENCE = 20.0  # seconds until a test that waits for something gives up


@dataclass(frozen=True)
class Served:
    """A running server and where to reach it."""

    server: Any
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextlib.contextmanager
def _served(app: Any, **options: Any) -> Iterator[Served]:
    from turboapi.server import Server, ServerConfig

    defaults = {"host": "127.0.0.1", "port": 0, "access_log": False, "timeout_graceful_shutdown": 5.0}
    config = ServerConfig(**{**defaults, **options})
    server = Server(app, config)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(server.serve())
        except BaseException as exc:
            failures.append(exc)
        finally:
            server.started.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        assert server.started.wait(PATIENCE), "the server does not start"
        if not failures:
            yield Served(server, config.host, server.port)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server does not stop"
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _served_by_uvicorn(app: Any, **options: Any) -> Iterator[Served]:
    """The same by uvicorn, whose options differ."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="uvicorn")
        thread.start()
        try:
            yield Served(server, *sock.getsockname())
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "uvicorn does not stop"


@pytest.fixture
def serve() -> Callable[..., AbstractContextManager[Served]]:
    """`with serve(app, **server_options) as served`: the app on a free port of a real socket, until the block ends."""
    return _served


@pytest.fixture(params=["asgi", "socket"])
def client_for(request: pytest.FixtureRequest) -> Iterator[Callable[..., httpx.Client]]:
    """`client_for(app, **server_options)`: a started client, in this process ("asgi") and over a socket ("socket").

    In this process only `root_path` has a meaning. Both follow redirects, both see what the app's error handling
    answers and no exception. The lifespan has started, and ends with the test.
    """
    with contextlib.ExitStack() as stack:

        def in_process(app: Any, root_path: str = "", **options: Any) -> httpx.Client:
            from turboapi.testclient import TestClient

            return stack.enter_context(TestClient(app, raise_server_exceptions=False, root_path=root_path))

        def over_socket(app: Any, **options: Any) -> httpx.Client:
            served = stack.enter_context(_served(app, **options))
            client = httpx.Client(base_url=served.url, follow_redirects=True, trust_env=False, timeout=PATIENCE)
            return stack.enter_context(client)

        yield in_process if request.param == "asgi" else over_socket
