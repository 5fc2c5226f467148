"""`requires` guards the same functions in both libraries; what they are called with is each library's own."""

import asyncio
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import starlette.authentication
import starlette.requests
import starlette.routing
import starlette.websockets

import turboapi.authentication
import turboapi.requests
import turboapi.websockets
from turboapi import _routes
from turboapi.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    BaseUser,
    SimpleUser,
    UnauthenticatedUser,
    has_required_scope,
    requires,
)
from turboapi.exceptions import HTTPException, StarletteHTTPException
from turboapi.requests import HTTPConnection, Request
from turboapi.types import Message

OURS = SimpleNamespace(
    requires=requires,
    authentication=turboapi.authentication,
    Request=turboapi.requests.Request,
    WebSocket=turboapi.websockets.WebSocket,
    routing=_routes,
)
THEIRS = SimpleNamespace(
    requires=starlette.authentication.requires,
    authentication=starlette.authentication,
    Request=starlette.requests.Request,
    WebSocket=starlette.websockets.WebSocket,
    routing=starlette.routing,
)


def attempt(call: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        return ("returned", call())
    except Exception as exc:
        return ("raised", type(exc).__name__, str(exc), getattr(exc, "status_code", None))


def same(call: Callable[[Any], Any]) -> tuple[Any, ...]:
    ours, theirs = [attempt(lambda library=library: call(library)) for library in (OURS, THEIRS)]
    assert ours == theirs
    return ours


def request(library: Any, *scopes: str) -> Any:
    router = library.routing.Router([library.routing.Route("/login", print, name="login")])
    return library.Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/a b",
            "query_string": b"x=1&y=2",
            "headers": [(b"host", b"example.org")],
            "scheme": "https",
            "server": None,
            "auth": library.authentication.AuthCredentials(scopes),
            "router": router,
        }
    )


def websocket(library: Any, sent: list[Message], *scopes: str) -> Any:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "auth": library.authentication.AuthCredentials(scopes)}
    return library.WebSocket(scope, receive, send)


def plain(request: Any, more: int = 0) -> Any:
    return "plain", more


async def coroutine(more: int, request: Any) -> Any:
    return "coroutine", more


async def session(more: int, websocket: Any) -> Any:
    await websocket.accept()


CALLS: list[tuple[Callable[..., Any], Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]]] = [
    (plain, lambda request: ((request,), {})),
    (plain, lambda request: ((request, 5), {})),
    (plain, lambda request: ((), {"more": 5, "request": request})),
    (plain, lambda request: ((), {})),
    (plain, lambda request: (("no request",), {})),
    (coroutine, lambda request: ((5, request), {})),
    (coroutine, lambda request: ((5,), {"request": request})),
    (coroutine, lambda request: ((5,), {"request": None})),
    (coroutine, lambda request: ((request,), {})),
]


def called(function: Any, args: Any, kwargs: Any) -> Any:
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if hasattr(result, "status_code"):
        return result.status_code, result.headers["location"]
    return result


@pytest.mark.parametrize("needed", ["a", ["a"], ["a", "b"], ("a", "c"), []], ids=repr)
@pytest.mark.parametrize("options", [{}, {"status_code": 404}, {"redirect": "login"}, {"redirect": "no"}], ids=repr)
@pytest.mark.parametrize(("function", "arguments"), CALLS)
def test_calls_are_guarded_alike(function: Any, arguments: Any, options: dict[str, Any], needed: Any) -> None:
    def outcome(library: Any) -> Any:
        guarded = library.requires(needed, **options)(function)
        return called(guarded, *arguments(request(library, "a", "b")))

    same(outcome)


def test_without_the_scopes_an_error_of_starlettes_kind_is_raised() -> None:
    for function, arguments in ((plain, ()), (coroutine, (1,))):
        with pytest.raises(StarletteHTTPException) as raised:
            called(requires("admin", status_code=418)(function), (*arguments, request(OURS, "a")), {})
        assert (raised.value.status_code, isinstance(raised.value, HTTPException)) == (418, False)


