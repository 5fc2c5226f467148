"""`Settings`, and an exchange as the framework above sees it; the wire itself is the subject of tests/wire."""

import asyncio
import gc
import weakref

import pytest

from tests.wire.harness import Site, Wire, chunked, request
from turboapi import Depends, HTTPException, Request, Response, TurboAPI
from turboapi._speedups import AccessLog
from turboapi._speedups.exchange import Connection, HttpExchange, Settings
from turboapi.background import BackgroundTasks
from turboapi.responses import JSONResponse


def test_settings_keep_what_they_are_given():
    numbers = [name for name in dir(Settings) if name.startswith(("limit_", "timeout_"))]
    assert len(numbers) == 10
    options = dict.fromkeys(numbers, 7) | {"root_path": "/api", "access_log": AccessLog(print)}
    made = Settings(**options)
    assert {name: getattr(made, name) for name in options} == options
    assert Settings().write_flags == 0
    assert len({Settings(server_header=a, date_header=b).write_flags for a in (0, 1) for b in (0, 1)}) == 4


@pytest.mark.parametrize("wrong", [{"limit": 1}, {"limit_body": "1"}, {"timeout_body": "soon"}, {"root_path": 1}])
def test_settings_refuse_what_they_do_not_know(wrong):
    with pytest.raises(TypeError):
        Settings(**wrong)


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        Settings().limit_body = 5


def test_connection_is_filled_in_by_the_protocol():
    assert issubclass(HttpExchange, object)
    assert Connection().client is None


@pytest.fixture
def served():
    sites = []

    def serve(app, **settings):
        site = app.freeze()
        assert isinstance(site, Site)
        sites.append(Wire(site, **settings))
        return sites[-1]

    yield serve
    for site in sites:
        site.close()


def test_injected_headers(served):
    app = TurboAPI()

    @app.get("/")
    async def root(response: Response) -> dict:
        response.headers["x-name"] = "value"
        response.headers["server"] = "mine"
        response.headers["connection"] = "close"
        response.set_cookie("a", "b")
        response.status_code = 201
        return {"a": 1}

    peer = served(app).connect().feed(request())
    [answer] = peer.answers()
    assert (answer.status, answer.body, answer.header("x-name")) == (201, b'{"a":1}', "value")
    assert (answer.header("server"), answer.header("connection"), answer.header("content-length")) == (
        "mine",
        "close",
        "7",
    )
    assert answer.header("content-type") == "application/json"
    assert not peer.open


def test_injected_content_length_is_not_repeated(served, caplog):
    app = TurboAPI()

    @app.get("/")
    async def root(response: Response) -> dict:
        response.headers["content-length"] = "7"
        return {"a": 1}

    [answer] = served(app).answer(request())
    assert (answer.header("content-length"), answer.body) == ("7", b'{"a":1}')


def test_injected_line_ends_are_an_error_page(served, caplog):
    app = TurboAPI()

    @app.get("/")
    async def root(response: Response) -> dict:
        response.headers["x-name"] = "a\r\nset-cookie: b"
        return {}

    peer = served(app).connect().feed(request() * 2)
    assert peer.statuses() == [500, 500]
    assert b"set-cookie" not in peer.output


def test_refused_stream_is_an_http_exception(served):
    app = TurboAPI()

    @app.post("/")
    async def root(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    site = served(app, limit_body=10)
    head = request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    for rest, status in ((chunked(b"x" * 11), 413), (b"zz\r\n", 400), (chunked(b"x" * 10), 200)):
        [answer] = site.connect().feed(head, rest).answers()
        assert answer.status == status
        assert answer.header("content-type") == "application/json"


def test_background_tasks_follow_the_answer(served):
    app, seen = TurboAPI(), []

    async def later(peer):
        seen.append(bool(peer[0].output))
        await asyncio.sleep(0)

    peers = []

    @app.get("/")
    async def root(tasks: BackgroundTasks) -> int:
        tasks.add_task(later, peers)
        await asyncio.sleep(0)
        return 1

    peers.append(served(app).connect())
    assert peers[0].feed(request()).statuses() == [200]
    assert seen == [True]


async def generator():
    yield 1


class Sentinel:
    pass


def test_a_finished_request_is_freed_without_the_collector(served):
    app, dead = TurboAPI(), []

    def remember(request):
        request.state.sentinel = Sentinel()
        dead.append(weakref.ref(request.state.sentinel))

    @app.get("/plain")
    async def plain(request: Request) -> int:
        remember(request)
        return 1

    @app.get("/waits")
    async def waits(request: Request, response: Response) -> JSONResponse:
        remember(request)
        await asyncio.sleep(0)
        return JSONResponse({})

    @app.post("/body")
    async def body(request: Request) -> int:
        remember(request)
        return len(await request.body())

    @app.get("/fails")
    async def fails(request: Request) -> int:
        remember(request)
        raise HTTPException(status_code=418)

    @app.get("/yields")
    async def yields(request: Request, value: int = Depends(generator)) -> int:
        remember(request)
        return value

    site = served(app)
    paths = ["GET /plain", "GET /waits", "POST /body", "GET /fails", "GET /yields"]
    peer = site.connect()
    for path in paths:
        peer.feed(request(f"{path} HTTP/1.1"))
    dead.clear()
    gc.collect()
    gc.disable()
    try:
        for path in paths:
            peer.feed(request(f"{path} HTTP/1.1"))
        assert len(dead) == len(paths)
        assert [path for path, ref in zip(paths, dead, strict=True) if ref() is not None] == []
    finally:
        gc.enable()
