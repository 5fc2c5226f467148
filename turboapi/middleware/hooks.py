"""Middleware written as hooks: what is done before the application sees a request, and with the head of its response.

A `HookMiddleware` is written once. Under any ASGI server, or among other ASGI middleware, it is an ASGI application
around the one inside; the built-in server runs its hooks without any ASGI messages.
"""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import iscoroutinefunction
from typing import Any, cast

from turboapi._speedups import AsgiExchange, Exchange
from turboapi.responses import Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HookMiddleware", "ResponseHook"]


class ResponseHook:
    """What a middleware still has to do with the response to a request that it has let through.

    Both methods are called at most once, and neither may wait.
    """

    __slots__ = ()

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Edit the raw headers (names in lower case) in place, just before they are sent."""

    def end(self, error: BaseException | None) -> None:
        """The last byte has been handed over, or the application has raised `error`, or has been cancelled by it."""


class HookMiddleware:
    """Base class of middleware that overrides `before`.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def before(self, exchange: Exchange) -> None | Response | ResponseHook | Awaitable[None | Response | ResponseHook]:
        """Look at a request; `async def` if that has to wait.

        Returns:
            None: the application answers, and that is all.
            A `ResponseHook`: the application answers, and the hook is called with what it answers.
            A `Response`: this is the answer, and the application does not see the request.
        """
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        found: Any = self.before(AsgiExchange(None, cast(Any, scope), receive, send))
        if iscoroutinefunction(self.before):
            found = await found
        if isinstance(found, ResponseHook):
            await _run_hooked(self.app, found, scope, receive, send)
        else:
            await (found or self.app)(scope, receive, send)


async def _run_hooked(app: ASGIApp, hook: ResponseHook, scope: Scope, receive: Receive, send: Send) -> None:
    has_ended = False

    async def hooked_send(message: Message) -> None:
        nonlocal has_ended
        if message["type"] == "http.response.start":
            headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
            hook.head(message["status"], headers)
            message = {**message, "headers": headers}
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False) and not has_ended:
            has_ended = True
            hook.end(None)

    try:
        await app(scope, receive, hooked_send)
    except BaseException as error:
        if not has_ended:
            has_ended = True
            hook.end(error)
        raise
    if not has_ended:
        hook.end(None)  # the client has gone
