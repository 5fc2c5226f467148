"""A place for clean-up that must wait until the whole request has been answered."""

from __future__ import annotations

from contextlib import AsyncExitStack

from turboapi.types import ASGIApp, Receive, Scope, Send

__all__ = ["AsyncExitStackMiddleware"]


class AsyncExitStackMiddleware:
    """Puts an `AsyncExitStack` into `scope[context_name]` and unwinds it after the application has returned.

    Uploaded files are closed this way; dependencies have exit stacks of their own.
    """

    def __init__(self, app: ASGIApp, context_name: str = "fastapi_middleware_astack") -> None:
        self.app = app
        self.context_name = context_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            scope[self.context_name] = stack
            await self.app(scope, receive, send)
