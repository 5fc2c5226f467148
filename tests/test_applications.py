"""The application over both entrances: in process by ASGI, and on a real socket by the built-in server."""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from pydantic import BaseModel

from turboapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    Header,
    HTTPException,
    Request,
    Response,
    TurboAPI,
)
from turboapi._application import Starlette
from turboapi.exceptions import (
    DependencyScopeError,
    FastAPIDeprecationWarning,
    RequestValidationError,
    StarletteHTTPException,
)
from turboapi.responses import JSONResponse, PlainTextResponse, StreamingResponse


class Item(BaseModel):
    name: str
    price: float


class Point(msgspec.Struct):
    x: int
    y: int = 0


def test_results_of_every_kind(client_for):
    app = TurboAPI()
    app.get("/dict")(lambda: {"a": [1, 2.5, True, None]})
    app.get("/none")(lambda: None)
    app.get("/text")(lambda: "text")
    app.get("/model")(lambda: Item(name="tea", price=2))
    app.get("/struct")(lambda: Point(1, 2))
    app.get("/response")(lambda: PlainTextResponse("plain", status_code=202))

    @app.get("/filtered", response_model=Item)
    def filtered() -> Any:
        return {"name": "tea", "price": 2, "secret": "x"}

    client = client_for(app)
    answers = {path: client.get(path) for path in ("/dict", "/none", "/text", "/model", "/struct", "/filtered")}
    assert {path: answer.json() for path, answer in answers.items()} == {
        "/dict": {"a": [1, 2.5, True, None]},
        "/none": None,
        "/text": "text",
        "/model": {"name": "tea", "price": 2.0},
        "/struct": {"x": 1, "y": 2},
        "/filtered": {"name": "tea", "price": 2.0},
    }
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/json"}
    response = client.get("/response")
    assert (response.status_code, response.text) == (202, "plain")


def test_struct_bodies(client_for):
    app = TurboAPI()

    @app.post("/points")
    async def add(point: Point) -> Point:
        return Point(point.x + 1, point.y)

    client = client_for(app)
    assert client.post("/points", json={"x": 1}).json() == {"x": 2, "y": 0}
    answer = client.post("/points", json={"x": "one"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "x"]


def test_injected_response_sets_status_headers_and_cookies(client_for):
    app = TurboAPI()

    def dependency(response: Response) -> None:
        response.headers["x-dependency"] = "yes"

    @app.get("/", dependencies=[Depends(dependency)])
    async def handler(response: Response) -> Any:
        response.status_code = 201
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return {}

    answer = client_for(app).get("/")
    assert answer.status_code == 201
    assert answer.headers["x-dependency"] == "yes"
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/; SameSite=lax", "b=2; Path=/; SameSite=lax"]


def test_unexpected_exception_is_hidden_from_clients_and_logged(client_for, caplog):
    app = TurboAPI()

    @app.get("/")
    async def handler() -> None:
        raise RuntimeError("the secret")

    client = client_for(app)
    with caplog.at_level(logging.ERROR, "turboapi.error"):
        answer = client.get("/")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    if str(client.base_url).startswith("http://127"):  # in process the test client raises it or drops it
        assert "the secret" in caplog.text


def test_handlers_of_exceptions(client_for):
    app = TurboAPI()

    @app.exception_handler(KeyError)
    def of_class(request: Request, exc: KeyError) -> JSONResponse:
        return JSONResponse({"path": request.url.path, "key": exc.args[0]}, status_code=418)

    @app.exception_handler(404)
    async def of_status(request: Request, exc: StarletteHTTPException) -> PlainTextResponse:
        return PlainTextResponse("nothing here", status_code=404)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, exc: RequestValidationError) -> JSONResponse:
        return JSONResponse({"body": exc.body, "places": [error["loc"] for error in exc.errors()]}, status_code=400)

    @app.post("/items")
    async def create(item: Item) -> None:
        raise KeyError("price")

    client = client_for(app)
    assert client.post("/items", json={"name": "a", "price": 1}).json() == {"path": "/items", "key": "price"}
    assert client.get("/missing").text == "nothing here"
    answer = client.post("/items", json={"name": "a"})
    assert (answer.status_code, answer.json()) == (400, {"body": {"name": "a"}, "places": [["body", "price"]]})


