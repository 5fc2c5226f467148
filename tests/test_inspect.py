"""What `turboapi routes` says about an application."""

from typing import Annotated

import pytest

from turboapi import APIRouter, Depends, TurboAPI
from turboapi._inspect import openapi_document, routes_table
from turboapi._routes import Host, Mount, Route
from turboapi._speedups import Endpoint
from turboapi.middleware import Middleware
from turboapi.middleware.cors import CORSMiddleware
from turboapi.responses import PlainTextResponse
from turboapi.routing import APIRoute
from turboapi.server import ServerError


def session(): ...


def user(session: Annotated[None, Depends(session)]): ...


async def handler(): ...


def blocking(): ...


async def events():
    yield b"1"


class Custom(APIRoute):
    def get_route_handler(self):
        return super().get_route_handler()


class Deciding(APIRoute):
    def matches(self, scope):
        return super().matches(scope)


class Router(APIRouter):
    def matches(self, scope):
        return super().matches(scope)


def bare(**options):
    return TurboAPI(openapi_url=None, **options)


def rows(app):
    header, *lines = routes_table(app)
    starts = [header.index(name) for name in ("METHODS", "PATH", "HANDLER", "MODE", "DEPENDENCIES", "SERVED")]
    ends = [*starts[1:], None]
    return [tuple(line[start:end].strip() for start, end in zip(starts, ends, strict=True)) for line in lines]


def row(app):
    (found,) = rows(app)
    return found


@pytest.mark.parametrize(
    ("endpoint", "mode"),
    [(handler, "async"), (blocking, "auto"), (events, "async")],
)
def test_a_path_operation(endpoint, mode):
    app = bare()
    app.add_api_route("/tea/{kind}", endpoint, methods=["POST", "GET"], dependencies=[Depends(user), Depends(session)])
    name = f"{__name__}.{endpoint.__name__}"
    assert row(app) == ("GET,POST", "/tea/{kind}", name, mode, "user(session), session", "native")


def test_the_mode_of_plain_functions():
    app, router = bare(sync_mode="inline"), APIRouter(sync_mode="thread")
    app.get("/inline")(blocking)
    app.get("/auto", sync_mode="auto")(blocking)
    router.get("/thread")(blocking)
    app.include_router(router)
    app.add_route("/plain", lambda request: PlainTextResponse())
    assert [each[3] for each in rows(app)] == ["inline", "auto", "thread", "thread"]


def test_routes_of_included_routers_are_shown_as_they_are_served():
    inner, outer, app = APIRouter(prefix="/tea"), APIRouter(), bare()
    inner.get("/")(handler)
    inner.add_route("/plain", lambda request: PlainTextResponse())
    outer.include_router(inner, prefix="/shop", dependencies=[Depends(session)])
    app.include_router(outer)
    assert [each[1] for each in rows(app)] == ["/shop/tea/", "/shop/plain"]
    assert [each[4:] for each in rows(app)] == [("session", "native"), ("-", "ASGI: plain route")]


def with_routes(*routes):
    return bare(routes=list(routes))


def with_router(router):
    app = bare()
    app.include_router(router, prefix="/x")
    return app


def with_class(route_class):
    router = APIRouter(route_class=route_class)
    router.get("/tea")(handler)
    return router


def with_replaced_handler():
    app = bare()
    app.get("/")(handler)
    app.routes[0].app = PlainTextResponse()
    return app


def with_limit():
    app = bare()
    app.post("/", max_body_size=10)(handler)
    return app


def with_websocket():
    app = bare()
    app.websocket("/ws")(handler)
    return app


@pytest.mark.parametrize(
    ("app", "method", "path", "reason"),
    [
        (with_routes(Route("/plain", handler)), "GET,HEAD", "/plain", "plain route"),
        (with_routes(Mount("/static", app=PlainTextResponse())), "*", "/static/*", "mounted application"),
        (with_routes(Host("tea.org", app=PlainTextResponse())), "*", "tea.org/*", "application of a host"),
        (with_router(with_class(Custom)), "GET", "/x/tea", "route class Custom"),
        (with_router(with_class(Deciding)), "GET", "/x/tea", "route class Deciding"),
        (with_router(Router()), "*", "/x/*", "router class Router"),
        (with_replaced_handler(), "GET", "/", "replaced handler"),
        (with_limit(), "POST", "/", "max_body_size"),
    ],
)
def test_what_takes_the_asgi_path_and_why(app, method, path, reason):
    found = row(app)
    assert (found[0], found[1], found[5]) == (method, path, f"ASGI: {reason}")
    assert not any(isinstance(entry.target, Endpoint) for entry in app.freeze().router.entries)


def test_a_websocket():
    assert row(with_websocket())[:3] == ("WS", "/ws", f"{__name__}.handler")


def test_a_frontend(tmp_path):
    app = bare()
    app.frontend("/site", directory=tmp_path)
    assert row(app) == ("GET,HEAD", "/site", str(tmp_path), "-", "-", "ASGI: frontend")


class Own(TurboAPI):
    async def __call__(self, scope, receive, send): ...


class Wrapping:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send): ...


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (Own(openapi_url=None), "entrance of its own"),
        (bare(middleware=[Middleware(Wrapping)]), "middleware Wrapping"),
        (bare(middleware=[Middleware(CORSMiddleware), Middleware(Wrapping)]), "middleware Wrapping"),
    ],
)
def test_what_puts_the_whole_application_behind_asgi(app, reason):
    app.get("/")(handler)
    assert row(app)[5] == f"ASGI: {reason}"
    assert app.freeze().router is None


def test_an_instrumented_application(monkeypatch):
    monkeypatch.setattr("turboapi.applications.is_instrumented", lambda: True)
    app = bare()
    app.get("/")(handler)
    assert row(app)[5] == "ASGI: instrumentation"


def test_middleware_that_the_server_runs_itself():
    app = bare(middleware=[Middleware(CORSMiddleware)])
    app.get("/")(handler)
    assert row(app)[5] == "native"
    assert app.freeze().asgi is None


def test_an_application_of_another_kind():
    for look in (openapi_document, lambda app: list(routes_table(app))):
        with pytest.raises(ServerError, match="^this works for TurboAPI applications only, and the application is a f"):
            look(handler)


def test_a_document_that_cannot_be_made():
    app = TurboAPI()
    app.openapi = lambda: 1 / 0
    with pytest.raises(ServerError, match="^the OpenAPI document cannot be made: ZeroDivisionError: division by zero$"):
        openapi_document(app)


def test_routes_that_cannot_be_served():
    app = bare()
    app.freeze = lambda: 1 / 0
    with pytest.raises(ServerError, match="^the application cannot be served: ZeroDivisionError: division by zero$"):
        list(routes_table(app))


def test_the_document():
    app = TurboAPI()
    assert openapi_document(app) == app.openapi()
