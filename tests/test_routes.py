"""Starlette's routing is built from the same endpoints next to ours; whatever can be seen of the two must be equal."""

import asyncio
import functools
import pickle
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import starlette.exceptions
import starlette.middleware
import starlette.routing
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.middleware
from turboapi import _routes
from turboapi._routes import BaseRoute, Host, Match, Mount, NoMatchFound, Route, RouteList, Router
from turboapi._speedups import routes_epoch
from turboapi.exceptions import HTTPException, StarletteDeprecationWarning, StarletteHTTPException
from turboapi.requests import Request
from turboapi.responses import JSONResponse, PlainTextResponse
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

Routing = Any  # the module: ours or the oracle's
Outcome = tuple[Any, ...]

OURS, THEIRS = _routes, starlette.routing
MIDDLEWARE = {OURS: turboapi.middleware.Middleware, THEIRS: starlette.middleware.Middleware}
UUID = "12345678-1234-5678-1234-567812345678"


def attempt(call: Callable[[], Any]) -> Outcome:
    try:
        return ("returned", call())
    except Exception as exc:
        return ("raised", type(exc).__name__, str(exc))


def same(call: Callable[[Routing], Any]) -> Outcome:
    """Check that `call` has the same outcome with both modules, and return it."""
    ours = attempt(lambda: call(OURS))
    assert ours == attempt(lambda: call(THEIRS))
    return ours


def returned(call: Callable[[Routing], Any]) -> Any:
    """Check that `call` returns the same value with both modules, and return it."""
    kind, *value = same(call)
    assert kind == "returned", value
    return value[0]


