"""What only shows on a running server: real sockets, real loops, several clients at once.

`client_for` runs each test twice, in this process and over a socket, which have to agree; where it matters, FastAPI's test
client is asked as well.
"""

import asyncio
import contextlib
import gc
import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient as StarletteClient

from tests.compat.client import Request, ask_asgi
from tests.compat.framework import FASTAPI, TURBOAPI, Framework
from tests.compat.oracle import assert_same
from tests.conftest import PATIENCE, _served_by_uvicorn
from tests.wire.harness import chunked, parse_answers, request

ONCE = httpx.Limits(max_keepalive_connections=0)  # a connection for each request


def build(program: str, framework: Framework = TURBOAPI, **names: Any) -> tuple[Any, list[Any]]:
    """Return the program's application and its log; `names` are globals of the program."""
    log: list[Any] = []
    return framework.run(dedent(program), log, **names), log


def client_of(served: Any) -> httpx.Client:
    return httpx.Client(base_url=served.url, timeout=PATIENCE, trust_env=False)


def talk(served: Any, *parts: bytes, methods: tuple[str, ...] = ()) -> list[Any]:
    """Send parts on one connection, the last of which asks to close it, and return the answers."""
    with socket.create_connection((served.host, served.port), PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return parse_answers(received, methods)


# --- files -----------------------------------------------------------------------------------------------------------

FILES = """
app = App()
app.mount("/static", StaticFiles(directory=FOLDER))
@app.get("/file")
async def file():
    return FileResponse(FOLDER + "/data.txt", filename="ü.txt", background=BackgroundTask(log.append, "file"))
@app.get("/created", status_code=201)
def created():
    return FileResponse(FOLDER + "/data.txt", status_code=201)
"""
PASSING = """
@app.middleware("http")
async def passing(request, call_next):
    return await call_next(request)
"""
GZIPPED = "app.add_middleware(GZipMiddleware)\n"
RANGES = (
    "",
    "bytes=0-",
    "bytes=7-299999",
    "bytes=-200000",
    "bytes=9999999-",
    "bytes=2-1",
    "lines=1",
)


@pytest.mark.parametrize("middleware", ["", PASSING, GZIPPED], ids=["direct", "behind middleware", "gzip"])
@pytest.mark.parametrize("size", [0, 100, 65536, 500_000])
def test_files_are_sent_as_by_fastapi(serve, tmp_path, size, middleware):
    (tmp_path / "data.txt").write_bytes(b"0123456789" * (size // 10) + b"x" * (size % 10))
    (app, log), (theirs, their_log) = (
        build(FILES + middleware, framework, FOLDER=str(tmp_path)) for framework in (TURBOAPI, FASTAPI)
    )
    varying = ("date", "server", "transfer-encoding")
    with serve(app) as served, client_of(served) as client, StarletteClient(theirs) as reference:
        for method, path, wanted in itertools.product(
            ("GET", "HEAD"), ("/file", "/created", "/static/data.txt", "/static/no.txt"), RANGES
        ):
            headers = {"range": wanted} if wanted else {}
            ours, expected = (asked.request(method, path, headers=headers) for asked in (client, reference))
            assert ours.status_code == expected.status_code
            assert ours.content == expected.content
            assert {k: v for k, v in ours.headers.items() if k not in varying} == {
                k: v for k, v in expected.headers.items() if k not in varying
            }
    assert log == their_log


# --- streams ---------------------------------------------------------------------------------------------------------

STREAMS = """
import asyncio
app = App()
go = []
def later():
    go.append(asyncio.Event())
    return go[-1]
def finish():
    closed.set()
@app.post("/go")
async def release():
    while not go:  # the part that was sent may be ahead of what its generator does next
        await asyncio.sleep(0)
    go[-1].set()
@app.get("/response")
async def response():
    async def parts():
        yield "one\\n"
        await later().wait()
        yield "two\\n"
    return StreamingResponse(parts())
@app.get("/lines")
async def lines() -> AsyncIterator[str]:
    yield "one"
    await later().wait()
    yield "two"
@app.get("/events", response_class=EventSourceResponse)
async def events():
    yield ServerSentEvent(data="one")
    await later().wait()
    yield ServerSentEvent(data="two")
@app.get("/endless")
async def endless() -> AsyncIterator[int]:
    try:
        while True:
            yield 1
            await asyncio.sleep(0)
    finally:
        finish()
@app.get("/breaks")
async def breaks():
    async def parts():
        yield "one"
        await asyncio.sleep(0)
        raise ValueError("mid-stream")
    return StreamingResponse(parts())
"""


@pytest.mark.parametrize("middleware", ["", PASSING], ids=["direct", "behind middleware"])
@pytest.mark.parametrize("path", ["/response", "/lines", "/events"])
def test_a_stream_is_sent_as_it_is_made(serve, path, middleware):
    app, _ = build(STREAMS + middleware, closed=threading.Event())
    with serve(app) as served, client_of(served) as client, client.stream("GET", path) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert "one" in next(lines)
        client.post("/go")  # only now the second line can be made
        assert "two" in next(lines)


@pytest.mark.parametrize("middleware", ["", PASSING], ids=["direct", "behind middleware"])
def test_a_generator_is_closed_when_the_client_leaves(serve, middleware):
    closed = threading.Event()
    app, _ = build(STREAMS + middleware, closed=closed)
    with serve(app) as served:
        with client_of(served) as client, client.stream("GET", "/endless") as answer:
            assert next(answer.iter_lines()) == "1"
        for _ in range(int(PATIENCE * 10)):
            if closed.wait(0.1):
                break
            gc.collect()  # nobody closes a generator but its end, as in Starlette: here an exception's frames hold it
        assert closed.is_set()


def test_a_stream_that_breaks_is_no_complete_answer(serve):
    app, _ = build(STREAMS, closed=threading.Event())
    with serve(app) as served, client_of(served) as client:
        with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", "/breaks") as answer:
            for part in answer.iter_text():
                assert part == "one"
        assert client.post("/nowhere").status_code == 404


# --- middleware ------------------------------------------------------------------------------------------------------

MIDDLEWARE = """
from contextvars import ContextVar
user = ContextVar("user", default="nobody")
class Outer:
    def __init__(self, app, who): self.app, self.who = app, who
    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        token = user.set(self.who)
        log.append("outer")
        async def named(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-outer", self.who.encode()))
            await send(message)
        await self.app(scope, receive, named)
        user.reset(token)
class Inner(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        log.append("inner")
        response = await call_next(request)
        response.headers["x-inner"] = str(response.status_code)
        return response
app = App(middleware=[Middleware(Outer, who="ann")])
app.add_middleware(Inner)
@app.middleware("http")
async def innermost(request, call_next):
    log.append("function")
    return await call_next(request)
@app.get("/")
async def handler(): return user.get()
@app.get("/sync")
def sync_handler(): return user.get()
@app.get("/fails")
def fails(): raise HTTPException(418, headers={"x-own": "1"})
@app.get("/crashes")
def crashes(): raise ValueError
@app.get("/q")
def q(q: int): return q
"""


def test_middleware_sees_every_answer_in_its_order(client_for):
    app, log = build(MIDDLEWARE)
    reference, expected_log = build(MIDDLEWARE, FASTAPI)
    client = client_for(app)
    with StarletteClient(reference, raise_server_exceptions=False) as expected:
        for path in ("/", "/sync", "/fails", "/crashes", "/q", "/none"):
            ours, theirs = client.get(path), expected.get(path)
            assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text), path
            for name in ("x-outer", "x-inner", "x-own"):
                assert ours.headers.get(name) == theirs.headers.get(name), path
    assert log == expected_log


# --- lifespan and loop -----------------------------------------------------------------------------------------------

LIFESPAN = """
import asyncio
from contextlib import asynccontextmanager
@asynccontextmanager
async def lifespan(app):
    log.append("start")
    queue = asyncio.Queue()
    async def echo():
        while True:
            text, future = await queue.get()
            future.set_result(text.upper())
    worker = asyncio.create_task(echo())
    yield {"queue": queue, "count": [0]}
    worker.cancel()
    log.append("stop")
@asynccontextmanager
async def router_lifespan(app):
    log.append("router start")
    yield {"router": "state", "count": "overridden"}
    log.append("router stop")
@asynccontextmanager
async def sub_lifespan(app):
    log.append("never")
    yield
app, sub, router = App(lifespan=lifespan), App(lifespan=sub_lifespan), APIRouter(lifespan=router_lifespan)
@app.get("/{text}")
async def handler(text: str, request: Request):
    future = asyncio.get_running_loop().create_future()
    await request.state.queue.put((text, future))
    request.state.count[0] += 1
    request.state.mine = text
    return [await future, request.state.count[0], request.state.router]
@app.get("/sync/count")
def count(request: Request): return [request.state.count, hasattr(request.state, "mine")]
@sub.get("/count")
def sub_count(request: Request): return request.state.count
app.include_router(router)
app.mount("/sub", sub)
"""


def test_what_the_lifespan_makes_is_for_all_handlers(client_for):
    reference, expected_log = build(LIFESPAN, FASTAPI)
    with StarletteClient(reference) as client:
        expected = [client.get(path).json() for path in ("/a", "/b", "/sync/count", "/sub/count")]
    app, log = build(LIFESPAN)
    client = client_for(app)
    assert [client.get(path).json() for path in ("/a", "/b", "/sync/count", "/sub/count")] == expected
    assert log == expected_log[:2] == ["start", "router start"]
    assert expected[0] == ["A", 1, "state"]


@pytest.mark.parametrize("kind", ["TestClient", "socket"])
def test_what_the_lifespan_has_started_is_stopped(serve, kind):
    from turboapi.testclient import TestClient

    reference, expected = build(LIFESPAN, FASTAPI)
    with StarletteClient(reference):
        pass
    app, log = build(LIFESPAN)
    with TestClient(app) if kind == "TestClient" else serve(app):
        pass
    assert log == expected == ["start", "router start", "router stop", "stop"]


def test_startup_and_shutdown_functions(client_for):
    program = """
    async def up(): log.append("up")
    def router_up(): log.append("router up")
    app, router = App(on_startup=[up]), APIRouter(on_startup=[router_up])
    @app.get("/")
    def handler(): return list(log)
    app.include_router(router)
    """
    reference, _ = build(program, FASTAPI)
    with StarletteClient(reference) as client:
        expected = client.get("/").json()
    app, _ = build(program)
    assert client_for(app).get("/").json() == expected


def test_one_loop_and_real_tasks():
    assert_same(
        dedent("""
        import asyncio
        import anyio
        from contextvars import ContextVar
        app, loops, value = App(), set(), ContextVar("value", default=0)
        async def dep():
            loops.add(asyncio.get_running_loop())
            value.set(value.get() + 1)
            async with anyio.create_task_group() as group:
                group.start_soon(asyncio.sleep, 0)
            return value.get()
        @app.get("/")
        async def handler(d: int = Depends(dep)):
            loops.add(asyncio.get_running_loop())
            with anyio.move_on_after(5) as scope:
                await anyio.sleep(0)
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(1)
            except TimeoutError:
                log.append("late")
            child = asyncio.create_task(asyncio.sleep(0, value.get()))
            return [d, len(loops), scope.cancelled_caught, await child, isinstance(asyncio.current_task(), asyncio.Task)]
        @app.get("/sync")
        def sync(d: int = Depends(dep)): return [d, value.get(), anyio.from_thread.run(anyio.sleep, 0)]
        @app.get("/tokens")
        async def tokens(): return anyio.to_thread.current_default_thread_limiter().total_tokens
        @app.get("/shielded")
        async def shielded():
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0)
            return 1
        """),
        *(Request(target=target) for target in (b"/", b"/", b"/sync", b"/tokens", b"/shielded")),
    )


# --- plain functions -------------------------------------------------------------------------------------------------

BLOCKING = """
app = App()
@app.get("/meet")
def meet():
    barrier.wait(20)
    return 1
@app.get("/wait")
def wait(block: bool = False):
    if block: released.wait(20)
    return released.is_set()
@app.get("/release")
async def release():
    released.set()
def slow(block: bool = False):
    if block: released.wait(20)
    return released.is_set()
@app.get("/dependency")
async def dependency(value: bool = Depends(slow)): return value
"""


def test_plain_functions_run_at_the_same_time(serve):
    app, _ = build(BLOCKING, barrier=threading.Barrier(8), released=threading.Event())
    with serve(app) as served, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.get(served.url + "/meet", timeout=PATIENCE, trust_env=False), range(8)))
    assert [answer.json() for answer in answers] == [1] * 8


