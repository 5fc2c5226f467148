"""Middleware as two functions: one before the application, one after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from turboapi.requests import Request
from turboapi.responses import Response
from turboapi.types import ASGIApp

__all__ = ["After", "Before", "CustomMiddleware"]

Before = Callable[[Request], Response | None] | Callable[[Request], Awaitable[Response | None]]
After = Callable[[Request, Response], Response | None] | Callable[[Request, Response], Awaitable[Response | None]]


class CustomMiddleware(BaseHTTPMiddleware):
    """Runs `before` and `after` around the application: arguments, or methods that a subclass overrides.

    Both may be `async def`; a `def` runs in a worker thread, like that of a path operation. WebSockets pass unseen.

    Args:
        app: the application inside.
        before: gets the request. If it returns a response, that is the answer, and neither application nor `after` run.
        after: gets the request and the response of the application, whose body may still be to come, to change it or
            to return another one. It does not run when the application raises.

    Return responses for errors: exception handlers are further in, and do not see what these functions raise.

    Raises:
        TypeError: while answering, if one of them returns something else.
    """

    def __init__(self, app: ASGIApp, *, before: Before | None = None, after: After | None = None) -> None:
        super().__init__(app)
        overrides = type(self)
        self._before = _function(before, overrides.before is not CustomMiddleware.before and self.before)
        self._after = _function(after, overrides.after is not CustomMiddleware.after and self.after)

    def before(self, request: Request) -> Response | None | Awaitable[Response | None]:
        """Look at a request; subclasses override it, also by an `async def`."""
        raise NotImplementedError

    def after(self, request: Request, response: Response) -> Response | None | Awaitable[Response | None]:
        """Look at a response; subclasses override it, also by an `async def`."""
        raise NotImplementedError

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Return the response to `request`."""
        answer = await self._before(request)
        if answer is not None:
            return answer
        response = await call_next(request)
        other = await self._after(request, response)
        return response if other is None else other


def _function(given: Any, method: Any) -> Callable[..., Awaitable[Response | None]]:
    """Return what calls the function, or the method if there is one, and checks the result."""
    func = given or method or _do_nothing
    is_async = is_async_callable(func)

    async def call(*args: Any) -> Response | None:
        found = await (func(*args) if is_async else run_in_threadpool(func, *args))
        if found is not None and not callable(found):  # a response of another library is one as well
            raise TypeError(f"{func!r} must return a Response or None, not {type(found).__name__}")
        return cast("Response | None", found)

    return call


async def _do_nothing(*args: Any) -> None:
    return None
