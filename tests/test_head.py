"""HEAD where a route is declared for GET: the head of that answer (RFC 9110, sections 9.1 and 9.3.2)."""

import asyncio
import logging
import time

import pytest

from turboapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    HTTPException,
    Request,
    Response,
    TurboAPI,
)
from turboapi.compat.fastapi.applications import FastAPI
from turboapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from turboapi.routing import APIRoute, Mount, Route
from turboapi.sse import EventSourceResponse


def application(directory, **options):
    """One route of every kind, and what they note."""
    app = TurboAPI(**options)
    app.log = log = []

    async def resource():
        log.append("open")
        yield "resource"
        log.append("close")

    @app.get("/json")
    async def json(request: Request):
        log.append(request.method)
        return {"a": 1}

    @app.get("/thread")
    def thread(response: Response, tasks: BackgroundTasks):
        response.headers["x-made"] = "yes"
        tasks.add_task(log.append, "task")
        return [1, 2, 3]

    @app.get("/model", response_model=list[int], status_code=203)
    async def model():
        return ["1", "2"]

    @app.get("/text", response_class=PlainTextResponse)
    async def text():
        return "text"

    @app.get("/direct")
    async def direct():
        return JSONResponse({"b": 2}, headers={"x-own": "1"})

    @app.get("/file")
    async def file():
        return FileResponse(directory / "file.txt")

    @app.get("/items/{number}")
    async def item(number: int, found: str = Depends(resource)):
        return found * number

    @app.get("/refused")
    async def refused():
        raise HTTPException(418, "a teapot", headers={"x-why": "tea"})

    @app.get("/broken")
    async def broken():
        raise ZeroDivisionError

    @app.get("/nothing", status_code=204)
    async def nothing():
        return None

    router = APIRouter(prefix="/router")
    router.get("/inner")(json)
    outer = APIRouter()
    outer.include_router(router, prefix="/outer")
    app.include_router(outer)

    below = TurboAPI()
    below.get("/there")(json)
    app.mount("/mounted", below)

    class Wrapping(APIRoute):
        def get_route_handler(self):
            original = super().get_route_handler()

            async def handler(request):
                response = await original(request)
                response.headers["x-wrapped"] = "yes"
                return response

            return handler

    app.router.add_api_route("/wrapped", json, route_class_override=Wrapping, methods=["GET"])
    app.router.add_api_route("/limited", json, methods=["GET"], max_body_size=100)
    app.router.routes.append(APIRoute("/object", json))
    app.add_route("/plain", lambda request: PlainTextResponse("plain"))
    return app


PATHS = [
    *("/json", "/thread", "/model", "/text", "/direct", "/file", "/items/2", "/items/x", "/refused", "/broken"),
    *("/nothing", "/outer/router/inner", "/mounted/there", "/wrapped", "/limited", "/object", "/plain", "/missing"),
    *("/docs", "/openapi.json"),
]

NOTES = {"/thread": ["task"], "/items/2": ["open", "close"], "/items/x": ["open"]}