async def run_app(app: ASGIApp, scope: Scope, received: Iterable[Message] = ()) -> list[Message]:
    sent: list[Message] = []
    messages = iter([*received, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def answer(app: ASGIApp, scope: Scope, received: Iterable[Message] = ()) -> list[Message]:
    return asyncio.run(run_app(app, scope, received))


def http(path: str = "/", method: str = "GET", host: str | None = None, **more: Any) -> Scope:
    headers = [] if host is None else [(b"host", host.encode())]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": "http",
        "server": ("testserver", 80),
        "query_string": b"q=1",
        "headers": headers,
        **more,
    }


def websocket(path: str = "/", host: str | None = None, **more: Any) -> Scope:
    scope = http(path, host=host, **more) | {"type": "websocket", "scheme": "ws"}
    del scope["method"]
    return scope


def view(request: Any) -> JSONResponse:
    return JSONResponse({"view": str(request.url), "values": {k: str(v) for k, v in request.path_params.items()}})


async def async_view(request: Any) -> PlainTextResponse:
    return PlainTextResponse(f"async {request.method} {request.path_params}")


async def session(websocket: Any) -> None:
    await websocket.send({"type": "websocket.accept"})
    await websocket.send({"type": "websocket.send", "text": str(websocket.path_params)})


class Echo:
    """An ASGI application as a class: called with the three arguments, then awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.call = PlainTextResponse(f"{scope['type']} {scope.get('root_path')} {scope['path']}"), scope, receive, send

    def __await__(self) -> Iterator[Any]:
        response, *arguments = self.call
        return response(*arguments).__await__()  # type: ignore[return-value]


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": f"{scope['type']}.seen", "path": scope["path"], "root_path": scope.get("root_path")})


def tree(routing: Routing) -> Any:
    below_a = [
        routing.Route("/", view, name="index"),
        routing.Route("/b/{c}", view, name="b"),
        routing.WebSocketRoute("/ws", session, name="ws"),
        routing.Mount("/{deep}", routes=[routing.Route("/{end}", async_view, name="end")], name="deep"),
    ]
    on_host = [routing.Route("/", view, name="index"), routing.Route("/users/{name}", async_view, name="user")]
    return routing.Router(
        [
            routing.Host("{sub}.Example.org:8000", routing.Router(on_host), name="sub"),
            routing.Host("[::1]", accept),
            routing.Route("/", view, name="home"),
            routing.Route("/users", view, methods=["get", "POST"], name="users"),
            routing.Route("/users/{id:int}", async_view, methods=["put"], name="user"),
            routing.Route("/users/{id:int}", async_view, methods=["DELETE"], name="remove"),
            routing.Route("/users/{name}", Echo, name="any"),
            routing.Route("/items/", view),
            routing.Route("/float/{x:float}", view, name="float"),
            routing.Route("/uuid/{x:uuid}", view, name="uuid"),
            routing.Route("/v{major:int}.{minor:int}", view, name="version"),
            routing.Route("/files/{rest:path}", view, methods=["GET", "PATCH"], name="files"),
            routing.WebSocketRoute("/users/{id:int}", session, name="socket"),
            routing.WebSocketRoute("/", session),
            routing.Mount("/a", routes=below_a, name="a"),
            routing.Mount("/static", accept, name="static"),
            routing.Mount("/t/{tenant}", routes=[routing.Route("/x", view, name="x")]),
        ]
    )


def described(value: Any) -> Any:
    if isinstance(value, BaseRoute | starlette.routing.BaseRoute):
        return type(value).__name__, getattr(value, "path", getattr(value, "host", None)), getattr(value, "name", None)
    if isinstance(value, Router | starlette.routing.Router):
        return "Router", len(value.routes)
    return value


def visible(scope: Scope) -> dict[str, Any]:
    return {name: described(value) for name, value in scope.items()}


def answer_and_scope(app: ASGIApp, scope: Scope) -> Outcome:
    scope = dict(scope)
    outcome = attempt(lambda: answer(app, scope))
    return outcome, visible(scope)


# --- paths -----------------------------------------------------------------------------------------------------------

TEMPLATES = [
    "/",
    "",
    "/users/{id}",
    "/users/{id:int}",
    "/{a}{b}",
    "/{a:float}-{b:uuid}.{c:path}",
    "/a.b+(c)$",
    "/{}",
    "/{1a}",
    "/{a:}",
    "/{a:unknown}",
    "/{a}/{a}",
    "/{b}/{a}/{b}/{a}",
    "example.org",
    "Example.org:8000",
    "{sub}.example.org:8000",
    "{sub:int}.example.org",
    "[::1]",
    "[::1]:8000",
    "{sub}",
]


def compiled(routing: Routing, path: str) -> Any:
    regex, path_format, convertors = routing.compile_path(path)
    return regex.pattern, regex.flags, path_format, {name: type(value).__name__ for name, value in convertors.items()}


@pytest.mark.parametrize("path", TEMPLATES)
def test_compile_path(path: str) -> None:
    same(lambda routing: compiled(routing, path))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["/", "{a}", "{b:int}", "{c:path}", "{", "}", ":", ".", "x", "]", " "]), max_size=8))
def test_compile_path_of_any_template(parts: list[str]) -> None:
    same(lambda routing: compiled(routing, "".join(parts)))


def test_compile_path_names_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="Unknown path convertor 'no'"):
        _routes.compile_path("/{a:no}")
    with pytest.raises(ValueError, match="Duplicated param names a, b at path /{b}{a}{b}{a}"):
        _routes.compile_path("/{b}{a}{b}{a}")


@pytest.mark.parametrize("values", [{}, {"a": "x"}, {"a": "x", "n": 5}, {"z": 1}, {"n": -1}, {"a": "x/y"}, {"a": ""}])
def test_replace_params(values: dict[str, Any]) -> None:
    def replaced(routing: Routing) -> Any:
        _, path_format, convertors = routing.compile_path("/{a}/{n:int}")
        given = dict(values)
        return routing.replace_params(path_format, convertors, given), given

    same(replaced)


def test_public_names_are_all_there() -> None:
    own = {
        name
        for name, value in vars(starlette.routing).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == "starlette.routing"
    }
    assert sorted((own | {"PARAM_REGEX", "PARAM_FORMAT_REGEX"}) - vars(_routes).keys()) == []


# --- matching and answering ------------------------------------------------------------------------------------------

SEGMENTS = st.sampled_from(
    ["", "users", "7", "7.5", "-7", "me", "a", "b", "ws", "items", "files", "static", "t", "x", "v1.2", "float", "uuid"]
    + [UUID, "caf\u00e9", "x y", "..", "\n", "%2F"]
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda parts: "/" + "/".join(parts))
HOSTS = st.sampled_from([None, "testserver", "one.example.org", "ONE.EXAMPLE.ORG:80", "[::1]:1", "a b", "example.org"])
MORE = st.fixed_dictionaries(
    {},
    optional={
        "root_path": st.sampled_from(["", "/users", "/a", "/api"]),
        "path_params": st.just({"outer": 1, "id": "outer"}),
        "app": st.just("application"),
        "app_root_path": st.just("/outermost"),
        "router": st.just("router"),
    },
)


@settings(max_examples=150)
@given(PATHS, st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "get"]), HOSTS, MORE)
def test_http_requests_are_answered_alike(path: str, method: str, host: str | None, more: dict[str, Any]) -> None:
    returned(lambda routing: answer_and_scope(tree(routing), http(path, method, host, **more)))


@settings(max_examples=100)
@given(PATHS, HOSTS, MORE)
def test_websockets_are_answered_alike(path: str, host: str | None, more: dict[str, Any]) -> None:
    returned(lambda routing: answer_and_scope(tree(routing), websocket(path, host, **more)))


@pytest.mark.parametrize(
    ("scope", "route", "added"),
    [
        (http("/"), "home", {"path_params": {}}),
        (http("/users", "POST"), "users", {"path_params": {}}),
        (http("/users/7", "PUT"), "user", {"path_params": {"id": 7}}),
        (http("/users/7", "DELETE"), "remove", {"path_params": {"id": 7}}),
        (http("/users/7", "GET"), "any", {"path_params": {"name": "7"}}),
        (http("/float/7.5"), "float", {"path_params": {"x": 7.5}}),
        (http(f"/uuid/{UUID}"), "uuid", {"path_params": {"x": uuid.UUID(UUID)}}),
        (http("/v1.20"), "version", {"path_params": {"major": 1, "minor": 20}}),
        (http("/files/a/b", "HEAD"), "files", {"path_params": {"rest": "a/b"}}),
        (http("/files/a", path_params={"outer": 1}), "files", {"path_params": {"outer": 1, "rest": "a"}}),
        (http("/files/a", path_params={"rest": "outer"}), "files", {"path_params": {"rest": "a"}}),
        (websocket("/users/7"), "socket", {"path_params": {"id": 7}}),
        (http("/static/x"), "static", {"path_params": {}, "root_path": "/static", "app_root_path": ""}),
        (http("/r/a/b/c", root_path="/r"), "b", {"root_path": "/r/a", "app_root_path": "/r"}),
        (http("/a/d/e"), "end", {"path_params": {"deep": "d", "end": "e"}, "root_path": "/a/d", "app_root_path": ""}),
        (http("/users/x", host="one.example.org"), "user", {"path_params": {"sub": "one", "name": "x"}}),
    ],
)
def test_the_scope_tells_what_has_matched(scope: Scope, route: str, added: dict[str, Any]) -> None:
    router = tree(OURS)
    answer(router, scope)
    assert scope["route"].name == route
    assert scope["router"] is router
    assert {name: scope[name] for name in added} == added
    assert scope["endpoint"] is getattr(scope["route"], "endpoint", None) or scope["route"].app


def test_the_first_full_match_answers_even_after_a_partial_one() -> None:
    router = Router([Route("/x", view, methods=["POST"], name="first"), Route("/x", view, name="second")])
    scope = http("/x")
    assert answer(router, scope)[0]["status"] == 200
    assert scope["route"].name == "second"


def test_without_a_full_match_the_first_partial_one_answers() -> None:
    router = Router([Route("/x", view, methods=["POST"]), Route("/x", view, methods=["PUT"])])
    start, body = answer(router, http("/x"))
    assert (start["status"], body["body"]) == (405, b"Method Not Allowed")
    assert (b"allow", b"POST") in start["headers"]


@pytest.mark.parametrize("path", ["/missing", "/users/7/8"])
def test_not_found_outside_of_an_application_is_a_plain_answer(path: str) -> None:
    start, body = answer(tree(OURS), http(path))
    assert (start["status"], body["body"]) == (404, b"Not Found")


@pytest.mark.parametrize(("scope", "status"), [(http("/missing", app=1), 404), (http("/users", "PUT", app=1), 405)])
def test_inside_an_application_starlettes_exception_is_raised(scope: Scope, status: int) -> None:
    with pytest.raises(StarletteHTTPException) as raised:
        answer(tree(OURS), scope)
    assert not isinstance(raised.value, HTTPException)
    assert raised.value.status_code == status
    expected = {"Allow": {"GET", "HEAD", "POST"}} if status == 405 else {}
    assert {name: set(value.split(", ")) for name, value in (raised.value.headers or {}).items()} == expected


def test_an_unmatched_websocket_is_closed_even_inside_an_application() -> None:
    assert answer(tree(OURS), websocket("/missing", app=1)) == [{"type": "websocket.close", "code": 1000, "reason": ""}]


def test_another_default_answers_what_nothing_matches() -> None:
    assert answer(Router(default=accept), http("/x")) == [{"type": "http.seen", "path": "/x", "root_path": None}]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/users/", "http://testserver/users?q=1"),
        ("/items", "http://testserver/items/?q=1"),
        ("/users//", "http://testserver/users?q=1"),
        ("/users", None),
        ("/nothing/", None),
        ("/", None),
    ],
)
def test_a_slash_too_many_or_too_few_redirects(path: str, location: str | None) -> None:
    start = answer(tree(OURS), http(path))[0]
    found = dict(start["headers"]).get(b"location")
    assert (start["status"] == 307) is (location is not None)
    assert (found and found.decode()) == location


def test_redirects_follow_partial_matches_and_can_be_switched_off() -> None:
    routes = [Route("/x", view, methods=["POST"])]
    assert answer(Router(routes), http("/x/"))[0]["status"] == 307
    assert answer(Router(routes, redirect_slashes=False), http("/x/"))[0]["status"] == 404
    assert answer(Router([Mount("/x", accept)]), websocket("/x"))[0]["type"] == "websocket.close"


def test_the_root_is_never_redirected() -> None:
    class EmptyPath(BaseRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            return (Match.FULL if scope["path"] == "" else Match.NONE), {}

    assert answer(Router([EmptyPath()]), http("/"))[0]["status"] == 404


def test_the_search_for_a_redirect_ends_at_the_first_match() -> None:
    class Unasked(BaseRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            assert scope["path"] != "/x", "asked after a match"
            return Match.NONE, {}

    assert answer(Router([Route("/x", view, methods=["POST"]), Unasked()]), http("/x/"))[0]["status"] == 307


@pytest.mark.parametrize("scope", [{"type": "other"}, {"type": "lifespan", "nothing": 1}])
def test_routes_do_not_match_other_scopes(scope: Scope) -> None:
    for route in tree(OURS).routes:
        assert route.matches(scope) == (Match.NONE, {})


def test_a_router_refuses_unknown_scopes() -> None:
    with pytest.raises(AssertionError):
        answer(Router(), {"type": "other"})


@pytest.mark.parametrize("scope", [http("/x"), http("/y"), websocket("/x"), websocket("/y")])
def test_a_route_alone_is_an_application(scope: Scope) -> None:
    for build in (
        lambda routing: routing.Route("/x", view),
        lambda routing: routing.WebSocketRoute("/x", session),
        lambda routing: routing.Mount("/x", accept),
    ):
        outcome, _ = returned(lambda routing, build=build: answer_and_scope(build(routing), scope))
        assert outcome[0] == "returned"


def test_base_route_leaves_everything_to_subclasses() -> None:
    route = BaseRoute()
    with pytest.raises(NotImplementedError):
        route.matches(http())
    with pytest.raises(NotImplementedError):
        route.url_path_for("name")
    with pytest.raises(NotImplementedError):
        answer(route.handle, http())


# --- routes as values ------------------------------------------------------------------------------------------------


class Views:
    class Nested:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse("nested")(scope, receive, send)

    def method(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("method")

    @classmethod
    async def class_method(cls, request: Any) -> PlainTextResponse:
        return PlainTextResponse("class method")


async def with_extra(extra: str, request: Any) -> PlainTextResponse:
    return PlainTextResponse(extra)


def nested_partial() -> Any:
    """Return a partial of a partial: without an attribute of its own the inner one would be merged into the outer."""
    inner = functools.partial(with_extra)
    inner.note = "kept"  # type: ignore[attr-defined]
    return functools.partial(inner, "twice")


ENDPOINTS: list[Any] = [
    view,
    async_view,
    Echo,
    Views.Nested(),
    Views().method,
    Views.class_method,
    functools.partial(with_extra, "partial"),
    nested_partial(),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("methods", [None, [], ["get"], ["POST", "put"], {"HEAD"}])
def test_routes_are_made_alike(endpoint: Any, methods: Any) -> None:
    def made(routing: Routing) -> Any:
        route = routing.Route("/x", endpoint, methods=methods)
        return route.name, route.methods, repr(route), [answer(route, http("/x", method)) for method in ("GET", "PUT")]

    returned(made)


def test_reprs() -> None:
    for build in (
        lambda routing: routing.Route("/x/{a:int}", view, name="name"),
        lambda routing: routing.Route("/x", Echo),
        lambda routing: routing.WebSocketRoute("/x", session),
        lambda routing: routing.Mount("/x/", app=accept),
        lambda routing: routing.Mount("", app=accept, name="mounted"),
        lambda routing: routing.Host("example.org", app=accept, name="host"),
    ):
        returned(lambda routing, build=build: repr(build(routing)))


def test_a_subclass_shows_its_own_name() -> None:
    class Special(Route):
        pass

    assert repr(Special("/", view)) == "Special(path='/', name='view', methods=['GET', 'HEAD'])"


def test_equality() -> None:
    def compared(routing: Routing) -> list[bool]:
        router = routing.Router([routing.Route("/x", view)])
        values = [
            routing.Route("/x", view),
            routing.Route("/x", view, name="other"),
            routing.Route("/x", async_view),
            routing.Route("/x", view, methods=["POST"]),
            routing.WebSocketRoute("/x", view),
            routing.WebSocketRoute("/x", view, name="other"),
            routing.WebSocketRoute("/x", session),
            routing.Mount("/x", accept),
            routing.Mount("/x/", accept, name="other"),
            routing.Mount("/y", accept),
            routing.Mount("/x", session),
            routing.Host("x", session),
            routing.Host("x", accept),
            routing.Host("x", accept, name="other"),
            routing.Host("y", accept),
            router,
            routing.Router([routing.Route("/x", view)], redirect_slashes=False),
            routing.Router(),
            routing.Mount("/r", router),
            routing.Mount("/r", routes=[routing.Route("/x", view)]),
            "text",
        ]
        return [one == other for one in values for other in values]

    assert True in returned(compared)


@pytest.mark.parametrize(
    "build",
    [
        lambda routing: routing.Route("x", view),
        lambda routing: routing.Route("", view),
        lambda routing: routing.WebSocketRoute("x", session),
        lambda routing: routing.Mount("x", accept),
        lambda routing: routing.Mount("/x"),
        lambda routing: routing.Host("/x", accept),
        lambda routing: routing.Route("/{a:no}", view),
        lambda routing: routing.Mount("/{path}", accept),
    ],
)
def test_malformed_routes_are_refused_alike(build: Callable[[Routing], Any]) -> None:
    assert same(build)[0] == "raised"


def test_routes_of_mounts_and_hosts_are_those_of_their_application() -> None:
    router = Router([Route("/x", view)])
    wrapping = turboapi.middleware.Middleware(lambda app: accept)
    assert Mount("/a", router).routes is router.routes
    assert Mount("/a", router, middleware=[wrapping]).routes is router.routes
    assert Host("a", router).routes is router.routes
    assert Mount("/a", accept).routes == Host("a", accept).routes == []


# --- functions as applications ---------------------------------------------------------------------------------------


def test_a_plain_function_runs_in_another_thread_and_a_coroutine_function_does_not() -> None:
    threads: list[int] = []

    def plain(request: Request[Any]) -> PlainTextResponse:
        threads.append(threading.get_ident())
        return PlainTextResponse("plain")

    async def coroutine(request: Request[Any]) -> PlainTextResponse:
        threads.append(threading.get_ident())
        return PlainTextResponse("coroutine")

    for function in (plain, coroutine):
        assert answer(_routes.request_response(function), http())[1]["body"] == function.__name__.encode()
    assert [thread == threading.get_ident() for thread in threads] == [False, True]


def test_exceptions_are_answered_by_the_handlers_in_the_scope() -> None:
    async def failing(connection: Any) -> Any:
        raise LookupError("x")

    async def handler(request: Any, exc: Exception) -> PlainTextResponse:
        return PlainTextResponse(f"handled {exc!r}", status_code=400)

    async def close(websocket: Any, exc: Exception) -> None:
        await websocket.send({"type": "websocket.close", "code": 4000, "reason": str(exc)})

    handled = http(**{"starlette.exception_handlers": ({LookupError: handler}, {})})
    assert answer(_routes.request_response(failing), handled)[1]["body"] == b"handled LookupError('x')"
    closed = websocket(**{"starlette.exception_handlers": ({LookupError: close}, {})})
    messages = answer(_routes.websocket_session(failing), closed, [{"type": "websocket.connect"}])
    assert messages == [{"type": "websocket.close", "code": 4000, "reason": "x"}]
    with pytest.raises(LookupError):
        answer(_routes.request_response(failing), http())


# --- middleware ------------------------------------------------------------------------------------------------------


class Noting:
    """Middleware that notes its name on the way in, and where it came in the scope."""

    def __init__(self, app: ASGIApp, name: str, *, suffix: str = "") -> None:
        self.app, self.name = app, name + suffix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["noted"] = [*scope.get("noted", []), self.name]
        await self.app(scope, receive, send)


@pytest.mark.parametrize("scope", [http("/x"), websocket("/x")])
@pytest.mark.parametrize(
    "build",
    [
        lambda routing, middleware: routing.Route("/x", view, middleware=middleware),
        lambda routing, middleware: routing.WebSocketRoute("/x", session, middleware=middleware),
        lambda routing, middleware: routing.Mount("/x", accept, middleware=middleware),
        lambda routing, middleware: routing.Mount("", routes=[routing.Route("/x", view)], middleware=middleware),
        lambda routing, middleware: routing.Router([routing.Route("/x", view)], middleware=middleware),
    ],
)
def test_middleware_wraps_from_the_outside_in(build: Callable[..., Any], scope: Scope) -> None:
    def noted(routing: Routing) -> Any:
        make = MIDDLEWARE[routing]
        seen = dict(scope, path="/x/") if isinstance(build(routing, []), routing.Mount) else dict(scope)
        messages = answer(build(routing, [make(Noting, "outer"), make(Noting, "inner", suffix="!")]), seen)
        return messages, seen.get("noted")

    returned(noted)


def test_middleware_really_runs() -> None:
    scope = http("/x")
    make = turboapi.middleware.Middleware
    answer(Router([Route("/x", view, middleware=[make(Noting, "route")])], middleware=[make(Noting, "router")]), scope)
    assert scope["noted"] == ["router", "route"]


async def read_body(request: Any) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


@pytest.mark.parametrize(("size", "status"), [(3, 200), (4, 413)])
@pytest.mark.parametrize(
    "build",
    [
        lambda routing: routing.Route("/", read_body, max_body_size=3),
        lambda routing: routing.Mount("", routes=[routing.Route("/", read_body)], max_body_size=3),
        lambda routing: routing.Router([routing.Route("/", read_body)], max_body_size=3),
    ],
)
def test_the_size_of_bodies_can_be_limited(build: Callable[[Routing], Any], size: int, status: int) -> None:
    def limited(routing: Routing) -> list[Message]:
        return answer(build(routing), http("/"), [{"type": "http.request", "body": b"x" * size, "more_body": False}])

    assert returned(limited)[0]["status"] == status


# --- building paths --------------------------------------------------------------------------------------------------

NAMES = ["home", "users", "user", "any", "files", "version", "float", "socket", "static", "a", "a:b", "a:index", "a:ws"]
NAMES += ["a:deep:end", "a:deep", "sub", "sub:user", "sub:index", "x", "", ":", "a:", "missing"]
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from([7, "7", -1]),
        "name": st.sampled_from(["n", "", "n/m"]),
        "path": st.sampled_from(["", "/p", "p/q", None]),
        "rest": st.just("r/s"),
        **dict.fromkeys(["c", "deep", "end", "sub", "tenant", "major", "minor", "x"], st.sampled_from([1, 2])),
    },
)


def url(router: Any, name: str, values: dict[str, Any]) -> Any:
    path = router.url_path_for(name, **values)
    return path, path.protocol, path.host


@settings(max_examples=100)
@given(st.sampled_from(NAMES), VALUES)
def test_paths_are_built_alike(name: str, values: dict[str, Any]) -> None:
    same(lambda routing: url(tree(routing), name, values))
    for index in range(len(tree(OURS).routes)):
        same(lambda routing, index=index: url(tree(routing).routes[index], name, values))


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("home", {}, ("/", "http", "")),
        ("user", {"id": 7}, ("/users/7", "http", "")),
        ("socket", {"id": 7}, ("/users/7", "websocket", "")),
        ("files", {"rest": "a/b"}, ("/files/a/b", "http", "")),
        ("static", {"path": "/x.css"}, ("/static/x.css", "", "")),
        ("a:b", {"c": 1}, ("/a/b/1", "http", "")),
        ("a:ws", {}, ("/a/ws", "websocket", "")),
        ("a:deep:end", {"deep": 1, "end": 2}, ("/a/1/2", "http", "")),
        ("sub", {"sub": "s", "path": "/p"}, ("/p", "", "s.Example.org:8000")),
        ("sub:user", {"sub": "s", "name": "n"}, ("/users/n", "http", "s.Example.org:8000")),
        ("x", {"tenant": "t"}, ("/t/t/x", "http", "")),
    ],
)
def test_paths_lead_to_the_named_route(name: str, values: dict[str, Any], expected: Any) -> None:
    assert url(tree(OURS), name, values) == expected


@pytest.mark.parametrize("values", [{"path": None}, {"path": "p"}, {"path": ""}, {"path": "p", "u": 1}])
def test_a_parameter_called_path_reaches_the_routes_of_a_mount(values: dict[str, Any]) -> None:
    def built(routing: Routing) -> Any:
        routes = [routing.Route("/b", view, name="b"), routing.Route("/c/{path:path}", view, name="c")]
        mount = routing.Mount("/a", routes=routes, name="m")
        return [attempt(lambda name=name: url(mount, name, values)) for name in ("m:b", "m:c", "m")]

    returned(built)


def test_the_error_says_what_was_asked_for() -> None:
    with pytest.raises(NoMatchFound, match=r'^No route exists for name "user" and params "id, more"\.$'):
        tree(OURS).url_path_for("user", id=1, more=2)


def test_an_application_without_routes_has_no_paths() -> None:
    nothing = SimpleNamespace(routes=None)
    for build in (
        lambda routing: routing.Mount("/a", nothing).url_path_for("x"),
        lambda routing: routing.Host("a", nothing).url_path_for("x"),
    ):
        assert same(build)[1] == "NoMatchFound"


# --- lifespan --------------------------------------------------------------------------------------------------------

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


def lifespan(routing: Routing, context: Any, scope: MutableMapping[str, Any]) -> Outcome:
    """Return the outcome and the messages, of a traceback its last line."""
    router = routing.Router(lifespan=context)
    sent: list[Message] = []

    async def run() -> None:
        messages = iter([STARTUP, SHUTDOWN])

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            sent.append({name: text.strip().splitlines()[-1] for name, text in message.items()})

        await router(scope, receive, send)

    outcome = attempt(lambda: asyncio.run(run()))
    assert scope.pop("router") is router
    return outcome, sent, scope


def lifespan_yielding(value: Any, log: list[Any] | None = None) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def context(app: Any) -> AsyncIterator[Any]:
        if log is not None:
            log.append(("started", app))
        yield value
        if log is not None:
            log.append(("stopped", app))

    return context


@asynccontextmanager
async def failing_to_start(app: Any) -> AsyncIterator[None]:
    raise LookupError("at the start")
    yield


@asynccontextmanager
async def failing_to_stop(app: Any) -> AsyncIterator[None]:
    yield
    raise LookupError("at the end")


@pytest.mark.parametrize(
    "context",
    [None, lifespan_yielding(None), lifespan_yielding({"a": 1}), lifespan_yielding({}), lifespan_yielding(5)]
    + [failing_to_start, failing_to_stop, lambda app: None],
)
@pytest.mark.parametrize("scope", [{}, {"state": {"b": 2}}])
def test_lifespans_run_alike(context: Any, scope: dict[str, Any]) -> None:
    def run(routing: Routing) -> Outcome:
        return lifespan(routing, context, {"type": "lifespan", **{name: dict(v) for name, v in scope.items()}})

    returned(run)


def test_the_lifespan_gets_the_application_and_gives_the_state() -> None:
    log: list[Any] = []
    scope = {"type": "lifespan", "app": "application", "state": {"b": 2}}
    outcome, sent, _ = lifespan(OURS, lifespan_yielding({"a": 1}, log), scope)
    assert outcome == ("returned", None)
    assert log == [("started", "application"), ("stopped", "application")]
    assert scope["state"] == {"a": 1, "b": 2}
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def generator_lifespan(app: Any) -> Iterator[dict[str, int]]:
    try:
        yield {"a": 1}
    finally:
        app.append("stopped")


async def async_generator_lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
    try:
        yield {"a": 1}
    finally:
        app.append("stopped")


@pytest.mark.parametrize("function", [generator_lifespan, async_generator_lifespan])
def test_generator_functions_work_with_a_warning(function: Any) -> None:
    def run(routing: Routing, category: type[Warning]) -> Outcome:
        application: list[str] = []
        with pytest.warns(category) as warned:
            outcome = lifespan(routing, function, {"type": "lifespan", "app": application, "state": {}})
        assert application == ["stopped"]
        return [str(warning.message) for warning in warned], outcome

    ours = run(OURS, StarletteDeprecationWarning)
    assert ours == run(THEIRS, starlette.exceptions.StarletteDeprecationWarning)
    assert ours[1][2]["state"] == {"a": 1}


def test_the_warning_points_at_the_caller() -> None:
    with pytest.warns(StarletteDeprecationWarning) as warned:
        Router(lifespan=generator_lifespan)  # type: ignore[arg-type]
    assert warned[0].filename == __file__


def test_a_generator_lifespan_gets_the_exceptions_of_the_body() -> None:
    def swallowing(app: Any) -> Iterator[None]:
        try:
            yield
        except LookupError:
            app.append("seen")

    async def use(app: list[str]) -> None:
        with pytest.warns(StarletteDeprecationWarning):
            context = Router(lifespan=swallowing).lifespan_context  # type: ignore[arg-type]
        async with context(app):
            raise LookupError

    application: list[str] = []
    asyncio.run(use(application))
    assert application == ["seen"]


# --- adding routes ---------------------------------------------------------------------------------------------------


def test_routes_are_added_to_a_router() -> None:
    def added(routing: Routing) -> Any:
        router = routing.Router()
        router.add_route("/r", view, methods=["POST"], name="r", include_in_schema=False)
        router.add_route("/plain", async_view)
        router.add_websocket_route("/w", session, name="w")
        router.mount("/m", accept, name="m")
        router.host("h", accept, name="h")
        return [repr(route) for route in router.routes], router.routes[0].include_in_schema

    assert len(returned(added)[0]) == 5


def changes(change: Callable[[list[Any]], Any]) -> int:
    routes = RouteList([3, 1, 2])
    plain: list[Any] = [3, 1, 2]
    before = routes_epoch.value
    assert attempt(lambda: change(routes)) == attempt(lambda: change(plain))
    assert routes == plain
    return int(routes_epoch.value - before)


def assign(routes: list[Any], index: Any, value: Any) -> None:
    routes[index] = value


def delete(routes: list[Any], index: Any) -> None:
    del routes[index]


def failing_iterable() -> Iterator[int]:
    yield 4
    raise LookupError


MUTATIONS: dict[str, Callable[[list[Any]], Any]] = {
    "append": lambda routes: routes.append(4),
    "insert": lambda routes: routes.insert(0, 4),
    "extend": lambda routes: routes.extend([4, 5]),
    "extend by an iterable that fails midway": lambda routes: routes.extend(failing_iterable()),
    "remove": lambda routes: routes.remove(1),
    "pop": lambda routes: routes.pop(),
    "pop by index": lambda routes: routes.pop(0),
    "clear": lambda routes: routes.clear(),
    "sort": lambda routes: routes.sort(),
    "sort with a key": lambda routes: routes.sort(key=lambda value: -value, reverse=True),
    "reverse": lambda routes: routes.reverse(),
    "assign": lambda routes: assign(routes, 0, 4),
    "assign a slice": lambda routes: assign(routes, slice(1, 3), [7, 8, 9]),
    "delete": lambda routes: delete(routes, 0),
    "delete a slice": lambda routes: delete(routes, slice(0, 2)),
    "add in place": lambda routes: routes.__iadd__([4]) is routes,
    "multiply in place": lambda routes: routes.__imul__(2) is routes,
}
READS: dict[str, Callable[[list[Any]], Any]] = {
    "index": lambda routes: (routes[0], routes[1:], routes.index(1), routes.count(1)),
    "iterate": lambda routes: (list(routes), list(reversed(routes)), 1 in routes),
    "copy": lambda routes: (routes.copy(), routes + [1], routes * 2, type(routes.copy())),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_of_a_route_list_is_counted(name: str) -> None:
    assert changes(MUTATIONS[name]) == 1


@pytest.mark.parametrize("name", READS)
def test_reading_a_route_list_is_not_counted(name: str) -> None:
    assert changes(READS[name]) == 0


def test_no_mutating_method_of_lists_is_forgotten() -> None:
    unchanged = [1, 2]
    inherited = {name for name in vars(list) if getattr(RouteList, name) is getattr(list, name)}
    reading = {name for name in vars(list) if hasattr(tuple(unchanged), name)} | {"copy", "__reversed__", "__init__"}
    assert sorted(inherited - reading) == []


def test_assigning_routes_makes_a_counting_list_of_its_own() -> None:
    router, given = Router(), [Route("/x", view)]
    before = routes_epoch.value
    router.routes = given
    assert routes_epoch.value > before
    assert isinstance(router.routes, RouteList)
    given.clear()
    assert len(router.routes) == 1


def test_a_new_router_does_not_share_the_list_it_is_given() -> None:
    given = [Route("/x", view)]
    router = Router(given)
    router.routes.append(Route("/y", view))
    assert len(given) == 1


def test_changed_routes_answer_at_once() -> None:
    router = Router()
    assert answer(router, http("/x"))[0]["status"] == 404
    router.routes.append(Route("/x", view))
    assert answer(router, http("/x"))[0]["status"] == 200
    router.routes = []
    assert answer(router, http("/x"))[0]["status"] == 404


def test_a_list_of_routes_can_be_pickled() -> None:
    """Ray Serve does so with whole applications."""
    routes = pickle.loads(pickle.dumps(RouteList([-1, 2], abs)))
    routes.append(-3)
    assert routes == [1, 2, 3]
