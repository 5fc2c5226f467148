"""Middleware written as hooks: what is done before the application sees a request, and with its response.

A `HookMiddleware` is written once. Under any ASGI server, or among other ASGI middleware, it is an ASGI application
around the one inside; the built-in server runs its hooks without any ASGI messages.
"""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import iscoroutinefunction
from typing import Any, cast

from turboapi._speedups import AS_ASGI, AsgiExchange, BodyHook, Exchange, HeaderHook, Layer, ResponseHook, ScopeHook
from turboapi.exceptions import ClientDisconnect
from turboapi.responses import Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "AS_ASGI",
    "BodyHook",
    "Exchange",
    "Found",
    "HeaderHook",
    "HookMiddleware",
    "NativeMiddleware",
    "ResponseHook",
    "ScopeHook",
]

Found = None | Response | ResponseHook
"""What a hook may return: nothing more to do, the answer, or what to do with the answer."""


class NativeMiddleware:
    """Base class of the middleware that the built-in server can run as one of its layers.

    As a layer it must do what it does as an ASGI application.
    """

    app: ASGIApp

    def layer(self) -> Layer | None:
        """Return the layer; None: a subclass has changed what only ASGI would run."""
        raise NotImplementedError

    def has_own(self, base: type, *names: str) -> bool:
        """Whether a subclass of `base` has overridden one of its methods."""
        return any(getattr(type(self), name) is not getattr(base, name) for name in names)

    def hook_layer(self) -> Layer:
        """Return the layer that calls `before`."""
        before = cast(Any, self).before
        return Layer(before, self, is_async=iscoroutinefunction(before))


class HookMiddleware(NativeMiddleware):
    """Base class of middleware that overrides `before`.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def before(self, exchange: Exchange) -> Found | Awaitable[Found]:
        """Look at a request; `async def` if that has to wait.

        Returns:
            None: the application answers, and that is all.
            A `ResponseHook`: the application answers, and the hook is called with what it answers.
            A `Response`: this is the answer, and the application does not see the request.
        """
        raise NotImplementedError

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(HookMiddleware, "__call__") else self.hook_layer()

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

    def end(error: BaseException | None) -> None:
        nonlocal has_ended
        if not has_ended:
            has_ended = True
            hook.end(error)

    async def send_and_end(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            end(None)

    try:
        await app(scope, receive, hook.sender(send_and_end))
    except BaseException as error:
        end(error)
        raise
    end(ClientDisconnect())
