"""What is reported of requests: the same as by FastAPI, in this process and over a socket."""

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
from fastapi.testclient import TestClient as FastAPIClient
from opentelemetry import baggage, metrics, trace
from pydantic import BaseModel

from tests.compat.framework import FASTAPI, TURBOAPI, Framework
from tests.telemetry.recorder import PATIENCE, Recorder, eventually
from turboapi import Request, TurboAPI, WebSocket, WebSocketDisconnect
from turboapi.telemetry import get_telemetry_data
from turboapi.testclient import TestClient

Connect = Callable[..., httpx.Client]
PARENT = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "baggage": "color=red"}


class Item(BaseModel):
    name: str
    size: int = 1


def build(api: Framework, config: dict[str, Any], page: Path) -> Any:
    config = {**config, "exclude": lambda scope: scope["path"] == "/health"}
    app = api.App(telemetry=config)

    def dependency(q: int = 0) -> int:
        return q

    async def broken() -> None:
        raise KeyError("dependency")

    async def with_exit() -> AsyncIterator[None]:
        yield

    def later(text: str) -> None:
        pass

    async def fail_later() -> None:
        raise LookupError("later")

    @app.get("/items/{item_id}")
    def read_item(item_id: int, tasks: api.BackgroundTasks, q: int = api.Depends(dependency)) -> Any:  # type: ignore[name-defined]
        tasks.add_task(later, "text")
        return {"item": item_id, "q": q}

    @app.post("/items", dependencies=[api.Depends(with_exit)], status_code=201)
    async def add_item(item: Item) -> Item:
        return item

    @app.post("/forms")
    async def take_form(name: str = api.Form()) -> str:
        return name

    @app.get("/context")
    async def context() -> Any:
        return [baggage.get_baggage("color"), trace.get_current_span().get_span_context().is_valid]

    @app.get("/health")
    async def health() -> Any:
        return trace.get_current_span().get_span_context().is_valid

    @app.get("/fail")
    async def fail() -> None:
        raise ValueError("endpoint")

    @app.get("/fail-in-dependency", dependencies=[api.Depends(broken)])
    async def fail_in_dependency() -> None: ...

    @app.get("/fail-in-result", response_model=int)
    def fail_in_result() -> Any:
        return "no number"

    @app.get("/fail-later")
    async def fail_in_background(tasks: api.BackgroundTasks) -> None:  # type: ignore[name-defined]
        tasks.add_task(fail_later)

    @app.get("/refuse/{status}")
    async def refuse(status: int) -> None:
        raise api.HTTPException(status, "no")

    @app.get("/handled")
    async def handled() -> None:
        raise ZeroDivisionError

    @app.exception_handler(ZeroDivisionError)
    async def answer(request: Any, exc: Exception) -> Any:
        return api.PlainTextResponse("handled", status_code=418)

    @app.get("/lines")
    def lines() -> Iterator[int]:
        yield from (1, 2)

    @app.get("/stream")
    async def stream() -> Any:
        return api.StreamingResponse(iter(["one", "two"]))

    @app.get("/text", response_class=api.PlainTextResponse)
    async def text() -> str:
        return "text"

    child = api.App(telemetry=config)
    router = api.APIRouter(prefix="/v1")

    @router.get("/things/{thing:path}")
    async def thing(thing: str) -> str:
        return thing

    @router.get("/slash/")
    async def slash() -> str:
        return "slash"

    router.frontend("/ui", directory=page.parent, fallback="index.html")
    app.include_router(router, prefix="/api")
    child.include_router(router)
    app.mount("/tenants/{tenant}", child)
    return app


REQUESTS = [
    ("GET", "/items/1?q=2&sig=secret", {"headers": PARENT}),
    ("GET", "/items/one?q=two", {}),
    ("POST", "/items", {"json": {"name": "x"}}),
    ("POST", "/items", {"json": {"size": []}}),
    ("POST", "/items", {"content": "{", "headers": {"content-type": "application/json"}}),
    ("POST", "/forms", {"data": {"name": "x"}}),
    ("GET", "/context", {"headers": PARENT}),
    ("GET", "/health", {"headers": PARENT}),
    ("GET", "/fail", {}),
    ("GET", "/fail-in-dependency", {}),
    ("GET", "/fail-in-result", {}),
    ("GET", "/fail-later", {}),
    ("GET", "/refuse/403", {}),
    ("GET", "/refuse/503", {}),
    ("GET", "/handled", {}),
    ("GET", "/lines", {}),
    ("GET", "/stream", {}),
    ("GET", "/text", {}),
    ("GET", "/missing", {}),
    ("DELETE", "/items/1", {}),
    ("PURGE", "/items/1", {}),
    ("GET", "/items/1/", {}),
    ("GET", "/api/v1/slash", {}),
    ("GET", "/api/v1/things/a/b", {}),
    ("GET", "/tenants/acme/v1/things/a", {}),
    ("GET", "/tenants/acme/v1/nothing", {}),
    ("GET", "/api/v1/ui/index.html", {}),
    ("GET", "/openapi.json", {}),
]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "index.html"
    path.write_text("page")
    return path


@pytest.mark.parametrize(("method", "path", "options"), REQUESTS, ids=[f"{r[0]} {r[1]}" for r in REQUESTS])
def test_reports_are_those_of_fastapi(
    method: str,
    path: str,
    options: dict[str, Any],
    page: Path,
    client_for: Connect,
    new_recorder: Callable[[], Recorder],
) -> None:
    options = options | {"headers": {"host": "example.org:81", **options.get("headers", {})}, "follow_redirects": False}
    theirs, ours = new_recorder(), new_recorder()
    expected = FastAPIClient(build(FASTAPI, theirs.config, page), raise_server_exceptions=False).request(
        method, path, **options
    )
    client = client_for(build(TURBOAPI, ours.config, page))
    if method == "GET" and path == "/fail-later":  # the response is out when it fails
        client.request(method, path, **options)
    else:
        got = client.request(method, path, **options)
        assert (got.status_code, got.content) == (expected.status_code, expected.content) or path == "/openapi.json"
    assert eventually(ours.report, theirs.report()) == theirs.report()


