"""Middleware on our own server: what stands around the routes, without ASGI messages between the layers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from turboapi._speedups.asgi import AsgiExchange
from turboapi._speedups.endpoint import Hooks, Site
from turboapi._speedups.request import Exchange

AS_ASGI: Final[Any]
"""What a hook returns for a request that its middleware has to answer as an ASGI application."""

class Layer:
    """One middleware."""

    def __init__(self, kind: int, call: Callable[..., Any], app: Any) -> None:
        """A layer.

        kind: 0, `call(exchange)` returns None, a ResponseHook, a Response or AS_ASGI; 1, the same, to be awaited;
            2, `call(exchange, inside)` is awaited and answers the exchange.
        app: the same middleware as an ASGI application around the others; has it inside as `.app`.
        """

    @property
    def kind(self) -> int: ...
    @property
    def call(self) -> Callable[..., Any]: ...
    @property
    def app(self) -> Any: ...

class Layers:
    """The middleware of a site, outermost first."""

    def __init__(
        self,
        layers: list[Layer],
        *,
        hooks: Hooks,
        on_expected: Callable[[Exchange, Exception], Awaitable[None]],
        on_unexpected: Callable[[Exchange, Exception], Awaitable[None]],
        scope_keys: dict[str, Any],
    ) -> None:
        """Layers.

        on_expected: answers what came out of the routes, or raises it further: into the layers.
        on_unexpected: answers what came out of the layers.
        scope_keys: what a scope has outside of the routes.
        """

    @property
    def layers(self) -> list[Layer]: ...
    @property
    def hooks(self) -> Hooks: ...
    @property
    def on_expected(self) -> Callable[[Exchange, Exception], Awaitable[None]]: ...
    @property
    def on_unexpected(self) -> Callable[[Exchange, Exception], Awaitable[None]]: ...
    @property
    def scope_keys(self) -> dict[str, Any]: ...
    def run(self, site: Site, exchange: Exchange) -> Awaitable[None]:
        """The coroutine that answers a resolved exchange."""

    def add_to_scope(self, scope: dict[str, Any]) -> None:
        """Add what a scope has outside of the routes."""

class InnerExchange(AsgiExchange):
    """The request once more, for what is inside of a dispatch layer. It keeps the response instead of sending it."""

    @property
    def status(self) -> int: ...
    @property
    def response_headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def whole(self) -> bytes | None:
        """The body of a response that was complete at once; None: it comes as ASGI messages."""

    @property
    def error(self) -> Exception | None:
        """What was raised inside."""

    @property
    def ended(self) -> bool: ...
    async def send(self, message: Any) -> None:
        """ASGI `send`, through the hooks of the layers on this side."""

    def keep(self, status: int, headers: list[tuple[bytes, bytes]], body: Any) -> None:
        """Keep a complete response."""

class Inside:
    """What is inside of a dispatch layer, for one request."""

    @property
    def changes_bodies(self) -> bool:
        """Whether a layer outside changes bodies: then it matters in which parts they come."""

    @property
    def needs_body(self) -> bool:
        """Whether the whole body is at hand because the route needs it."""

    @property
    def body(self) -> bytes | None: ...
    @property
    def receive(self) -> Callable[[], Awaitable[Any]]:
        """ASGI `receive` of the outer exchange."""

    def start(
        self,
        body: bytes | None,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
        progress: Callable[[], None],
        sent: Callable[[], Awaitable[None]],
    ) -> tuple[InnerExchange, asyncio.Task[None] | None]:
        """Start it, in a task of its own: the exchange in which the response will be, and the task if it has to wait.

        body: the whole body; None: it is to be received.
        send: takes the messages of a response that is not complete at once.
        progress: called when such a response is there, and at the end.
        sent: the awaitable for the moment at which the response has been sent.
        """

    def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Awaitable[None] | None:
        """Answer the outer exchange by a complete response: None, or an awaitable."""

    def settle(self) -> Awaitable[None] | None:
        """None, or an awaitable for the moment at which the answer has been sent through the layers outside."""

    def is_native(self, response: Any) -> bool:
        """Whether `reply` may answer by the response without calling it."""

    def reply(self, response: Any) -> Awaitable[None]:
        """Answer the outer exchange by a Response."""
