"""µs per request of `def` handlers and dependencies on the built-in server: bytes into the protocol and out of it.

`python -m benchmarks.micro.sync [requests]`

The time in threads is measured with one request at a time: all of it is the way to a thread and back.
"""

import asyncio
import sys
from time import perf_counter
from typing import Annotated, Any

import uvloop

from benchmarks.micro.protocol import HOST, time_of
from turboapi import Depends, TurboAPI
from turboapi._speedups import Hub, Settings
from turboapi.testclient import TestClient
from turboapi.types import SyncMode

HELLO = b"GET /hello HTTP/1.1\r\n" + HOST + b"\r\n"
DEPENDENCIES = b"GET /me HTTP/1.1\r\n" + HOST + b"\r\n"


def make_async_app() -> TurboAPI:
    app = TurboAPI()

    async def token() -> str:
        return "secret"

    async def user(token: Annotated[str, Depends(token)]) -> str:
        return f"user-{token}"

    @app.get("/hello")
    async def hello() -> Any:
        return {"message": "Hello, World!"}

    @app.get("/me")
    async def me(user: Annotated[str, Depends(user)]) -> Any:
        return {"name": user}

    return app


def make_sync_app(mode: SyncMode) -> TurboAPI:
    app = TurboAPI(sync_mode=mode)

    def token() -> str:
        return "secret"

    def user(token: Annotated[str, Depends(token)]) -> str:
        return f"user-{token}"

    @app.get("/hello")
    def hello() -> Any:
        return {"message": "Hello, World!"}

    @app.get("/me")
    def me(user: Annotated[str, Depends(user)]) -> Any:
        return {"name": user}

    return app


def prove(app: TurboAPI) -> None:
    """Send requests until everything that can run inline does so."""
    with TestClient(app) as client:
        for _ in range(500):
            client.get("/hello")
            client.get("/me")


def time_inline(app: TurboAPI, request: bytes, count: int) -> float:
    loop = uvloop.new_event_loop()
    spent = []

    def run() -> None:
        spent.append(time_of(request, Hub(loop, app.freeze(), Settings(), {}), count))
        loop.stop()

    loop.call_soon(run)
    loop.run_forever()
    loop.close()
    return spent[0]


def time_in_threads(app: TurboAPI, path: str, count: int) -> float:
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Nobody is there."""

    async def run() -> float:
        started = perf_counter()
        for _ in range(count):
            await app(dict(scope), receive, send)
        return (perf_counter() - started) / count * 1e6

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    adaptive = make_sync_app("auto")
    prove(adaptive)
    apps = {"async def": make_async_app(), "def, inline": make_sync_app("inline"), "def, auto": adaptive}
    for title, request in (("handler", HELLO), ("handler and two dependencies", DEPENDENCIES)):
        print(title)
        for name, app in apps.items():
            print(f"  {name:20} {time_inline(app, request, count):7.2f} µs")
        threads = time_in_threads(make_sync_app("thread"), "/hello" if request is HELLO else "/me", count // 50)
        print(f"  {'def, thread':20} {threads:7.2f} µs (by ASGI)")


if __name__ == "__main__":
    main()
