"""What FastAPI's and Starlette's own classes declare, return and raise is understood, without the alias."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import fastapi
import fastapi.exceptions
import fastapi.responses
import fastapi.security
import fastapi.sse
import httpx
import pytest
import starlette.applications
import starlette.background
import starlette.datastructures
import starlette.endpoints
import starlette.exceptions
import starlette.middleware
import starlette.middleware.base
import starlette.middleware.cors
import starlette.middleware.gzip
import starlette.requests
import starlette.responses
import starlette.routing
import starlette.staticfiles
import starlette.websockets
from fastapi import Body, Cookie, Depends, File, Form, Header, Query, Security
from fastapi import Path as PathParam
from pydantic import BaseModel

import turboapi
from turboapi import TurboAPI
from turboapi._foreign import own_annotation, own_marker
from turboapi.exceptions import FastAPIError
from turboapi.requests import Request
from turboapi.testclient import TestClient

ClientFor = Callable[..., httpx.Client]


class Item(BaseModel):
    name: str
    price: float | None = None


# --- what is declared ------------------------------------------------------------------------------------------------


def declare(framework: Any) -> Any:
    """The same application for either framework; all that is declared in it comes from FastAPI itself."""
    app = framework()

    @app.put("/everything/{part}")
    def everything(
        part: Annotated[int, PathParam(gt=0)],
        item: Annotated[Item, Body(embed=True)],
        q: Annotated[list[str], Query(alias="queue", min_length=1)],
        limit: int = Query(10, le=100, description="how many"),
        x_token: str = Header("none"),
        under_score: Annotated[str | None, Header(convert_underscores=False)] = None,
        crumb: Annotated[str | None, Cookie()] = None,
    ) -> Any:
        return [part, item, q, limit, x_token, under_score, crumb]

    @app.post("/form")
    async def form(
        name: Annotated[str, Form(max_length=5)],
        raw: Annotated[bytes, File()],
        upload: fastapi.UploadFile,
        uploads: list[fastapi.UploadFile] = File([]),  # noqa: B008
        maybe: fastapi.UploadFile | None = None,
    ) -> Any:
        contents = [await one.read() for one in [upload, *uploads]]
        return [name, raw.decode(), [content.decode() for content in contents], maybe and maybe.filename]

    def number(n: int = Query(1)) -> Iterator[int]:
        yield n

    class Pages:
        def __init__(self, page: int = Query(1, ge=1)) -> None:
            self.page = page

    def refuse(secret: str = Header()) -> None:
        if secret != "s":
            raise fastapi.HTTPException(403, {"why": "secret"}, headers={"x-why": "secret"})

    @app.get("/dependencies", dependencies=[Depends(refuse)])
    def dependencies(
        number: Annotated[int, Depends(number, scope="function")],
        pages: Annotated[Pages, Depends()],
        again: int = Depends(number, use_cache=False),
    ) -> Any:
        return [number, pages.page, again]

    scheme = fastapi.security.OAuth2PasswordBearer(tokenUrl="token", scopes={"me": "read"})

    def user(scopes: fastapi.security.SecurityScopes, token: str = Depends(scheme)) -> str:
        assert type(scopes) is fastapi.security.SecurityScopes
        return f"{token} {scopes.scope_str}"

    @app.get("/me")
    def me(user: Annotated[str, Security(user, scopes=["me"])]) -> str:
        return user

    @app.post("/token")
    def token(form: Annotated[fastapi.security.OAuth2PasswordRequestForm, Depends()]) -> Any:
        return [form.username, form.scopes]

    @app.get("/returned", response_class=fastapi.responses.HTMLResponse)
    def returned() -> str:
        return "<p>"

    @app.get("/annotated")
    def annotated() -> starlette.responses.PlainTextResponse:
        return starlette.responses.PlainTextResponse("text", headers={"x-one": "1"})

    return app


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/everything/1?queue=a&queue=b", {"json": {"item": {"name": "n"}}, "headers": {"x-token": "t"}}),
    ("PUT", "/everything/0?limit=101", {"json": {"name": "n"}}),
    ("PUT", "/everything/2?queue=a&limit=3", {"json": {"item": {"name": "n"}}, "headers": {"under_score": "u"}}),
    ("PUT", "/everything/2?queue=a", {"json": {"item": {"name": "n"}}, "headers": {"cookie": "crumb=c"}}),
    ("POST", "/form", {"data": {"name": "n"}, "files": {"raw": b"r", "upload": b"u"}}),
    (
        "POST",
        "/form",
        {"data": {"name": "n"}, "files": [*((k, (k, b"1")) for k in ("raw", "upload", "uploads", "uploads", "maybe"))]},
    ),
    ("POST", "/form", {"data": {"name": "too long"}, "files": {"raw": b"r"}}),
    ("GET", "/dependencies", {}),
    ("GET", "/dependencies", {"headers": {"secret": "x"}}),
    ("GET", "/dependencies?n=2&page=3", {"headers": {"secret": "s"}}),
    ("GET", "/dependencies?n=x&page=0", {"headers": {"secret": "s"}}),
    ("GET", "/me", {}),
    ("GET", "/me", {"headers": {"authorization": "Bearer t"}}),
    ("POST", "/token", {"data": {"username": "u", "password": "p", "scope": "a b"}}),
    ("POST", "/token", {"data": {"username": "u"}}),
    ("GET", "/returned", {}),
    ("GET", "/annotated", {}),
]


def wait_for(log: list[Any]) -> None:
    """Wait until a background task has written to `log`."""
    end = time.monotonic() + 20
    while not log and time.monotonic() < end:
        time.sleep(0.01)


def seen(response: httpx.Response) -> Any:
    headers = {
        k: v for k, v in response.headers.items() if k not in ("date", "server", "connection", "transfer-encoding")
    }
    return response.status_code, headers, response.text


@pytest.mark.parametrize(("method", "url", "options"), REQUESTS)
def test_declarations(client_for: ClientFor, method: str, url: str, options: dict[str, Any]) -> None:
    expected = TestClient(declare(fastapi.FastAPI)).request(method, url, **options)
    assert seen(client_for(declare(TurboAPI)).request(method, url, **options)) == seen(expected)


def test_declarations_in_the_document() -> None:
    assert declare(TurboAPI).openapi() == declare(fastapi.FastAPI).openapi()


def test_markers_are_translated_completely() -> None:
    for theirs, ours in [
        (fastapi.Query(3, alias="a", ge=1, deprecated=True), turboapi.Query(3, alias="a", ge=1, deprecated=True)),
        (fastapi.Header(examples=["x"]), turboapi.Header(examples=["x"])),
        (fastapi.File(media_type="a/b"), turboapi.File(media_type="a/b")),
        (fastapi.Body(embed=True, title="t"), turboapi.Body(embed=True, title="t")),
    ]:
        made = own_marker(theirs)
        assert type(made) is type(ours)
        state = [
            {name: getattr(one, name) for name in [*one.__slots__, *vars(one)] if hasattr(one, name)}
            for one in (made, ours)
        ]
        assert state[0] == state[1]


@pytest.mark.parametrize(
    "annotation", [int, list[int], int | None, Annotated[int, "x"], dict[str, list[int]], None, "int", Any]
)
def test_other_annotations_stay_the_same_object(annotation: Any) -> None:
    assert own_annotation(annotation) is annotation


def test_a_limit_is_shared_by_all_uses_of_a_declaration() -> None:
    depends = fastapi.Depends(lambda: None, max_concurrency=2)
    one, other = own_marker(depends), own_marker(depends)
    assert one._concurrency is other._concurrency is depends._concurrency is not None


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_special_objects(client_for: ClientFor) -> None:
    app = TurboAPI()
    log: list[str] = []

    def note(request: fastapi.Request, connection: starlette.requests.HTTPConnection) -> None:
        assert request is connection
        request.state.noted = request.headers["x-note"]

    def ours(request: Request) -> Request:
        return request

    @app.post("/", dependencies=[Depends(note)])
    async def read(
        request: starlette.requests.Request,
        own: Annotated[Request, Depends(ours)],
        response: fastapi.Response,
        background: fastapi.BackgroundTasks,
        data: dict[str, int],
    ) -> Any:
        assert isinstance(request, starlette.requests.Request) and isinstance(own, starlette.requests.Request)
        assert isinstance(own.headers, starlette.datastructures.Headers)
        assert await request.json() == data == await own.json()
        response.headers["x-noted"] = own.state.noted
        response.status_code = 201
        background.add_task(log.append, "done")
        return str(request.url_for("read"))

    answer = client_for(app).post("/", json={"a": 1}, headers={"x-note": "n"})
    assert (answer.status_code, answer.headers["x-noted"]) == (201, "n")
    assert answer.json() == str(answer.url)
    wait_for(log)
    assert log == ["done"]


def test_a_body_is_read_by_either_request(client_for: ClientFor) -> None:
    app = TurboAPI()

    async def theirs(request: starlette.requests.Request) -> bytes:
        return await request.body()

    @app.post("/body")
    async def body(
        own: Request, first: bytes = Depends(theirs), second: bytes = Depends(theirs, use_cache=False)
    ) -> Any:
        return [first.decode(), second.decode(), (await own.body()).decode()]

    @app.post("/stream")
    async def stream(request: starlette.requests.Request) -> Any:
        return [chunk.decode() async for chunk in request.stream() if chunk]

    @app.post("/form")
    async def form(request: starlette.requests.Request) -> Any:
        return [[key, value] for key, value in (await request.form()).multi_items()]

    client = client_for(app)
    assert client.post("/body", content=b"abc").json() == ["abc"] * 3
    assert "".join(client.post("/stream", content=b"abc").json()) == "abc"
    assert client.post("/form", data={"a": "b"}).json() == [["a", "b"]]


def test_websockets() -> None:
    app = TurboAPI()
    log: list[Any] = []

    def prefix(connection: starlette.requests.HTTPConnection, websocket: fastapi.WebSocket) -> str:
        assert connection is websocket
        return websocket.query_params["prefix"]

    @app.websocket("/talk")
    async def talk(websocket: fastapi.WebSocket, prefix: str = Depends(prefix)) -> None:
        assert websocket.client_state == starlette.websockets.WebSocketState.CONNECTING
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(prefix + await websocket.receive_text())
        except fastapi.WebSocketDisconnect as exc:
            log.append(exc.code)

    @app.websocket("/refuse")
    async def refuse(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        raise fastapi.WebSocketException(4001, "no")

    client = TestClient(app)
    with client.websocket_connect("/talk?prefix=p") as session:
        session.send_text("a")
        assert session.receive_text() == "pa"
        session.close(3005)
    assert log == [3005]
    with client.websocket_connect("/refuse") as session, pytest.raises(turboapi.WebSocketDisconnect) as caught:
        session.receive_text()
    assert (caught.value.code, caught.value.reason) == (4001, "no")


# --- what is returned ------------------------------------------------------------------------------------------------


def test_responses(client_for: ClientFor, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("content")
    app = TurboAPI()
    log: list[str] = []

    class Lenient(BaseModel):
        name: str | None = None

    class Loud(starlette.responses.JSONResponse):
        def render(self, content: Any) -> bytes:
            return super().render(content).upper()

    async def chunks() -> AsyncIterator[str]:
        for chunk in "abc":
            yield chunk

    made: dict[str, Callable[[], Any]] = {
        "json": lambda: starlette.responses.JSONResponse({"a": 1}, 202, {"x-a": "b"}),
        "loud": lambda: Loud("loud"),
        "stream": lambda: starlette.responses.StreamingResponse(chunks(), media_type="text/plain"),
        "file": lambda: starlette.responses.FileResponse(tmp_path / "file.txt"),
        "redirect": lambda: starlette.responses.RedirectResponse("/elsewhere"),
        "task": lambda: starlette.responses.Response(
            "x", background=starlette.background.BackgroundTask(log.append, "task")
        ),
    }

    @app.get("/async/{kind}", response_model=Lenient)
    async def answer_async(kind: str) -> Any:
        return made[kind]()

    @app.get("/plain/{kind}", response_model=Lenient)
    def answer_in_thread(kind: str) -> Any:
        return made[kind]()

    @app.get("/none/{kind}", response_model=None)
    async def answer_without_model(kind: str, background: fastapi.BackgroundTasks) -> Any:
        return made[kind]()

    @app.get("/class/{kind}", response_class=Loud)
    async def answer_with_class(kind: str) -> Any:
        return made[kind]()

    @app.get("/other", response_class=Loud, status_code=203)
    async def other(response: fastapi.Response) -> Any:
        response.headers["x-a"] = "b"
        return {"a": "b"}

    client = client_for(app)
    for path in ("async", "plain", "none", "class"):
        answer = client.get(f"/{path}/json")
        assert (answer.status_code, answer.text, answer.headers["x-a"]) == (202, '{"a":1}', "b"), path
        assert client.get(f"/{path}/loud").text == '"LOUD"'
        assert client.get(f"/{path}/stream").text == "abc"
        file = client.get(f"/{path}/file", headers={"range": "bytes=0-2"})
        assert (file.status_code, file.text) == (206, "con")
        redirect = client.get(f"/{path}/redirect", follow_redirects=False)
        assert (redirect.status_code, redirect.headers["location"]) == (307, "/elsewhere")
        assert client.get(f"/{path}/task").text == "x"
        wait_for(log)
        assert log.pop() == "task"
    answer = client.get("/other")
    assert (answer.status_code, answer.text, answer.headers["x-a"]) == (203, '{"A":"B"}', "b")
    assert app.openapi()["paths"]["/other"]["get"]["responses"]["203"]["content"].keys() == {"application/json"}


def test_events(client_for: ClientFor) -> None:
    app = TurboAPI()

    @app.get("/", response_class=fastapi.sse.EventSourceResponse)
    async def events() -> AsyncIterator[Any]:
        yield fastapi.sse.ServerSentEvent(data="a", event="e")
        yield {"b": 1}

    assert client_for(app).get("/").text == 'event: e\ndata: "a"\n\ndata: {"b":1}\n\n'


# --- what is raised --------------------------------------------------------------------------------------------------


def raising(app: Any) -> Any:
    class Own(fastapi.HTTPException):
        pass

    class Registered(starlette.exceptions.HTTPException):
        pass

    errors = [{"type": "t", "loc": ("body",), "msg": "m", "input": 1}]
    raised: dict[str, Exception] = {
        "fastapi": fastapi.HTTPException(418, {"a": 1}, headers={"x-a": "b"}),
        "starlette": starlette.exceptions.HTTPException(404),
        "empty": starlette.exceptions.HTTPException(304),
        "own": Own(409, "own"),
        "registered": Registered(410, "registered"),
        "invalid": fastapi.exceptions.RequestValidationError(errors),
    }

    async def answer(request: Any, exc: Any) -> Any:
        return starlette.responses.PlainTextResponse(f"handled {exc.detail}", status_code=exc.status_code)

    app.add_exception_handler(Registered, answer)

    def fail(kind: str) -> None:
        raise raised[kind]

    @app.get("/handler/{kind}")
    def in_handler(kind: str) -> None:
        raise raised[kind]

    @app.get("/dependency/{kind}", dependencies=[Depends(fail)])
    async def in_dependency(kind: str) -> None: ...

    return app


@pytest.mark.parametrize("kind", ["fastapi", "starlette", "empty", "own", "registered", "invalid"])
@pytest.mark.parametrize("place", ["handler", "dependency"])
def test_exceptions(client_for: ClientFor, place: str, kind: str) -> None:
    expected = TestClient(raising(fastapi.FastAPI())).get(f"/{place}/{kind}")
    assert seen(client_for(raising(TurboAPI())).get(f"/{place}/{kind}")) == seen(expected)


def handling(app: Any) -> Any:
    @app.exception_handler(starlette.exceptions.HTTPException)
    async def http(request: Any, exc: Any) -> Any:
        return starlette.responses.PlainTextResponse(f"starlette's {exc.detail}", status_code=exc.status_code)

    @app.exception_handler(fastapi.exceptions.RequestValidationError)
    async def invalid(request: Any, exc: Any) -> Any:
        return starlette.responses.PlainTextResponse(f"{len(exc.errors())} errors", status_code=400)

    @app.exception_handler(418)
    def teapot(request: Any, exc: Any) -> Any:
        return starlette.responses.PlainTextResponse("teapot")

    @app.get("/{number}")
    def read(number: int) -> None:
        raise fastapi.HTTPException(number)

    return app


@pytest.mark.parametrize("path", ["/x/y", "/x", "/418", "/404"])
def test_exception_handlers(client_for: ClientFor, path: str) -> None:
    expected = TestClient(handling(fastapi.FastAPI())).get(path)
    assert seen(client_for(handling(TurboAPI())).get(path)) == seen(expected)


# --- middleware -----------------------------------------------------------------------------------------------------


def around(framework: Any) -> Any:
    class Stamp(starlette.middleware.base.BaseHTTPMiddleware):
        async def dispatch(self, request: starlette.requests.Request, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-stamp"] = request.url.path
            return response

    cors = starlette.middleware.Middleware(starlette.middleware.cors.CORSMiddleware, allow_origins=["http://a"])
    app = framework(middleware=[cors])
    app.add_middleware(Stamp)
    app.add_middleware(starlette.middleware.gzip.GZipMiddleware, minimum_size=10)

    @app.middleware("http")
    async def refuse(request: Any, call_next: Any) -> Any:
        if request.url.path == "/refused":
            return starlette.responses.JSONResponse({"detail": "refused"}, status_code=403)
        response = await call_next(request)
        response.headers["x-after"] = str(response.status_code)
        return response

    @app.get("/raised")
    def raised() -> None:
        raise fastapi.HTTPException(418)

    @app.get("/{name}")
    def read(name: str) -> str:
        return name * 10

    return app


@pytest.mark.parametrize("path", ["/long", "/raised", "/refused", "/none/none"])
def test_middleware(client_for: ClientFor, path: str) -> None:
    headers = {"origin": "http://a"}
    expected = TestClient(around(fastapi.FastAPI)).get(path, headers=headers)
    assert seen(client_for(around(TurboAPI)).get(path, headers=headers)) == seen(expected)


@pytest.mark.parametrize("path", ["/refused", "/read"])
def test_only_a_function_as_middleware(client_for: ClientFor, path: str) -> None:
    app = TurboAPI()

    @app.middleware("http")
    async def refuse(request: Any, call_next: Any) -> Any:
        if request.url.path == "/refused":
            return starlette.responses.JSONResponse("refused", status_code=403)
        return await call_next(request)

    @app.get("/read", response_model=None)
    async def read() -> Any:
        return starlette.responses.JSONResponse("read")

    assert client_for(app).get(path).json() == path[1:]


# --- routers and routes ----------------------------------------------------------------------------------------------


def library(log: list[str]) -> fastapi.APIRouter:
    """A router as a library offers it."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        log.append("lifespan")
        yield {"resource": "r"}

    def guard(q: str = Query("ok")) -> None:
        if q != "ok":
            raise fastapi.HTTPException(403)

    inner = fastapi.APIRouter(prefix="/inner", tags=["inner"], responses={404: {"description": "none"}})
    outer = fastapi.APIRouter(prefix="/outer", dependencies=[Depends(guard)], lifespan=lifespan)

    @inner.get("/items/{item_id}", response_model=Item, response_model_exclude_none=True, operation_id="get_item")
    def read(item_id: int, request: fastapi.Request) -> Any:
        return {"name": f"{item_id} {request.state.resource}"}

    @inner.post("/lines")
    async def lines() -> AsyncIterator[Item]:
        yield Item(name="a")

    @outer.api_route("/both", methods=["PUT", "DELETE"], status_code=202, deprecated=True, include_in_schema=True)
    def both() -> str:
        return "both"

    outer.include_router(inner, prefix="/below", tags=["more"], dependencies=[Depends(guard)])

    @outer.get("/made", response_class=starlette.responses.PlainTextResponse)
    def made() -> str:
        return "made"

    def plain(request: starlette.requests.Request) -> starlette.responses.Response:
        return starlette.responses.PlainTextResponse(f"plain {request.path_params['x']}")

    outer.add_route("/plain/{x:int}", plain, methods=["GET"])
    outer.mount("/mounted", starlette.routing.Router(routes=[starlette.routing.Route("/{x}", plain, name="x")]), "sub")
    return outer