def test_http_exception_carries_headers(client_for):
    app = TurboAPI()

    @app.get("/")
    async def handler() -> None:
        raise HTTPException(403, {"why": "no"}, headers={"x-reason": "rules"})

    answer = client_for(app).get("/")
    assert (answer.status_code, answer.json()) == (403, {"detail": {"why": "no"}})
    assert answer.headers["x-reason"] == "rules"


def test_streams_arrive_piece_by_piece(serve):
    app = TurboAPI()
    go_on = threading.Event()

    @app.get("/")
    def handler() -> StreamingResponse:
        def pieces() -> Iterator[str]:
            yield "first"
            assert go_on.wait(10)
            yield "second"

        return StreamingResponse(pieces(), media_type="text/plain")

    with serve(app) as served, httpx.stream("GET", served.url, timeout=10) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        pieces = answer.iter_text()
        assert next(pieces) == "first"  # and the second one has not been made yet
        go_on.set()
        assert "".join(pieces) == "second"


def test_blocking_handlers_stall_nobody(serve):
    app = TurboAPI()
    release = threading.Event()

    @app.get("/blocking")
    def blocking() -> str:
        assert release.wait(10)
        return threading.current_thread().name

    @app.get("/quick")
    async def quick() -> str:
        return threading.current_thread().name

    with serve(app) as served, httpx.Client(base_url=served.url, timeout=10) as client:
        answers: list[str] = []
        waiting = [threading.Thread(target=lambda: answers.append(httpx.get(f"{served.url}/blocking").json()))]
        waiting += [threading.Thread(target=lambda: answers.append(httpx.get(f"{served.url}/blocking").json()))]
        for thread in waiting:
            thread.start()
        loop_thread = client.get("/quick").json()
        release.set()
        for thread in waiting:
            thread.join()
    assert len(answers) == 2
    assert loop_thread not in answers


def test_async_handlers_run_in_a_task_and_a_context_of_their_own(client_for):
    app = TurboAPI()
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    @app.get("/")
    async def handler() -> dict[str, Any]:
        before = variable.get()
        variable.set(before + 1)
        task = asyncio.current_task()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        child = await asyncio.create_task(asyncio.sleep(0, variable.get()))
        return {"before": before, "child": child, "same": task is asyncio.current_task(), "name": task is not None}

    client = client_for(app)
    for _ in range(3):
        assert client.get("/").json() == {"before": 0, "child": 1, "same": True, "name": True}


def test_generators_exit_around_the_response_and_background_tasks(client_for):
    app, order = TurboAPI(), []

    async def of_request() -> AsyncIterator[None]:
        yield
        order.append("request scope")

    def of_function() -> Iterator[None]:
        yield
        order.append("function scope")

    @app.get("/", dependencies=[Depends(of_request), Depends(of_function, scope="function")])
    async def handler(tasks: BackgroundTasks) -> None:
        tasks.add_task(order.append, "background")
        order.append("handler")

    client = client_for(app)
    client.get("/")
    deadline = time.monotonic() + 5
    while len(order) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)  # the client has its answer before the background task has run
    assert order == ["handler", "function scope", "background", "request scope"]