@pytest.mark.parametrize("path", ["/wait", "/dependency"])
@pytest.mark.parametrize("short_calls", [0, 300])
def test_plain_functions_do_not_stop_the_loop_however_short_they_were_before(serve, path, short_calls):
    app, _ = build(BLOCKING, barrier=threading.Barrier(1), released=threading.Event())
    with serve(app) as served, client_of(served) as client:
        for _ in range(short_calls):
            assert client.get(path).json() is False
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(httpx.get, served.url + path + "?block=1", timeout=PATIENCE, trust_env=False)
            client.get("/release")
            assert waiting.result().json() is True


# --- mounts ----------------------------------------------------------------------------------------------------------


def test_static_files_and_other_applications(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>index")
    (tmp_path / "site" / "404.html").write_text("<p>lost")
    program = dedent(f"""
    from starlette.applications import Starlette
    from starlette.routing import Route as OtherRoute
    from starlette.responses import PlainTextResponse as OtherResponse
    app, sub = App(), App()
    async def asgi(scope, receive, send):
        text = f"{{scope['path']}} {{scope['root_path']}} {{scope['raw_path']}} {{scope.get('app') is app}}".encode()
        await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}})
        await send({{"type": "http.response.body", "body": text}})
    class Instance:
        async def __call__(self, scope, receive, send): await asgi(scope, receive, send)
    other = Starlette(routes=[OtherRoute("/x/{{y:int}}", lambda request: OtherResponse(f"{{request.url}} {{request.path_params}}"))])
    app.mount("/files", StaticFiles(directory={str(tmp_path)!r}), name="files")
    app.mount("/site", StaticFiles(directory={str(tmp_path / "site")!r}, html=True))
    app.mount("/asgi/{{p}}", asgi)
    app.mount("/instance", Instance())
    app.mount("/other", other)
    sub.mount("/files", StaticFiles(directory={str(tmp_path)!r}))
    app.mount("/sub", sub)
    @app.get("/url")
    def url(request: Request): return str(request.url_for("files", path="/a.txt"))
    """)
    requests = [
        *(Request(target=target) for target in (
            b"/files/a.txt", b"/files/b.txt", b"/files/", b"/files", b"/files/../a.txt", b"/files/%2e%2e/a.txt", b"/files/site", b"/site", b"/site/", b"/site/none",
            b"/asgi/1/a%20b", b"/instance", b"/instance/", b"/other/x/1", b"/other/x/y", b"/other/x/1/", b"/sub/files/a.txt", b"/url")),
        Request("HEAD", b"/files/a.txt"), Request("POST", b"/files/a.txt"), Request("PUT", b"/other/x/1"),
        Request(target=b"/files/a.txt", headers=((b"range", b"bytes=1-2"),)),
        Request(target=b"/files/a.txt", headers=((b"if-modified-since", b"Fri, 01 Jan 2100 00:00:00 GMT"),)),
    ]  # fmt: skip
    for root_path in ("", "/root"):
        assert_same(program, *requests, root_path=root_path)


# --- one suite, every entrance ---------------------------------------------------------------------------------------

SHOP = """
app = App()
router = APIRouter(prefix="/items", tags=["items"])
def page(limit: Annotated[int, Query(le=10)] = 5, offset: int = 0): return [limit, offset]
@router.get("/")
def items(page: Annotated[list[int], Depends(page)], x_token: Annotated[str | None, Header()] = None): return {"page": page, "token": x_token}
@router.get("/{n}")
async def item(n: int) -> Item: return Item(name=str(n))
@router.post("/", status_code=201)
async def create(item: Item, response: Response) -> Item:
    response.headers["location"] = "/items/1"
    response.set_cookie("a", "1"); response.set_cookie("b", "2")
    return item
@router.post("/upload")
async def upload(file: UploadFile, note: Annotated[str, Form()] = ""): return [file.filename, file.content_type, (await file.read()).decode(), note]
@router.delete("/{n}", status_code=204)
def delete(n: int): log.append(n)
@router.get("/secret/key")
def secret(key: Annotated[str, Security(HTTPBearer())]): return key.credentials
@router.get("/stream/all")
async def stream() -> AsyncIterator[Item]:
    for name in "abc": yield Item(name=name)
@router.get("/crash/now")
def crash(): raise ValueError
app.include_router(router)
"""
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/items", {}), ("GET", "/items/?limit=11&offset=x", {}), ("GET", "/items/?limit=3", {"headers": {"X-Token": "t"}}), ("GET", "/items/3", {}), ("GET", "/items/x", {}),
    ("POST", "/items/", {"json": {"name": "a", "price": "2"}}), ("POST", "/items/", {"json": {}}), ("POST", "/items/", {"content": b"{", "headers": {"content-type": "application/json"}}),
    ("POST", "/items/", {"content": iter([b'{"na', b'me": "a"}']), "headers": {"content-type": "application/json"}}),
    ("POST", "/items/upload", {"files": {"file": ("é.txt", b"text" * 100000, "text/plain")}, "data": {"note": "n"}}), ("POST", "/items/upload", {"data": {"note": "n"}}),
    ("DELETE", "/items/1", {}), ("PATCH", "/items/1", {}), ("HEAD", "/items/3", {}), ("GET", "/items/secret/key", {}), ("GET", "/items/secret/key", {"headers": {"authorization": "Bearer k"}}),
    ("GET", "/items/stream/all", {}), ("GET", "/items/crash/now", {}), ("GET", "/none", {}), ("GET", "/items/%C3%A9", {}), ("GET", "/items//", {}), ("OPTIONS", "/items/", {}),
]  # fmt: skip