def including(framework: Any, log: list[str]) -> Any:
    app = framework()
    app.include_router(library(log), prefix="/api", tags=["library"])
    return app


ROUTER_REQUESTS = [
    ("GET", "/api/outer/below/inner/items/3"),
    ("GET", "/api/outer/below/inner/items/x"),
    ("GET", "/api/outer/below/inner/items/3?q=no"),
    ("POST", "/api/outer/below/inner/items/3"),
    ("POST", "/api/outer/below/inner/lines"),
    ("PUT", "/api/outer/both"),
    ("DELETE", "/api/outer/both?q=no"),
    ("GET", "/api/outer/made"),
    ("GET", "/api/outer/plain/4"),
    ("GET", "/api/outer/plain/x"),
    ("GET", "/api/outer/mounted/5"),
    ("GET", "/api/outer/mounted/5/6"),
    ("GET", "/outer/made"),
]


@pytest.mark.parametrize(("method", "path"), ROUTER_REQUESTS)
def test_included_router(client_for: ClientFor, method: str, path: str) -> None:
    with TestClient(including(fastapi.FastAPI, [])) as client:
        expected = client.request(method, path)
    log: list[str] = []
    answer = client_for(including(partial(TurboAPI, auto_head=False), log)).request(method, path)
    assert seen(answer) == seen(expected)
    assert log == ["lifespan"]


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID both")
def test_included_router_in_the_document() -> None:
    apps = [including(framework, []) for framework in (TurboAPI, fastapi.FastAPI)]
    # Ids and titles are made with the first of a set of methods, which depends on the seed of hashes.
    documents = [
        json.dumps(app.openapi()).replace("both_put", "both_delete").replace("Both Put", "Both Delete") for app in apps
    ]
    assert json.loads(documents[0]) == json.loads(documents[1])
    urls = [str(app.url_path_for("read", item_id=1)) for app in apps]
    assert urls[0] == urls[1]
    urls = [str(app.url_path_for("sub:x", x=1)) for app in apps]
    assert urls[0] == urls[1]
    with pytest.raises(turboapi.routing.NoMatchFound):
        apps[0].url_path_for("sub:nothing")