def until(condition):
    """Wait for what a server does behind its answer."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "file.txt").write_text("content")
    return tmp_path


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_head_of_get(client_for, directory, path, caplog):
    caplog.set_level(logging.CRITICAL)
    app = application(directory)
    client = client_for(app)
    get = client.get(path)
    head = client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    notes = NOTES.get(path, [])  # dependencies and background tasks run as they do for GET
    until(lambda: sorted(note for note in app.log if note not in ("GET", "HEAD")) == sorted(notes * 2))
    assert client.get("/json").json() == {"a": 1}  # on the same connection


def test_the_handler_knows_the_method(client_for, directory):
    app = application(directory)
    client_for(app).head("/json")
    assert app.log == ["HEAD"]


class Stream:
    """An endless stream that notes whether it is begun and closed."""

    def __init__(self):
        self.notes = []

    async def run(self):
        self.notes.append("begun")
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            self.notes.append("closed")


def streaming_application(stream, tasks):
    app = TurboAPI()

    @app.get("/stream")
    async def respond(background: BackgroundTasks):
        background.add_task(tasks.append, "task")
        return StreamingResponse(stream.run(), media_type="text/x", headers={"x-a": "b"})

    @app.get("/begun")
    async def begun():
        content = stream.run()
        await anext(content)
        return StreamingResponse(content)

    @app.get("/lines")
    async def lines():
        async for item in stream.run():
            yield item.decode()

    @app.get("/raw", response_class=StreamingResponse)
    def raw():
        while True:
            yield b"x"

    class Plain(APIRoute):
        def get_route_handler(self):
            return super().get_route_handler()

    app.router.add_api_route("/own", respond, route_class_override=Plain, methods=["GET"])
    return app


@pytest.mark.parametrize("path", ["/stream", "/own", "/begun", "/lines", "/raw"])
def test_an_endless_stream_is_closed_and_not_run(client_for, path):
    stream, tasks = Stream(), []
    client = client_for(streaming_application(stream, tasks))
    head = client.head(path)
    assert (head.status_code, head.content, head.headers.get("content-length")) == (200, b"", None)
    assert client.head(path).status_code == 200  # on the same connection
    assert stream.notes == (["begun", "closed"] * 2 if path == "/begun" else [])
    until(lambda: tasks == (["task", "task"] if path in ("/stream", "/own") else []))


def test_events_have_their_headers(client_for):
    app = TurboAPI()

    @app.get("/events", response_class=EventSourceResponse)
    async def events():
        while True:
            yield {"a": 1}
            await asyncio.sleep(0)

    head = client_for(app).head("/events")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.headers["cache-control"] == "no-cache"


def test_a_declared_head_comes_first_wherever_it_stands(client_for):
    app = TurboAPI()
    app.get("/a/{x}")(lambda x: "get")
    app.head("/a/{y}")(lambda y: Response(headers={"x-head": "mine"}))
    app.get("/b")(lambda: "get")
    app.api_route("/b", methods=["HEAD", "POST"])(lambda: Response(headers={"x-head": "other"}))
    app.get("/c")(lambda: "get")
    app.routes.append(Route("/c", lambda request: Response(headers={"x-head": "plain"}), methods=["HEAD"]))
    client = client_for(app)
    assert [client.head(path).headers.get("x-head") for path in ("/a/1", "/b", "/c")] == ["mine", "other", "plain"]
    assert [client.get(path).json() for path in ("/a/1", "/b", "/c")] == ["get"] * 3


def test_a_declared_stream_runs(client_for):
    """As with FastAPI."""
    app, notes = TurboAPI(), []

    async def content():
        notes.append("begun")
        yield b"x"

    app.api_route("/", methods=["GET", "HEAD"])(lambda: StreamingResponse(content()))
    assert client_for(app).head("/").content == b""
    assert notes == ["begun"]


def test_the_order_of_routes_is_that_of_get(client_for):
    """A mount that answers everything gets no HEAD of a route before it."""
    app = TurboAPI()
    app.get("/before")(lambda: "route")
    app.mount("/", lambda scope, receive, send: PlainTextResponse("mount")(scope, receive, send))
    app.get("/behind")(lambda: "route")
    client = client_for(app)
    lengths = {path: client.head(path).headers["content-length"] for path in ("/before", "/behind")}
    assert lengths == {"/before": "7", "/behind": "5"}


def test_what_allow_says(client_for):
    app = TurboAPI()
    app.get("/a")(lambda: 1)
    app.post("/b")(lambda: 1)
    client = client_for(app)
    assert client.post("/a").headers["allow"] == "GET, HEAD"
    refused = client.head("/b")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


ROUTERS = {
    "of the application": ({"auto_head": False}, {}, {}),
    "of the router": ({}, {"auto_head": False}, {}),
    "of the outer router": ({}, {}, {"auto_head": False}),
    "of all": ({"auto_head": True}, {"auto_head": False}, {"auto_head": True}),
}


@pytest.mark.parametrize("options", ROUTERS.values(), ids=ROUTERS)
def test_it_can_be_turned_off(client_for, options):
    """Also for a single router; where that says nothing, the including one decides."""
    of_app, of_inner, of_outer = options
    app, inner, outer = TurboAPI(**of_app), APIRouter(**of_inner), APIRouter(**of_outer)
    app.get("/app")(lambda: 1)
    inner.get("/inner")(lambda: 1)
    outer.include_router(inner)
    app.include_router(outer)
    client = client_for(app)
    refused = client.head("/inner")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert client.head("/app").status_code == (405 if of_app == {"auto_head": False} else 200)
    assert client.get("/inner").json() == 1


def test_a_router_may_turn_it_on(client_for):
    app, router = TurboAPI(auto_head=False), APIRouter(auto_head=True)
    app.get("/app")(lambda: 1)
    router.get("/router")(lambda: 1)
    app.include_router(router)
    client = client_for(app)
    assert [client.head(path).status_code for path in ("/app", "/router")] == [405, 200]


def test_fastapi_of_the_alias_answers_405(client_for):
    app, router = FastAPI(routes=[APIRoute("/object", lambda: 1)]), APIRouter()
    app.get("/app")(lambda: 1)
    router.get("/router")(lambda: 1)
    app.include_router(router)
    client = client_for(app)
    answers = [client.head(path) for path in ("/app", "/router", "/object")]
    assert [(answer.status_code, answer.headers["allow"]) for answer in answers] == [(405, "GET")] * 3
    again = FastAPI(auto_head=True)
    again.get("/")(lambda: 1)
    assert client_for(again).head("/").status_code == 200


def test_neither_routes_nor_the_document_tell_of_it(directory):
    app, without = application(directory), application(directory, auto_head=False)
    assert app.openapi() == without.openapi()
    assert "head" not in str(app.openapi()["paths"]).lower()
    assert [getattr(route, "methods", None) for route in app.routes] == [
        getattr(route, "methods", None) for route in without.routes
    ]


def test_route_classes_that_match_for_themselves_decide(client_for):
    class Own(APIRoute):
        def matches(self, scope):
            return super().matches(scope)

    app = TurboAPI()
    app.router.add_api_route("/own", lambda: 1, route_class_override=Own, methods=["GET"])
    assert client_for(app).head("/own").status_code == 405


@pytest.mark.parametrize("auto_head", [True, False])
def test_a_router_that_is_mounted_has_its_own_setting(client_for, auto_head):
    router = APIRouter(auto_head=auto_head)
    router.get("/x")(lambda: 1)
    app = TurboAPI(auto_head=not auto_head, routes=[Mount("/below", app=router)])
    assert client_for(app).head("/below/x").status_code == (200 if auto_head else 405)


def test_middleware_sees_the_method_and_the_head(client_for):
    app, seen = TurboAPI(), []

    @app.middleware("http")
    async def note(request, call_next):
        response = await call_next(request)
        seen.append((request.method, response.status_code, response.headers["content-length"]))
        return response

    app.get("/")(lambda: "body")
    client_for(app).head("/")
    assert seen == [("HEAD", 200, "6")]