def conversation(client: Any) -> list[Any]:
    """The answers to everything in ASKED."""
    answers = []
    for method, path, options in ASKED:
        if "content" in options and not isinstance(options["content"], bytes):
            options = {**options, "content": iter([b'{"na', b'me": "a"}'])}  # it is used up each time
        answer = client.request(method, path, **options)
        cookies = answer.headers.get_list("set-cookie")
        answers.append(
            (answer.request.url.path, answer.status_code, answer.text, answer.headers.get("content-type"), cookies)
        )
    return answers


def test_the_test_client_and_the_server_say_what_fastapi_says(client_for):
    app, log = build(SHOP)
    reference, expected_log = build(SHOP, FASTAPI)
    with StarletteClient(reference, raise_server_exceptions=False) as expected:
        assert conversation(client_for(app)) == conversation(expected)
    assert log == expected_log


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_other_servers(http):
    app, log = build(SHOP)
    reference, expected_log = build(SHOP, FASTAPI)
    with StarletteClient(reference, raise_server_exceptions=False) as client:
        expected = conversation(client)
    with (
        _served_by_uvicorn(app, http=http) as served,
        # uvicorn closes the connection after a crash, whether or not the next request is on its way
        httpx.Client(
            base_url=served.url, timeout=PATIENCE, trust_env=False, follow_redirects=True, limits=ONCE
        ) as client,
    ):
        assert conversation(client) == expected
    assert log == expected_log