def test_overrides_reach_an_included_router(client_for: ClientFor) -> None:
    def dependency() -> str:
        return "theirs"

    router = fastapi.APIRouter()

    @router.get("/")
    def read(value: str = Depends(dependency)) -> str:
        return value

    app = TurboAPI()
    app.include_router(router)
    app.dependency_overrides[dependency] = lambda: "overridden"
    assert client_for(app).get("/").json() == "overridden"


@pytest.mark.parametrize("framework", [fastapi.FastAPI, TurboAPI])
def test_startup_functions(framework: Any) -> None:
    log: list[str] = []
    router = fastapi.APIRouter(on_startup=[lambda: log.append("up")], on_shutdown=[lambda: log.append("down")])
    app = framework()
    app.include_router(router)
    with TestClient(app):
        assert log == ["up", "up"]  # the router's own lifespan runs them as well
    assert log == ["up", "up", "down", "down"]


def test_a_websocket_of_an_included_router() -> None:
    router = fastapi.APIRouter()

    @router.websocket("/{name}")
    async def talk(websocket: fastapi.WebSocket, name: str, q: int = Query()) -> None:
        await websocket.accept()
        await websocket.send_json([name, q])

    app = TurboAPI()
    app.include_router(router, prefix="/ws")
    with TestClient(app).websocket_connect("/ws/n?q=1") as session:
        assert session.receive_json() == ["n", 1]


