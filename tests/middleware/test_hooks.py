"""Middleware written as hooks, in process."""

import pytest

from turboapi import TurboAPI
from turboapi.middleware import HookMiddleware, Middleware, ResponseHook
from turboapi.responses import PlainTextResponse, StreamingResponse
from turboapi.testclient import TestClient


class Recorder(ResponseHook):
    def __init__(self, log):
        self.log = log

    def head(self, status, headers):
        self.log.append(("head", status))
        headers.append((b"x-hooked", b"yes"))

    def end(self, error):
        self.log.append(("end", error and type(error).__name__))


class Gate(HookMiddleware):
    def __init__(self, app, log):
        super().__init__(app)
        self.log = log

    def before(self, exchange):
        self.log.append((exchange.method, exchange.path))
        if exchange.path == "/refused":
            return PlainTextResponse("refused", 403)
        return Recorder(self.log) if exchange.path != "/unseen" else None


class SlowGate(Gate):
    async def before(self, exchange):
        return super().before(exchange)


def make_app(gate, log):
    app = TurboAPI(middleware=[Middleware(gate, log)])

    @app.get("/")
    @app.get("/unseen")
    async def hello():
        return "hello"

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["a", "b"]))

    @app.get("/fails")
    async def fails():
        raise ValueError("no")

    return app


@pytest.mark.parametrize("gate", [Gate, SlowGate])
@pytest.mark.parametrize(
    ("path", "status", "hooked", "after"),
    [
        ("/", 200, True, [("head", 200), ("end", None)]),
        ("/stream", 200, True, [("head", 200), ("end", None)]),
        ("/unseen", 200, False, []),
        ("/refused", 403, False, []),
        ("/nowhere", 404, True, [("head", 404), ("end", None)]),
        ("/fails", 500, False, [("end", "ValueError")]),
    ],
)
def test_hooks(gate, path, status, hooked, after):
    log = []
    with TestClient(make_app(gate, log), raise_server_exceptions=False) as client:
        response = client.get(path)
    assert response.status_code == status
    assert ("x-hooked" in response.headers) is hooked
    assert log == [("GET", path), *after]