def test_other_servers_give_proxy_headers_and_a_root_path():
    program = """
    app = App()
    @app.get("/a")
    def handler(request: Request): return [str(request.url), request.client.host, request.scope["root_path"]]
    """
    answers = []
    for framework in (FASTAPI, TURBOAPI):
        app, _ = build(program, framework)
        with _served_by_uvicorn(app, root_path="/api", proxy_headers=True) as served:
            headers = {"x-forwarded-proto": "https", "x-forwarded-for": "9.9.9.9", "host": "api.test"}
            answers.append(httpx.get(served.url + "/a", headers=headers, trust_env=False).json())
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "missing",
    [
        ("server",),
        ("client",),
        ("root_path",),
        ("raw_path",),
        ("state",),
        ("server", "client", "root_path", "raw_path", "state"),
    ],
)
def test_hosts_whose_scope_has_the_least(missing):
    async def spare(app: Any, asked: Request) -> Any:
        async def called(scope: Any, receive: Any, send: Any) -> None:
            await app({key: value for key, value in scope.items() if key not in missing}, receive, send)

        return await ask_asgi(called, asked, "", [])

    program = """
    app = App()
    @app.post("/{p}")
    async def handler(p: int, item: Item, request: Request): return [p, item, str(request.url), request.client]
    """
    answers = []
    for framework in (FASTAPI, TURBOAPI):
        app, _ = build(program, framework)
        asked = [
            Request("POST", target, ((b"content-type", b"application/json"),), b'{"name": "a"}')
            for target in (b"/1", b"/x", b"/1/", b"/")
        ]
        answers.append([asyncio.run(spare(app, one)) for one in asked])
    assert [(a.status, a.body, a.error) for a in answers[0]] == [(a.status, a.body, a.error) for a in answers[1]]
    assert answers[0][0].status == 200