def test_a_router_whose_routes_make_their_handlers() -> None:
    class Timed(fastapi.routing.APIRoute):
        def get_route_handler(self) -> Any:
            return super().get_route_handler()

    router = fastapi.APIRouter(route_class=Timed)
    router.add_api_route("/timed", lambda: None)
    with pytest.raises(FastAPIError, match=r"'/timed' is a route of .*Timed, .* replaces get_route_handler\(\)"):
        TurboAPI().include_router(router)


def test_starlette_routes(client_for: ClientFor, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("content")

    async def plain(request: starlette.requests.Request) -> starlette.responses.Response:
        return starlette.responses.JSONResponse([request.path_params, str(request.url_for("index:page", x="1"))])

    async def failing(request: starlette.requests.Request) -> None:
        raise starlette.exceptions.HTTPException(409, "failing")

    class Endpoint(starlette.endpoints.HTTPEndpoint):
        async def post(self, request: starlette.requests.Request) -> starlette.responses.Response:
            return starlette.responses.Response(await request.body())

    class Stamp:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def stamped(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-stamp", b"1")]
                await send(message)

            await self.app(scope, receive, stamped)

    class Shifted(starlette.routing.Route):
        def matches(self, scope: Any) -> Any:
            return super().matches({**scope, "path": scope["path"].removeprefix("/shift")})

    stamp = [starlette.middleware.Middleware(Stamp)]
    routes = [
        starlette.routing.Route("/plain/{x:int}", plain),
        starlette.routing.Route("/failing", failing, middleware=stamp),
        starlette.routing.Route(
            "/stamped",
            lambda request: starlette.responses.Response("s"),
            middleware=stamp,
        ),
        starlette.routing.Route("/endpoint", Endpoint),
        starlette.routing.Mount("/index", routes=[starlette.routing.Route("/{x}", plain, name="page")], name="index"),
        starlette.routing.Mount("/static", starlette.staticfiles.StaticFiles(directory=tmp_path)),
    ]
    app = TurboAPI(routes=routes)
    app.router.routes.append(Shifted("/late", plain))
    client = client_for(app)
    assert client.get("/plain/3").json() == [{"x": 3}, str(client.base_url.join("/index/1"))]
    assert client.get("/index/7").json()[0] == {"x": "7"}
    assert client.get("/failing").json() == {"detail": "failing"}
    assert client.get("/stamped").headers["x-stamp"] == "1"
    assert client.post("/endpoint", content=b"e").text == "e"
    assert client.put("/endpoint").status_code == 405
    assert client.post("/plain/3").status_code == 405
    assert client.get("/static/file.txt").text == "content"
    assert client.get("/static/none.txt").json() == {"detail": "Not Found"}
    assert client.get("/shift/late").status_code == 200
    assert client.post("/shift/late").status_code == 405


def test_mounted_applications_of_theirs(client_for: ClientFor) -> None:
    theirs = fastapi.FastAPI()

    @theirs.get("/{x}")
    def read(x: int, request: fastapi.Request) -> str:
        if x == 0:
            raise fastapi.HTTPException(404, "zero")
        return request.scope["root_path"]

    app = TurboAPI()
    app.mount("/sub", theirs, name="sub")
    client = client_for(app)
    assert client.get("/sub/1").json() == "/sub"
    assert client.get("/sub/0").json() == {"detail": "zero"}
    assert client.get("/sub/x").status_code == 422
    assert str(app.url_path_for("sub:read", x=1)) == "/sub/1"