def test_overrides_replace_dependencies_at_any_depth(client_for):
    app = TurboAPI()

    def settings() -> str:
        return "real"

    class Service:
        def __init__(self, value: Annotated[str, Depends(settings)]) -> None:
            self.value = value

    @app.get("/")
    async def handler(service: Annotated[Service, Depends()], direct: Annotated[str, Depends(settings)]) -> list[str]:
        return [service.value, direct]

    def fake(x_fake: Annotated[str, Header()]) -> str:
        return x_fake

    client = client_for(app)
    assert client.get("/").json() == ["real", "real"]
    app.dependency_overrides[settings] = fake
    assert client.get("/", headers={"x-fake": "fake"}).json() == ["fake", "fake"]
    assert client.get("/").json()["detail"][0]["loc"] == ["header", "x-fake"]
    app.dependency_overrides.clear()
    assert client.get("/").json() == ["real", "real"]


def test_lifespan_state_reaches_requests(client_for):
    events = []

    @asynccontextmanager
    async def lifespan(app: TurboAPI) -> AsyncIterator[dict[str, Any]]:
        events.append("startup")
        yield {"pool": "the pool"}
        events.append("shutdown")

    app = TurboAPI(lifespan=lifespan)
    app.get("/")(lambda request: None)

    @app.get("/state")
    async def state(request: Request) -> str:
        return request.state.pool

    assert client_for(app).get("/state").json() == "the pool"
    assert events == ["startup"]


def test_middleware_wraps_the_application(client_for):
    app = TurboAPI()

    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = request.method
        return response

    @app.get("/")
    async def handler() -> str:
        return "inside"

    client = client_for(app)
    assert [(answer.status_code, answer.headers["x-stamp"]) for answer in (client.get("/"), client.get("/no"))] == [
        (200, "GET"),
        (404, "GET"),
    ]


def test_routes_added_while_serving_are_found(client_for):
    app, router = TurboAPI(), APIRouter()
    app.include_router(router, prefix="/late")
    client = client_for(app)
    assert client.get("/late/route").status_code == 404
    router.get("/route")(lambda: "found")
    assert client.get("/late/route").json() == "found"


def test_root_path_is_taken_off(client_for):
    with pytest.warns(FastAPIDeprecationWarning, match="root_path"):
        app = TurboAPI(root_path="/api")

    @app.get("/items")
    async def items(request: Request) -> list[str]:
        return [request.scope["root_path"], str(request.url_for("items").path)]

    client = client_for(app)
    assert client.get("/items").json() == client.get("/api/items").json() == ["/api", "/api/items"]


def test_uvicorn_serves_the_same_application():
    uvicorn = pytest.importorskip("uvicorn")
    app = TurboAPI()

    @app.post("/items", status_code=201)
    async def create(item: Item) -> Item:
        return item

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        answer = httpx.post(f"http://127.0.0.1:{port}/items", json={"name": "tea", "price": 2})
    finally:
        server.should_exit = True
        thread.join()
    assert (answer.status_code, answer.json()) == (201, {"name": "tea", "price": 2.0})


def test_contradicting_dependencies_stop_the_application():
    app, router = TurboAPI(), APIRouter()

    def short() -> None: ...

    def long(value: Annotated[None, Depends(short, scope="function")]) -> Iterator[None]:
        yield

    router.get("/")(lambda: None)
    app.include_router(router, prefix="/x", dependencies=[Depends(long)])
    with pytest.raises(DependencyScopeError, match="long"):
        app.freeze()


def test_unknown_options_are_type_errors():
    app = TurboAPI()
    with pytest.raises(TypeError, match="unknown_option"):
        app.get("/", unknown_option=1)
    with pytest.raises(TypeError, match="unknown_option"):
        app.include_router(APIRouter(), unknown_option=1)
    with pytest.raises(TypeError, match="unknown_option"):
        TurboAPI(unknown_option=1)


def test_an_entrance_that_an_instrumentation_has_replaced_is_taken(client_for, monkeypatch) -> None:
    paths: list[str] = []
    original = Starlette.__call__

    async def watched(self: Starlette, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await original(self, scope, receive, send)

    monkeypatch.setattr(Starlette, "__call__", watched)
    app = TurboAPI()

    @app.get("/a")
    async def read() -> str:
        return "a"

    assert client_for(app).get("/a").json() == "a"
    assert paths == ["/a"]