# --- HTTP at its edges -----------------------------------------------------------------------------------------------

EDGES = """
import asyncio
app = App()
@app.post("/item")
async def create(item: Item): return item
@app.post("/raw")
async def raw(request: Request): return len(await request.body())
@app.get("/sync/{n}")
def sync(n: int): return n
@app.get("/async/{n}")
async def now(n: int): return n
@app.get("/later/{n}")
async def later(n: int):
    for _ in range(n): await asyncio.sleep(0)
    return n
@app.get("/headers")
def headers(request: Request): return [request.headers.getlist("x-a"), request.headers.get("X-B")]
@app.get("/files/{path:path}")
def files(path: str): return path
@app.get("/slash/")
def slash(): return 1
"""
JSON = "Content-Type: application/json"
CLOSE = "Connection: close"
ITEM = b'{"name": "a"}'


@pytest.fixture
def edges(serve):
    app, _ = build(EDGES)
    with serve(app, limit_body=100_000, limit_header_size=8000) as served:
        yield served


def test_bodies_in_chunks_and_byte_by_byte(edges):
    head = request("POST /item HTTP/1.1", JSON, "Transfer-Encoding: chunked", CLOSE)
    [answer] = talk(
        edges,
        head,
        *(chunked(b'{"na', b'me": ', b'"a"}')[i : i + 1] for i in range(32)),
        chunked(b'{"na', b'me": ', b'"a"}')[32:],
    )
    assert (answer.status, msgspec.json.decode(answer.body)["name"]) == (200, "a")
    whole = request("POST /item HTTP/1.1", JSON, f"Content-Length: {len(ITEM)}", CLOSE, body=ITEM)
    [answer] = talk(edges, *(whole[i : i + 1] for i in range(len(whole))))
    assert answer.status == 200