@pytest.mark.parametrize("off", ["tracing", "metrics", "logs", "operation_spans"])
def test_each_kind_of_report_can_be_switched_off(
    off: str, page: Path, client_for: Connect, new_recorder: Callable[[], Recorder]
) -> None:
    theirs, ours = new_recorder(), new_recorder()
    client = client_for(build(TURBOAPI, {**ours.config, off: False}, page))
    reference = FastAPIClient(build(FASTAPI, {**theirs.config, off: False}, page), raise_server_exceptions=False)
    for path in ("/items/1", "/fail"):
        assert client.get(path, headers={"host": "example.org"}).status_code in (200, 500)
        reference.get(path, headers={"host": "example.org"})
    assert eventually(ours.report, theirs.report()) == theirs.report()


def test_a_client_that_leaves(recorder: Recorder, serve: Any) -> None:
    def active() -> list[Any]:
        return [point[4] for point in recorder.metrics() if point[0] == "http.server.active_requests"]

    app = TurboAPI(telemetry=recorder.config)

    async def read(request: Request) -> None:
        await request.body()

    app.add_route("/", read, methods=["POST"])  # type: ignore[arg-type]
    with serve(app) as served:
        with socket.create_connection((served.host, served.port)) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            assert eventually(active, [1]) == [1]
        assert eventually(active, [0]) == [0]
    (span,) = recorder.spans()
    assert (span[0], span[3], dict(span[4])["error.type"]) == (
        "POST /",
        "ERROR",
        "starlette.requests.ClientDisconnect",
    )


def test_websockets(recorder: Recorder, new_recorder: Callable[[], Recorder]) -> None:
    def build_for(app: Any, kind: type[Any]) -> Any:
        async def talk(websocket, room: int, size: int = 1):  # type: ignore[no-untyped-def]
            await websocket.accept()
            await websocket.send_text(str(room))
            await websocket.close()

        talk.__annotations__["websocket"] = kind
        app.websocket("/rooms/{room}")(talk)
        return app

    theirs = new_recorder()
    for app, client, disconnect in (
        (
            build_for(fastapi.FastAPI(telemetry=theirs.config), fastapi.WebSocket),
            FastAPIClient,
            fastapi.WebSocketDisconnect,
        ),
        (build_for(TurboAPI(telemetry=recorder.config), WebSocket), TestClient, WebSocketDisconnect),
    ):
        with client(app).websocket_connect("/rooms/1") as websocket:
            assert websocket.receive_text() == "1"
        with pytest.raises(disconnect), client(app).websocket_connect("/rooms/none"):
            pass
    assert recorder.report() == theirs.report()
    assert [span[0] for span in recorder.spans()].count("WS /rooms/{room}") == 2


# --- who pays for it ------------------------------------------------------------------------------------------------


def with_route(app: TurboAPI) -> TurboAPI:
    @app.get("/")
    async def read() -> bool:
        return get_telemetry_data() is not None

    return app


@pytest.mark.parametrize(
    "config",
    [
        None,
        {"tracer_provider": trace.NoOpTracerProvider()},
        {"meter_provider": metrics.NoOpMeterProvider(), "tracing": False},
    ],
)
def test_nobody_who_looks_means_the_compiled_way(config: Any) -> None:
    site = with_route(TurboAPI(telemetry=config)).freeze()
    assert (site.asgi, site.router is not None) == (None, True)


def test_somebody_who_looks_means_the_asgi_way(recorder: Recorder) -> None:
    app = with_route(TurboAPI(telemetry=recorder.config))
    assert app.freeze().asgi is app
    excluding = TurboAPI(telemetry={"tracer_provider": trace.NoOpTracerProvider(), "exclude": lambda scope: False})
    assert excluding.freeze().asgi is excluding


def test_a_provider_that_is_set_while_the_server_runs(
    recorder: Recorder, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(with_route(TurboAPI())) as served, httpx.Client(base_url=served.url, trust_env=False) as client:
        assert client.get("/").json() is False
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: recorder.tracer_provider)
        deadline = time.monotonic() + PATIENCE
        while not client.get("/").json() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/").json() is True
    assert "GET /" in {span[0] for span in recorder.spans()}


def test_a_provider_that_is_set_between_two_requests(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(with_route(TurboAPI()))
    assert client.get("/").json() is False
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: recorder.tracer_provider)
    assert client.get("/").json() is True
    monkeypatch.undo()
    assert client.get("/").json() is False
    assert [span[0] for span in recorder.spans() if span[1] == "SERVER"] == ["GET /"]


def test_a_step_that_was_replaced_is_taken(monkeypatch: pytest.MonkeyPatch, serve: Any) -> None:
    from turboapi._plan import handlers

    seen: list[Any] = []
    original = handlers.solve_dependencies

    async def solve(**options: Any) -> Any:
        solved = await original(**options)
        seen.append(solved.values)
        return solved

    app = TurboAPI()

    @app.get("/{number}")
    async def read(number: int) -> int:
        return number

    client = TestClient(app)
    assert client.get("/1").json() == 1
    monkeypatch.setattr(handlers, "solve_dependencies", solve)
    assert client.get("/2").json() == 2
    with serve(app) as served:
        assert httpx.get(f"{served.url}/3", trust_env=False).json() == 3
    assert seen == [{"number": 2}, {"number": 3}]
