"""Who is asking, and what they may do: users, credentials, the backend that finds them, and `requires`.

A backend is installed with `AuthenticationMiddleware`, which puts what it finds into `request.user` and `request.auth`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

from turboapi._utils import is_async_callable
from turboapi.exceptions import StarletteHTTPException
from turboapi.requests import HTTPConnection, Request
from turboapi.responses import RedirectResponse, Response
from turboapi.websockets import WebSocket

__all__ = [
    "AuthCredentials",
    "AuthenticationBackend",
    "AuthenticationError",
    "BaseUser",
    "SimpleUser",
    "UnauthenticatedUser",
    "has_required_scope",
    "requires",
]

P = ParamSpec("P")
Connection = TypeVar("Connection", bound=HTTPConnection[Any])


class AuthenticationError(Exception):
    """Raised by a backend that cannot accept the credentials of a request."""


class AuthCredentials:
    """What the sender of a request may do, as a list of scopes."""

    def __init__(self, scopes: Sequence[str] | None = None) -> None:
        self.scopes = list(scopes or ())


class BaseUser:
    """The interface of users."""

    @property
    def is_authenticated(self) -> bool:
        """Whether it is known who this is."""
        raise NotImplementedError

    @property
    def display_name(self) -> str:
        """The name to show."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """What tells this user from all others."""
        raise NotImplementedError


class SimpleUser(BaseUser):
    """A known user of whom there is only a name."""

    def __init__(self, username: str) -> None:
        self.username = username

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.username

    @property
    def identity(self) -> str:
        return self.username


class UnauthenticatedUser(BaseUser):
    """Nobody known."""

    @property
    def is_authenticated(self) -> bool:
        return False

    @property
    def display_name(self) -> str:
        return ""

    @property
    def identity(self) -> str:
        return ""


class AuthenticationBackend:
    """Base class of backends."""

    async def authenticate(self, conn: HTTPConnection[Any]) -> tuple[AuthCredentials, BaseUser] | None:
        """Return credentials and user of a connection, None if it has none; raises AuthenticationError."""
        raise NotImplementedError


def has_required_scope(conn: HTTPConnection[Any], scopes: Sequence[str]) -> bool:
    """Return whether the credentials of `conn` have all of `scopes`."""
    return all(scope in conn.auth.scopes for scope in scopes)


class _Guard:
    """Decides whether a call of `func` may go ahead."""

    def __init__(self, func: Callable[..., Any], scopes: Sequence[str], status_code: int, redirect: str | None) -> None:
        self.scopes = scopes
        self.status_code = status_code
        self.redirect = redirect
        parameters = enumerate(inspect.signature(func).parameters)
        position = next(((index, name) for index, name in parameters if name in ("request", "websocket")), None)
        if position is None:
            raise Exception(f'No "request" or "websocket" argument on function "{func}"')
        self.index, self.name = position

    def connection(self, kind: type[Connection], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Connection:
        """Return the connection among the arguments of a call; raises AssertionError if it is of another type."""
        connection = kwargs.get(self.name, args[self.index] if self.index < len(args) else None)
        assert isinstance(connection, kind), (
            f"Parameter with name '{self.name}' is required to be of type '{kind.__name__}'"
            f" not '{type(connection).__name__}'"
        )
        return connection

    def refusal(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Response | None:
        """Return the redirect instead of the call, or None for a call that may go ahead; raises HTTPException."""
        request: Request[Any] = self.connection(Request, args, kwargs)
        if has_required_scope(request, self.scopes):
            return None
        if self.redirect is None:
            raise StarletteHTTPException(status_code=self.status_code)
        back = urlencode({"next": str(request.url)})
        return RedirectResponse(url=f"{request.url_for(self.redirect)}?{back}", status_code=303)


def requires(
    scopes: str | Sequence[str], status_code: int = 403, redirect: str | None = None
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Let only requests with all of `scopes` reach the decorated function.

    Others get an error with `status_code`, or are sent to the route called `redirect` with their URL as the parameter
    "next". A WebSocket is closed. The function needs a parameter `request` or `websocket`, else an Exception is raised.
    """
    needed = [scopes] if isinstance(scopes, str) else list(scopes)

    def decorator(func: Callable[P, Any]) -> Callable[P, Any]:
        guard = _Guard(func, needed, status_code, redirect)
        if guard.name == "websocket":
            return _guarded_websocket(func, guard)
        return _guarded_async(func, guard) if is_async_callable(func) else _guarded_sync(func, guard)

    return decorator


def _guarded_websocket(func: Callable[P, Any], guard: _Guard) -> Callable[P, Any]:
    @functools.wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        websocket: WebSocket[Any] = guard.connection(WebSocket, args, kwargs)
        if has_required_scope(websocket, guard.scopes):
            await func(*args, **kwargs)
        else:
            await websocket.close()

    return wrapper


def _guarded_async(func: Callable[P, Any], guard: _Guard) -> Callable[P, Any]:
    @functools.wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        refusal = guard.refusal(args, kwargs)
        return await func(*args, **kwargs) if refusal is None else refusal

    return wrapper


def _guarded_sync(func: Callable[P, Any], guard: _Guard) -> Callable[P, Any]:
    @functools.wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        refusal = guard.refusal(args, kwargs)
        return func(*args, **kwargs) if refusal is None else refusal

    return wrapper
