"""What happens to a request whose client leaves before it is answered."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import PATIENCE, _served
from tests.wire.harness import Wire, request
from turboapi import BackgroundTasks, Depends, Request, TurboAPI


def application(log: list[str], **options: Any) -> TurboAPI:
    app = TurboAPI(**options)

    async def dependency() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as exc:
            log.append(f"dependency sees {type(exc).__name__}")
            raise
        finally:
            log.append("dependency ends")

    async def wait(name: str) -> None:
        log.append(f"{name} begins")
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            log.append(f"{name} ends")
        except asyncio.CancelledError:
            log.append(f"{name} is cancelled")
            raise

    @app.get("/handler")
    async def handler() -> None:
        await wait("handler")

    @app.get("/dependency", dependencies=[Depends(dependency)])
    async def with_dependency() -> None:
        await wait("handler")

    @app.get("/task")
    async def with_task(tasks: BackgroundTasks) -> None:
        tasks.add_task(wait, "task")

    @app.get("/stubborn")
    async def stubborn() -> None:
        try:
            await wait("handler")
        except asyncio.CancelledError:
            await wait("rest")

    return app


def left(app: TurboAPI, path: str) -> None:
    """Ask for a path and leave at once."""
    wire = Wire(app.freeze())
    peer = wire.connect()
    peer.feed(request(f"GET {path} HTTP/1.1"))
    peer.leave()
    wire.settle()
    wire.run(asyncio.sleep(0.05))
    assert wire.hub.requests == 0
    assert not wire.hub.runner.suspended
    wire.close()


CASES = {
    "/handler": ["handler begins", "handler is cancelled"],
    "/dependency": [
        "handler begins",
        "handler is cancelled",
        "dependency sees CancelledError",
        "dependency ends",
    ],
    "/task": ["task begins", "task ends"],
    "/stubborn": ["handler begins", "handler is cancelled", "rest begins", "rest ends"],
}


@pytest.mark.parametrize("behind", ["nothing", "middleware"])
@pytest.mark.parametrize("path", CASES)
def test_what_is_not_answered_is_cancelled(path: str, behind: str) -> None:
    log: list[str] = []
    app = application(log, cancel_on_disconnect=True)
    if behind == "middleware":

        @app.middleware("http")
        async def pass_on(request: Request, call_next: Any) -> Any:
            return await call_next(request)

    left(app, path)
    assert log == CASES[path]


def test_nothing_is_cancelled_unless_the_application_says_so() -> None:
    log: list[str] = []
    left(application(log), "/dependency")
    assert log == ["handler begins", "handler ends", "dependency ends"]


def test_over_a_socket() -> None:
    app = TurboAPI(cancel_on_disconnect=True)
    begun, cancelled = threading.Event(), threading.Event()

    @app.get("/")
    async def handler() -> None:
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with _served(app) as served:
        with socket.create_connection((served.host, served.port)) as connection:
            connection.sendall(request("GET / HTTP/1.1"))
            assert begun.wait(PATIENCE)
            assert not cancelled.is_set()
        assert cancelled.wait(PATIENCE)
