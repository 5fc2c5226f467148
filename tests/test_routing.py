"""Routers and routes over both entrances, and the frozen table's idea of when it is out of date."""

from typing import Annotated

import pytest

from turboapi import APIRouter, Depends, HTTPException, TurboAPI, WebSocket
from turboapi.responses import PlainTextResponse
from turboapi.routing import APIWebSocketRoute, Mount, Route, WebSocketRoute
from turboapi.testclient import TestClient


def test_verbs_and_allow(client_for):
    app = TurboAPI()
    for method in ("get", "put", "post", "delete", "patch", "options", "trace"):
        getattr(app, method)("/thing")(lambda method=method: method)
    app.head("/only-head")(lambda: None)
    app.api_route("/two", methods=["GET", "post"])(lambda: "two")

    client = client_for(app)
    for method in ("get", "put", "post", "delete", "patch", "options", "trace"):
        assert client.request(method, "/thing").json() == method
    head = client.head("/only-head")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "4")
    refused = client.delete("/two")
    assert (refused.status_code, refused.json()) == (405, {"detail": "Method Not Allowed"})
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_first_registered_match_wins(client_for):
    app = TurboAPI()
    app.get("/users/{name}")(lambda name: ["name", name])
    app.get("/users/me")(lambda: ["me"])
    app.get("/{kind}/{number:int}")(lambda kind, number: ["number", kind, number])
    app.get("/{rest:path}")(lambda rest: ["rest", rest])

    client = client_for(app)
    answers = {path: client.get(path).json() for path in ("/users/me", "/users/7", "/a/7", "/a/b", "/a/b/c", "/%2Fx")}
    assert answers == {
        "/users/me": ["name", "me"],
        "/users/7": ["name", "7"],
        "/a/7": ["number", "a", 7],
        "/a/b": ["rest", "a/b"],
        "/a/b/c": ["rest", "a/b/c"],
        "/%2Fx": ["rest", "/x"],
    }


@pytest.mark.parametrize("redirects", [True, False])
def test_slashes(client_for, redirects):
    app = TurboAPI(redirect_slashes=redirects)
    app.get("/with/")(lambda: "with")
    app.get("/without")(lambda: "without")

    client = client_for(app)
    answers = [client.get(path, follow_redirects=False) for path in ("/with?a=1", "/without/?a=1")]
    assert [answer.status_code for answer in answers] == ([307, 307] if redirects else [404, 404])
    if redirects:
        assert [answer.headers["location"].removeprefix(str(client.base_url)) for answer in answers] == [
            "/with/?a=1",
            "/without?a=1",
        ]


def test_included_routers_add_prefix_and_dependencies(client_for):
    calls = []

    def note(name):
        return Depends(lambda: calls.append(name))

    app = TurboAPI(dependencies=[note("app")])
    outer = APIRouter(prefix="/outer", dependencies=[note("outer")])
    inner = APIRouter(prefix="/inner", dependencies=[note("inner")])
    outer.include_router(inner, prefix="/at", dependencies=[note("include inner")])
    app.include_router(outer, dependencies=[note("include outer")])

    @inner.get("/x/{number}", dependencies=[note("route")])  # declared after both inclusions
    def handler(number: int, added: Annotated[None, note("parameter")]) -> int:
        return number

    client = client_for(app)
    assert client.get("/outer/at/inner/x/5").json() == 5
    assert calls == ["app", "include outer", "outer", "include inner", "inner", "route", "parameter"]
    assert client.get("/outer/inner/x/5").status_code == 404
    assert app.url_path_for("handler", number=7) == "/outer/at/inner/x/7"


def test_a_refusing_dependency_of_an_included_router_keeps_the_handler_from_running(client_for):
    ran = []

    def refuse() -> None:
        raise HTTPException(403)

    app, router = TurboAPI(), APIRouter()
    app.include_router(router, dependencies=[Depends(refuse)])
    router.get("/secret")(lambda: ran.append(1))
    assert client_for(app).get("/secret").status_code == 403
    assert ran == []


def test_mounts_and_plain_routes(client_for):
    async def plain(request):
        return PlainTextResponse(f"{request.path_params['name']} {request.scope['root_path']}")

    below = TurboAPI()
    below.get("/items/{number}")(lambda number: number)
    app = TurboAPI(routes=[Route("/plain/{name}", plain), Mount("/files", routes=[Route("/{name}", plain)])])
    app.mount("/below", below)
    app.get("/{rest:path}")(lambda rest: f"rest {rest}")

    client = client_for(app)
    assert client.get("/plain/a").text == "a "
    assert client.get("/files/b").text == "b /files"
    assert client.get("/below/items/5").json() == "5"
    assert client.get("/below/none").status_code == 404
    assert client.get("/else/where").json() == "rest else/where"


def test_only_its_own_routes_make_a_site_stale():
    app = TurboAPI()
    app.get("/")(lambda: None)
    site = app.freeze()
    TurboAPI().get("/other")(lambda: None)
    assert site.current() is site
    router = APIRouter()
    app.include_router(router, prefix="/late")
    renewed = site.current()
    assert renewed is not site
    router.get("/x")(lambda: None)
    assert renewed.current() is not renewed


def test_websocket_routes_are_not_asked_about_requests():
    """They would have to see a scope, and every request behind them would pay for it."""

    class Asking(APIWebSocketRoute):
        def matches(self, scope):
            return super().matches(scope)

    async def session(websocket: WebSocket):
        await websocket.accept()

    inner = APIRouter()
    inner.add_api_websocket_route("/inner/{key}", session)
    app = TurboAPI(routes=[WebSocketRoute("/plain/{key}", session), APIWebSocketRoute("/api/{key}", session)])
    app.include_router(inner)
    entries = len(TurboAPI().freeze().router.entries)
    assert len(app.freeze().router.entries) == entries
    assert len(TurboAPI(routes=[Asking("/{key}", session)]).freeze().router.entries) == entries + 1

    @app.get("/{key}/{rest}")
    async def read(key: str, rest: str):
        return f"{key}-{rest}"

    with TestClient(app) as client:
        for kind in ("plain", "api", "inner"):
            assert client.get(f"/{kind}/a").json() == f"{kind}-a"
            with client.websocket_connect(f"/{kind}/a"):
                pass
