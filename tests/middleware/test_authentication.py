from types import SimpleNamespace
from typing import Any

import pytest
import starlette.authentication
import starlette.middleware.authentication
import starlette.responses

import turboapi.authentication
import turboapi.middleware.authentication
import turboapi.responses
from tests.middleware.exchanges import ASGIApp, exchange, http_scope, websocket_scope
from turboapi import Request, TurboAPI
from turboapi.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
    requires,
)
from turboapi.middleware.authentication import AuthenticationMiddleware
from turboapi.requests import HTTPConnection
from turboapi.responses import JSONResponse, Response

OURS = SimpleNamespace(
    auth=turboapi.authentication,
    Middleware=turboapi.middleware.authentication.AuthenticationMiddleware,
    JSONResponse=turboapi.responses.JSONResponse,
)
THEIRS = SimpleNamespace(
    auth=starlette.authentication,
    Middleware=starlette.middleware.authentication.AuthenticationMiddleware,
    JSONResponse=starlette.responses.JSONResponse,
)


def backend(lib: SimpleNamespace) -> Any:
    """Knows the user whose name is the Authorization header, except "evil" and "broken"."""

    class Backend(lib.auth.AuthenticationBackend):  # type: ignore[misc, name-defined]
        async def authenticate(self, conn: Any) -> Any:
            name = conn.headers.get("authorization")
            if name == "evil":
                raise lib.auth.AuthenticationError("no, é")
            if name == "broken":
                raise ValueError(name)
            return name and (lib.auth.AuthCredentials(["read"]), lib.auth.SimpleUser(name))

    return Backend()


def application() -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen = (scope["auth"].scopes, type(scope["user"]).__name__, scope["user"].display_name)
        await send({"type": "seen", "seen": seen})

    return app


@pytest.mark.parametrize("on_error", [False, True])
@pytest.mark.parametrize("make_scope", [http_scope, websocket_scope])
@pytest.mark.parametrize("name", [None, "someone", "evil", "broken"])
def test_messages_are_those_of_the_reference(on_error: bool, make_scope: Any, name: str | None) -> None:
    def run(lib: SimpleNamespace) -> list[Any]:
        def refuse(conn: Any, exc: Exception) -> Any:
            return lib.JSONResponse({"error": str(exc), "path": conn.url.path}, status_code=401)

        middleware = lib.Middleware(application(), backend(lib), **({"on_error": refuse} if on_error else {}))
        return exchange(middleware, make_scope([] if name is None else [("Authorization", name)]))

    assert run(OURS) == run(THEIRS)


@pytest.mark.parametrize(
    ("name", "seen"),
    [(None, ([], "UnauthenticatedUser", "")), ("someone", (["read"], "SimpleUser", "someone"))],
)
def test_application_finds_the_user_in_the_scope(name: str | None, seen: Any) -> None:
    headers = [] if name is None else [("Authorization", name)]
    log = exchange(AuthenticationMiddleware(application(), backend(OURS)), http_scope(headers))
    assert log == [{"type": "seen", "seen": seen}]


def test_websocket_with_wrong_credentials_is_closed() -> None:
    app = AuthenticationMiddleware(application(), backend(OURS))
    log = exchange(app, websocket_scope([("Authorization", "evil")]))
    assert log == [{"type": "websocket.close", "code": 1000}]


def test_lifespan_passes_unseen() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(dict(scope))

    assert exchange(AuthenticationMiddleware(app, backend(OURS)), {"type": "lifespan"}) == [{"type": "lifespan"}]


def test_application_knows_who_asks(client_for: Any) -> None:
    class Tokens(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection[Any]) -> tuple[AuthCredentials, BaseUser] | None:
            token = conn.headers.get("authorization")
            if token is None:
                return None
            if token != "Bearer good":
                raise AuthenticationError("unknown token")
            return AuthCredentials(["authenticated"]), SimpleUser("someone")

    def on_error(conn: HTTPConnection[Any], exc: AuthenticationError) -> Response:
        return JSONResponse({"detail": str(exc)}, status_code=401)

    app = TurboAPI()
    app.add_middleware(AuthenticationMiddleware, backend=Tokens(), on_error=on_error)

    @app.get("/me")
    @requires("authenticated")
    async def me(request: Request) -> str:
        name: str = request.user.display_name
        return name

    client = client_for(app)
    assert client.get("/me").status_code == 403
    assert client.get("/me", headers={"Authorization": "Bearer good"}).json() == "someone"
    refused = client.get("/me", headers={"Authorization": "Bearer bad"})
    assert (refused.status_code, refused.json()) == (401, {"detail": "unknown token"})
