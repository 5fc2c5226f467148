"""Middleware as two functions: in process, over a socket, and as an ASGI application under any server."""

import asyncio
import functools
import threading

import httpx
import pytest

from tests.middleware.exchanges import exchange, headers_of, http_scope, response, sender, websocket_scope
from turboapi import Request, TurboAPI, WebSocket
from turboapi.middleware import CustomMiddleware, Middleware
from turboapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from turboapi.testclient import TestClient

PATIENCE = 20


def before(request):
    request.state.user = request.headers.get("x-user", "nobody")
    if request.state.user == "enemy":
        return JSONResponse({"detail": "go away"}, 403)
    return None


def after(request, response):
    response.headers["X-After"] = request.state.user
    return PlainTextResponse("replaced", 201) if request.url.path == "/replaced" else None


async def async_before(request):
    await asyncio.sleep(0)
    return before(request)


async def async_after(request, response):
    await asyncio.sleep(0)
    return after(request, response)


class Overridden(CustomMiddleware):
    def before(self, request):
        return before(request)

    def after(self, request, response):
        return after(request, response)


class AsyncOverridden(CustomMiddleware):
    async def before(self, request):
        return await async_before(request)

    async def after(self, request, response):
        return await async_after(request, response)


class Callable:
    async def __call__(self, request):
        return before(request)


KINDS = {
    "def": Middleware(CustomMiddleware, before=before, after=after),
    "async def": Middleware(CustomMiddleware, before=async_before, after=async_after),
    "object": Middleware(CustomMiddleware, before=Callable(), after=functools.partial(async_after)),
    "methods": Middleware(Overridden),
    "async methods": Middleware(AsyncOverridden),
    "both": Middleware(Overridden, before=async_before),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def app(request):
    app = TurboAPI(middleware=[request.param])

    @app.get("/")
    @app.get("/replaced")
    async def read(request: Request):
        return request.state.user

    @app.post("/")
    async def echo(body: dict[str, int]):
        return body

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["a", "b"]))

    @app.get("/fails")
    async def fail():
        raise ValueError("no")

    @app.websocket("/ws")
    async def talk(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


def test_functions_run_around_the_application(client_for, app):
    client = client_for(app)
    found = client.get("/", headers={"X-User": "me"})
    assert (found.status_code, found.json(), found.headers["x-after"]) == (200, "me", "me")
    found = client.get("/", headers={"X-User": "enemy"})
    assert (found.status_code, found.json(), "x-after" in found.headers) == (403, {"detail": "go away"}, False)
    found = client.get("/replaced")
    assert (found.status_code, found.text, "x-after" in found.headers) == (201, "replaced", False)
    assert client.post("/", json={"a": 1}).json() == {"a": 1}


def test_streams_pass(client_for, app):
    found = client_for(app).get("/stream")
    assert (found.text, found.headers["x-after"]) == ("ab", "nobody")


def test_errors_pass(client_for, app):
    client = client_for(app)
    found = client.get("/fails")
    assert (found.status_code, "x-after" in found.headers) == (500, False)
    found = client.get("/nowhere")
    assert (found.status_code, found.headers["x-after"]) == (404, "nobody")


def test_websockets_pass_untouched(app):
    with TestClient(app) as client, client.websocket_connect("/ws", headers={"X-User": "enemy"}) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"
    messages = [{"type": "websocket.accept"}]
    assert exchange(CustomMiddleware(sender(*messages), before=before), websocket_scope()) == messages


def test_clients_that_leave_a_stream(serve):
    closed = threading.Event()

    async def count():
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    app = TurboAPI(middleware=[Middleware(CustomMiddleware, after=async_after, before=async_before)])
    app.get("/")(lambda: StreamingResponse(count()))
    with serve(app) as served:
        with httpx.stream("GET", served.url, trust_env=False, timeout=PATIENCE) as found:
            assert found.headers["x-after"] == "nobody"
            assert next(found.iter_raw())
        assert closed.wait(PATIENCE)


@pytest.mark.parametrize(
    ("options", "threads"), [({}, 0), ({"before": before}, 1), ({"before": async_before, "after": async_after}, 0)]
)
def test_only_def_runs_in_a_thread(options, threads, monkeypatch):
    used = []

    async def run_in_threadpool(func, *args):
        used.append(func)
        return func(*args)

    monkeypatch.setattr("turboapi.middleware.custom.run_in_threadpool", run_in_threadpool)
    log = exchange(CustomMiddleware(response(), **options), http_scope())
    assert (log[0]["status"], len(used)) == (200, threads)


def test_one_function_is_enough():
    def tag(request, response):
        response.headers["X-After"] = "yes"

    log = exchange(CustomMiddleware(response(), after=tag), http_scope())
    assert ("x-after", "yes") in headers_of(log)


@pytest.mark.parametrize("options", [{"before": lambda request: {}}, {"after": lambda request, response: b""}])
def test_results_are_checked(options):
    [(name, message)] = exchange(CustomMiddleware(response(), **options), http_scope())
    assert name == "TypeError"
    assert "must return a Response or None, not " in message


def test_errors_of_the_functions_are_errors():
    def fail(*args):
        raise LookupError("no")

    assert exchange(CustomMiddleware(response(), before=fail), http_scope()) == [("LookupError", "no")]
    assert exchange(CustomMiddleware(response(), after=fail), http_scope()) == [("LookupError", "no")]
