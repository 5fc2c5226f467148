"""ASGI applications of all kinds on the built-in server; what uvicorn makes of them decides."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from tests.conftest import PATIENCE, _served_by_uvicorn
from tests.wire.harness import parse_answers, read_body, request, respond
from turboapi import TurboAPI
from turboapi._application import Starlette as TurboStarlette
from turboapi.middleware import Middleware

LEFT_OUT = ("date", "server", "connection", "transfer-encoding", "content-length")  # the framing is the server's choice
ASGI_KEYS = ("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path")
TEXT = (b"content-type", b"text/plain")
START = {"type": "http.response.start", "status": 200, "headers": [TEXT]}


class Seen(NamedTuple):
    """What a client got on one connection, and what the server wrote about it to its log of errors."""

    status: int | None
    headers: list[tuple[str, str]]
    body: bytes | str
    log: list[str]


@pytest.fixture
def compare(serve: Any, caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[Seen, Seen]]:
    """`compare(app, data)`: what uvicorn and what the built-in server, with the app `ours`, answer to a request."""

    def look(port: int, data: bytes, method: str, logger: str) -> Seen:
        caplog.clear()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65536):
                    received += part
        return Seen(*parse(received, method), errors(logger))  # type: ignore[arg-type]

    def errors(logger: str) -> list[str]:
        records = [record for record in caplog.records if record.name == logger and record.levelno >= logging.ERROR]
        return [record.getMessage().strip() + described(record) for record in records]

    def compare(
        app: Any, data: bytes | None = None, method: str = "GET", ours: Any = None, **options: Any
    ) -> tuple[Seen, Seen]:
        data = data or request(f"{method} / HTTP/1.1", "Connection: close")
        with caplog.at_level(logging.ERROR), caplog.at_level(logging.ERROR, "uvicorn.error"):
            with _served_by_uvicorn(app, ws="none", http="httptools", **options) as served:
                expected = look(served.port, data, method, "uvicorn.error")
            with serve(ours or app, **options) as served:
                return expected, look(served.port, data, method, "turboapi.error")

    return compare


def parse(received: bytes, method: str) -> tuple[int | None, list[tuple[str, str]], bytes | str]:
    try:
        [answer] = parse_answers(received, [method])
    except Exception as exc:  # cut off
        return None, [], type(exc).__name__
    headers = [pair for pair in answer.headers if pair[0] not in LEFT_OUT]
    return answer.status, sorted(headers), answer.body


def described(record: logging.LogRecord) -> str:
    return f" {record.exc_info[1]!r}" if record.exc_info else ""


# --- applications that do right --------------------------------------------------------------------------------------


async def describe(scope, receive, send):
    body = await read_body(receive)
    shown = {key: scope[key] for key in ASGI_KEYS}
    await respond(send, f"{shown} {body!r}".encode(), headers=[TEXT])


async def parts(scope, receive, send):
    await send(START)
    for part in (b"one", bytearray(b"two"), memoryview(b"three"), b""):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


async def without_optional_keys(scope, receive, send):
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def upper_case_headers(scope, receive, send):
    await respond(send, b"ok", headers=[(b"X-One", b"1"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")])


async def receives_more(scope, receive, send):
    kinds = [(await receive())["type"]]
    await respond(send, b"ok")
    kinds += [(await receive())["type"], (await receive())["type"]]
    assert kinds == ["http.request", "http.disconnect", "http.disconnect"]


async def names_keys(scope, receive, send):
    await respond(send, f"{sorted(scope)} {sorted(scope['asgi'])} {scope['headers']}".encode())


class Awaitable:
    """Called with the three arguments it is its own coroutine."""

    def __init__(self, scope, receive, send):
        self.arguments = scope, receive, send

    def __await__(self):
        return describe(*self.arguments).__await__()


GOOD = {
    "describe": describe,
    "names_keys": names_keys,
    "parts": parts,
    "without_optional_keys": without_optional_keys,
    "upper_case_headers": upper_case_headers,
    "receives_more": receives_more,
    "awaitable": Awaitable,
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("app", GOOD.values(), ids=GOOD)
def test_good_applications(compare, app, method):
    body = b"" if method != "POST" else b"some text"
    data = request(
        f"{method} /a%20b/%C3%A9?q=1 HTTP/1.1", "Connection: close", f"Content-Length: {len(body)}", body=body
    )
    expected, answer = compare(app, data, method, lifespan="off")
    assert answer == expected
    assert answer.log == []


# --- and wrong -------------------------------------------------------------------------------------------------------


async def returns_nothing(scope, receive, send):
    pass


async def stops_in_the_middle(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": b"one", "more_body": True})


async def returns_a_value(scope, receive, send):
    await respond(send, b"ok")
    return 5


async def raises(scope, receive, send):
    raise ValueError("wrong")


async def raises_in_the_middle(scope, receive, send):
    await stops_in_the_middle(scope, receive, send)
    raise ValueError("wrong")


async def raises_at_the_end(scope, receive, send):
    await respond(send, b"ok")
    raise ValueError("wrong")


async def exits(scope, receive, send):
    raise SystemExit(3)


async def is_cancelled(scope, receive, send):
    raise asyncio.CancelledError("by itself")


async def body_first(scope, receive, send):
    await send({"type": "http.response.body", "body": b"one"})


async def starts_twice(scope, receive, send):
    await send(START)
    await asyncio.sleep(0.01)
    await send(START)


async def unknown_message(scope, receive, send):
    await send({"type": "http.response.surprise"})


async def path_is_not_sent(scope, receive, send):
    await send(START)
    await asyncio.sleep(0.01)
    await send({"type": "http.response.pathsend", "path": "/etc/hostname"})


async def sends_too_late(scope, receive, send):
    await respond(send, b"ok")
    await send({"type": "http.response.body", "body": b"more"})


async def too_long(scope, receive, send):
    await send({**START, "headers": [(b"content-length", b"2")]})
    await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"three"})


async def too_short(scope, receive, send):
    await send({**START, "headers": [(b"content-length", b"9")]})
    await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"three"})


async def without_status(scope, receive, send):
    await send({"type": "http.response.start", "headers": []})


BAD = {
    app.__name__: app
    for app in (
        returns_nothing,
        stops_in_the_middle,
        returns_a_value,
        raises,
        raises_in_the_middle,
        raises_at_the_end,
        exits,
        is_cancelled,
        body_first,
        starts_twice,
        unknown_message,
        path_is_not_sent,
        sends_too_late,
        too_long,
        too_short,
    )
}


@pytest.mark.parametrize("app", BAD.values(), ids=BAD)
def test_bad_applications(compare, app):
    expected, answer = compare(app, lifespan="off")
    assert answer == expected
    assert len(answer.log) == 1


async def sends_trailers(scope, receive, send):
    await send({**START, "trailers": True})
    await send({"type": "http.response.body", "body": b"ok"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def says_no_status(scope, receive, send):
    await send({"type": "http.response.start", "headers": []})


async def sends_text(scope, receive, send):
    await respond(send, b"ok", headers=[("x-one", "1")])


def test_trailers_that_were_not_asked_for_are_left_out(compare):
    _, answer = compare(sends_trailers, lifespan="off")
    assert (answer.status, answer.body, answer.log) == (200, b"ok", [])


@pytest.mark.parametrize("app", [says_no_status, sends_text])
def test_a_malformed_start_is_answered(compare, app):
    """Uvicorn cuts these connections off."""
    _, answer = compare(app, lifespan="off")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert len(answer.log) == 1


def leaves(app, error, pause):
    @app.get("/")
    async def leave():
        await asyncio.sleep(0.001 * pause)
        raise error()

    return app


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_a_handler_that_exits_does_not_stop_the_server(compare, error, pause):
    expected, answer = compare(leaves(FastAPI(), error, pause), ours=leaves(TurboAPI(), error, pause))
    assert answer == expected
    assert answer.status == 500
    assert len(answer.log) == 1


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "later"])
def test_a_handler_that_exits_in_middleware_does_not_stop_the_server(serve, pause):
    """It stops uvicorn."""

    async def pass_on(request, call_next):
        return await call_next(request)

    app = leaves(TurboAPI(), SystemExit, pause)
    app.middleware("http")(pass_on)
    with serve(app) as served, httpx.Client(base_url=served.url, trust_env=False) as client:
        assert [client.get("/").status_code for _ in range(2)] == [500, 500]


# --- frameworks ------------------------------------------------------------------------------------------------------


def django_app() -> Any:
    django = pytest.importorskip("django", reason="Django is not installed: nox -s servers")
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path

    def hello(request: Any) -> Any:
        answer = JsonResponse({"path": request.path, "query": request.GET.dict(), "host": request.get_host()})
        answer.set_cookie("seen", "1")
        return answer

    async def upload(request: Any) -> Any:
        return HttpResponse(f"{len(request.body)} {request.method}")

    def stream(request: Any) -> Any:
        async def parts() -> Any:
            for part in (b"one", b"two"):
                yield part

        return StreamingHttpResponse(parts())

    def broken(request: Any) -> Any:
        raise ValueError("wrong")

    if not settings.configured:
        views = [path("text/<str:name>", hello), path("upload", upload), path("stream", stream), path("broken", broken)]
        settings.configure(ROOT_URLCONF=tuple(views), ALLOWED_HOSTS=["*"], SECRET_KEY="test", LOGGING_CONFIG=None)
        django.setup()
    return get_asgi_application()


def quart_app() -> Any:
    quart = pytest.importorskip("quart", reason="Quart is not installed: nox -s servers")
    app = quart.Quart("test")

    @app.get("/text/<name>")
    async def hello(name: str) -> Any:
        return {"name": name, "query": quart.request.args, "root": quart.request.root_path}, 200, {"set-cookie": "a=1"}

    @app.post("/upload")
    async def upload() -> str:
        return f"{len(await quart.request.data)}"

    @app.get("/stream")
    async def stream() -> Any:
        async def parts() -> Any:
            for part in (b"one", b"two"):
                yield part

        return parts()

    @app.get("/broken")
    async def broken() -> Any:
        raise ValueError("wrong")

    return app


def starlette_app() -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield {"greeting": "hello"}

    async def hello(request: Any) -> Any:
        return PlainTextResponse(f"{request.url.path} {request.path_params} {dict(request.state._state)}")

    async def upload(request: Any) -> Any:
        return PlainTextResponse(str(len(await request.body())))

    def stream(request: Any) -> Any:
        return StreamingResponse(iter(["one", "two" * 500]))

    def broken(request: Any) -> Any:
        raise ValueError("wrong")

    return Starlette(
        lifespan=lifespan,
        middleware=[StarletteMiddleware(GZipMiddleware, minimum_size=5)],
        routes=[
            Route("/text/{name}", hello),
            Route("/upload", upload, methods=["POST"]),
            Route("/stream", stream),
            Route("/broken", broken),
        ],
    )


FRAMEWORKS = {"django": django_app, "quart": quart_app, "starlette": starlette_app}
REQUESTS = {
    "text": request("GET /text/%C3%A9?a=1&b=%20 HTTP/1.1", "Connection: close"),
    "upload": request("POST /upload HTTP/1.1", "Connection: close", "Content-Length: 100000", body=b"x" * 100_000),
    "stream": request("GET /stream HTTP/1.1", "Connection: close", "Accept-Encoding: gzip"),
    "exception": request("GET /broken HTTP/1.1", "Connection: close"),
    "missing": request("GET /missing HTTP/1.1", "Connection: close"),
    "method": request("DELETE /upload HTTP/1.1", "Connection: close"),
}


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_frameworks(compare, framework, data):
    expected, answer = compare(framework(), data)
    assert answer == expected


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_mounted_frameworks(compare, framework, data):
    """Below a prefix of a TurboAPI application on the built-in server as of a FastAPI one under uvicorn."""

    def build(app):
        app.mount("/sub", framework())
        return app

    data = data.replace(b" /", b" /sub/", 1)
    expected, answer = compare(build(FastAPI()), data, ours=build(TurboAPI()))
    assert answer[:3] == expected[:3]
    assert len(answer.log) == len(expected.log)


# --- around an application -------------------------------------------------------------------------------------------


class Stamp:
    """Middleware as a class; it passes on every question about itself, as transparent wrappers do."""

    def __init__(self, app, name=b"x-stamp"):
        self.app, self.name = app, name

    def __getattr__(self, attribute):
        return getattr(self.app, attribute)

    async def __call__(self, scope, receive, send):
        async def stamped(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (self.name, b"yes")]
            await send(message)

        await self.app(scope, receive, stamped)


def stamp(app):
    """Middleware as a function."""
    wrapper = Stamp(app)

    async def stamped(scope, receive, send):
        await wrapper(scope, receive, send)

    return stamped


def items(app):
    @app.get("/items/{number}")
    async def read(number: int):
        return {"number": number}

    app.mount("/described", describe)
    return app


AROUND = {
    "class": lambda App, middleware: Stamp(items(App())),
    "function": lambda App, middleware: stamp(items(App())),
    "argument": lambda App, middleware: items(App(middleware=[middleware(Stamp, name=b"x-other")])),
    "twice": lambda App, middleware: Stamp(items(App(middleware=[middleware(stamp), middleware(Stamp)]))),
    "mounted": lambda App, middleware: Starlette(routes=[Mount("/api", Stamp(items(App()))), Mount("/", items(App()))]),
}


@pytest.mark.parametrize(
    "target", ["/items/1", "/items/x", "/api/items/2", "/described/a%20b", "/api/described", "/nothing"]
)
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_wrapped_applications(compare, around, target):
    data = request(f"GET {target} HTTP/1.1", "Connection: close")
    expected, answer = compare(around(FastAPI, StarletteMiddleware), data, ours=around(TurboAPI, Middleware))
    assert answer == expected


@pytest.mark.parametrize("owner", [TurboAPI, TurboStarlette])
def test_a_changed_class_is_called(compare, monkeypatch, owner):
    """Tools that watch applications replace `__call__` of the class."""
    called = []
    original = owner.__call__

    async def watched(self, scope, receive, send):
        called.append(scope["type"])
        await original(self, scope, receive, send)

    monkeypatch.setattr(owner, "__call__", watched)
    data = request("GET /items/1 HTTP/1.1", "Connection: close")
    compare(items(FastAPI()), data, ours=items(TurboAPI()))
    assert called == ["lifespan", "http"]