def test_go_ahead(edges):
    head = request("POST /item HTTP/1.1", JSON, f"Content-Length: {len(ITEM)}", "Expect: 100-continue", CLOSE)
    with socket.create_connection((edges.host, edges.port), PATIENCE) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(ITEM)
        [answer] = parse_answers(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert answer.status == 200


def test_pipelined_requests_are_answered_in_order_whoever_answers(edges):
    paths = [f"/{kind}/{n}" for n in range(8) for kind in ("later", "sync", "async")]
    wire = b"".join(request(f"GET {path} HTTP/1.1") for path in paths[:-1]) + request(
        f"GET {paths[-1]} HTTP/1.1", CLOSE
    )
    assert [answer.body.decode() for answer in talk(edges, wire)] == [path.rpartition("/")[2] for path in paths]


@pytest.mark.parametrize(
    "wire, status",
    [
        (request("POST /raw HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked", body=chunked(b"abc")), 400),
        (request("POST /raw HTTP/1.1", "Content-Length: 100001"), 413),
        (request("GET /async/1 HTTP/1.1", "X-Long: " + "a" * 9000), 431),
        (request("GET /async/1 HTTP/1.1", host=False), 400),
        (request("GET /async/1 HTTP/1.1", "X-Bad : 1"), 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_refused(edges, wire, status):
    assert [answer.status for answer in talk(edges, request("GET /async/1 HTTP/1.1"), wire)] == [200, status]


def test_headers_and_paths(edges):
    [answer] = talk(edges, request("GET /headers HTTP/1.1", "X-A: 1", "x-a: 2", "x-b: c", CLOSE))
    assert msgspec.json.decode(answer.body) == [["1", "2"], "c"]
    [answer] = talk(edges, request("GET /files//a%2Fb%20%C3%A9// HTTP/1.1", CLOSE))
    assert msgspec.json.decode(answer.body) == "/a/b é//"
    [answer] = talk(edges, request("GET /slash?a=%20b HTTP/1.1", CLOSE))
    assert (answer.status, answer.header("location")) == (307, "http://test/slash/?a=%20b")


def test_more_open_connections_than_threads(edges):
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((edges.host, edges.port), PATIENCE)) for _ in range(100)
        ]
        for _ in range(2):
            for number, connection in enumerate(connections):
                connection.sendall(request(f"GET /sync/{number} HTTP/1.1"))
            for number, connection in enumerate(connections):
                [answer] = parse_answers(connection.recv(65536))
                assert answer.body.decode() == str(number)


# --- bodies that only TurboAPI knows ---------------------------------------------------------------------------------


class Tag(msgspec.Struct):
    label: str
    weight: float = 1.0


class Product(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    tags: list[Tag] = []
    count: int | None = None


class Cat(msgspec.Struct, tag="cat"):
    lives: Annotated[int, msgspec.Meta(ge=1)] = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Order(BaseModel):
    product: Product
    pet: Cat | Dog | None = None


STRUCTS = """
app = App()
@app.post("/")
async def create(product: Product): return show(product)
@app.post("/embedded")
def embedded(product: Product, n: Annotated[int, Body()], q: int = 0): return show_all(product=product, n=n, q=q)
@app.post("/many")
async def many(products: list[Product]): return len(products)
@app.post("/echo")
async def echo(product: Product) -> Product: return product
@app.post("/pet")
async def pet(pet: Cat | Dog) -> Cat | Dog: return pet
@app.post("/order")
async def order(order: Order) -> Order: return order
"""


@pytest.mark.parametrize(
    "path, body, where",
    [
        ("/", {"name": "a", "tags": [{"label": "t"}]}, None), ("/", {"name": "a", "tags": [{"label": 1}]}, ["body", "tags", 0, "label"]), ("/", {}, ["body", "name"]), ("/", [], ["body"]), ("/", None, ["body"]),
        ("/", {"name": "a", "x": 1}, ["body", "x"]), ("/embedded", {"product": {"name": "a"}, "n": 1}, None), ("/embedded", {"product": {"name": 1}, "n": 1}, ["body", "product", "name"]),
        ("/embedded", {"product": {"name": "a"}, "n": "x"}, ["body", "n"]), ("/embedded", {"n": 1}, ["body", "product"]), ("/many", [{"name": "a"}], None), ("/many", [{"name": "a"}, {"name": 1}], ["body", 1, "name"]),
        ("/echo", {"name": "a", "tags": [{"label": "t"}]}, None), ("/pet", {"type": "cat", "lives": 3}, None), ("/pet", {"type": "cat", "lives": 0}, ["body", "lives"]), ("/pet", {"type": "cow"}, ["body"]),
        ("/order", {"product": {"name": "a", "tags": [], "count": 1}, "pet": {"type": "dog", "name": "b"}}, None), ("/order", {"product": {}}, ["body", "product", "name"]),
        ("/order", {"product": {"name": "a"}, "pet": {"type": "cow"}}, ["body", "pet"]), ("/order", {"product": {"name": "a"}, "pet": {"type": "cat", "lives": 0}}, ["body", "pet", "Cat", "lives"]),
    ],
)  # fmt: skip
def test_structs(client_for, path, body, where):
    app, _ = build(STRUCTS, Product=Product, Cat=Cat, Dog=Dog, Order=Order)
    answer = client_for(app).post(
        path,
        content=msgspec.json.encode(body) if body is not None else b"",
        headers={"content-type": "application/json"},
    )
    if where is None:
        assert answer.status_code == 200
        assert path != "/echo" or answer.json() == {"name": "a", "tags": [{"label": "t", "weight": 1.0}], "count": None}
        assert path not in ("/pet", "/order") or answer.json() == body
    else:
        assert answer.status_code == 422
        [error] = answer.json()["detail"]
        assert error["loc"][: len(where)] == where or where[: len(error["loc"])] == error["loc"]
        assert {"type", "loc", "msg", "input"} <= error.keys()
