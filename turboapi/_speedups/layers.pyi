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
    """One middleware: a hook layer, unless it is a `DispatchLayer`."""

    def __init__(self, call: Callable[[Exchange], Any], app: Any, *, is_async: bool = False) -> None:
        """A hook layer.

        call: returns None, a ResponseHook, a Response or AS_ASGI for an exchange; an awaitable of it if `is_async`.
        app: the same middleware as an ASGI application around the others; has it inside as `.app`.
        """

    @property
    def call(self) -> Callable[..., Any]: ...
    @property
    def app(self) -> Any: ...
    @property
    def is_async(self) -> bool: ...

class DispatchLayer(Layer):
    """A middleware that is a function of the request and `call_next`."""

    def __init__(
        self,
        call: Callable[[Any, Callable[[Any], Awaitable[Any]]], Awaitable[Any]],
        app: Any,
        *,
        inside_class: type[Inside],
        request_class: type[Any],
        response_class: type[Any],
    ) -> None:
        """A dispatch layer; instances of the three classes are made without calling these.

        inside_class: has the methods for responses in parts besides.
        request_class: of what `call` is given; its `_exchange`, `_receive` and `_send` are set.
        response_class: of a response that is complete at once; `status_code`, `raw_headers` and `whole` are set.
        """

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
    def scope(self) -> dict[str, Any]:
        """The ASGI scope of the outer exchange."""

    async def receive(self) -> Any:
        """ASGI `receive`; a body that is known already is handed over, once."""

    async def send(self, message: Any) -> None:
        """ASGI `send`, through the hooks of the layers on this side."""

    async def send_unhooked(self, message: Any) -> None:
        """ASGI `send` behind all hooks."""

class Inside:
    """What is inside of a dispatch layer, for one request.

    A subclass adds what is needed where it has to wait or answers in parts: `send`, `receive_or_disconnect`,
    `stream_response`, `close_stream`, `wait_until_sent`, `finish` and `cancel`.
    """

    head: Any
    """The message by which a response in parts has started."""

    @property
    def exchange(self) -> Exchange:
        """The exchange outside of the layer."""

    @property
    def inner(self) -> InnerExchange | None:
        """The exchange inside; None before `call_next`."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task in which it goes on; None: it has ended, or not begun."""

    @property
    def request(self) -> Any:
        """What the dispatch function sees."""

    async def call_next(self, request: Any) -> Any:
        """Start it, in a task of its own, and return its response as soon as that has begun."""

    def progress(self) -> None:
        """The response has begun, or everything inside has ended."""

    def settle(self) -> Awaitable[None] | None:
        """None, or an awaitable for the moment at which the answer has been sent through the layers outside."""

    def forward(self, message: Any) -> Awaitable[None]:
        """An awaitable that sends a message as part of the outer response."""