def test_a_redirect_says_where_to_come_back_to() -> None:
    for function, arguments in ((plain, ()), (coroutine, (1,))):
        guarded = requires("admin", redirect="login")(function)
        assert called(guarded, (*arguments, request(OURS)), {}) == (
            303,
            "https://example.org/login?next=https%3A%2F%2Fexample.org%2Fa+b%3Fx%3D1%26y%3D2",
        )


def test_with_the_scopes_the_function_is_called() -> None:
    assert called(requires(["a", "b"])(plain), (request(OURS, "b", "a"), 5), {}) == ("plain", 5)
    assert called(requires("admin")(coroutine), (5, request(OURS, "admin")), {}) == ("coroutine", 5)


@pytest.mark.parametrize("scopes", [["a"], []])
@pytest.mark.parametrize("by_name", [True, False])
def test_websockets_are_guarded_alike(scopes: list[str], by_name: bool) -> None:
    def outcome(library: Any) -> Any:
        sent: list[Message] = []
        socket = websocket(library, sent, *scopes)
        guarded = library.requires("a")(session)
        return called(guarded, *(((5,), {"websocket": socket}) if by_name else ((5, socket), {}))), sent

    kind, (result, sent) = same(outcome)
    assert (kind, result) == ("returned", None)
    assert sent[0]["type"] == ("websocket.accept" if scopes else "websocket.close")


@pytest.mark.parametrize("arguments", [(5,), (5, None), (5, "text")])
def test_a_websocket_is_required_where_it_is_declared(arguments: tuple[Any, ...]) -> None:
    outcome = same(lambda library: called(library.requires("a")(session), arguments, {}))
    assert outcome[1] == "AssertionError"
    assert outcome[2].startswith("Parameter with name 'websocket' is required to be of type 'WebSocket' not '")


def test_a_function_without_connection_is_refused() -> None:
    def nothing(other: Any) -> None: ...

    with pytest.raises(
        Exception, match=r'^No "request" or "websocket" argument on function "<function test_'
    ) as raised:
        requires("a")(nothing)
    assert same(lambda library: library.requires("a")(nothing))[1] == type(raised.value).__name__


def test_the_guarded_function_looks_like_the_function() -> None:
    for function in (plain, coroutine, session):
        guarded = requires("a")(function)
        assert (guarded.__name__, inspect.signature(guarded)) == (function.__name__, inspect.signature(function))
        assert inspect.iscoroutinefunction(guarded) == inspect.iscoroutinefunction(function)


def test_the_list_of_scopes_is_the_decorators_own() -> None:
    needed = ["a"]
    guarded = requires(needed)(plain)
    needed.append("b")
    assert called(guarded, (request(OURS, "a"),), {}) == ("plain", 0)


@pytest.mark.parametrize("needed", [[], ["a"], ["a", "b"], ["c"]])
def test_has_required_scope(needed: list[str]) -> None:
    connection = HTTPConnection({"type": "http", "auth": AuthCredentials(["a", "b"])})
    assert has_required_scope(connection, needed) is set(needed).issubset({"a", "b"})


def test_credentials_copy_their_scopes() -> None:
    given = ["a"]
    credentials = AuthCredentials(given)
    given.append("b")
    assert (credentials.scopes, AuthCredentials().scopes) == (["a"], [])


@pytest.mark.parametrize(
    ("user", "expected"), [(SimpleUser("name"), (True, "name", "name")), (UnauthenticatedUser(), (False, "", ""))]
)
def test_users(user: BaseUser, expected: tuple[Any, ...]) -> None:
    assert (user.is_authenticated, user.display_name, user.identity) == expected


@pytest.mark.parametrize("name", ["is_authenticated", "display_name", "identity"])
def test_base_classes_leave_everything_to_subclasses(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(BaseUser(), name)
    with pytest.raises(NotImplementedError):
        asyncio.run(AuthenticationBackend().authenticate(Request({"type": "http"})))


def test_public_names_are_all_there() -> None:
    own = {
        name
        for name, value in vars(starlette.authentication).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == "starlette.authentication"
    }
    assert own == set(turboapi.authentication.__all__)
