"""The connection: asyncio Protocol, httptools callbacks, keep-alive, pipelining, limits, timeouts, back-pressure."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from turboapi._speedups.endpoint import Site
from turboapi._speedups.exchange import Connection, HttpExchange, Settings
from turboapi._speedups.tasks import Runner
from turboapi.types import ASGIApp

_Refusal = tuple[int, list[tuple[bytes, bytes]], bytes]
"""(status, headers, reason): the answer to a handshake that is refused."""

class _WebSocket(Protocol):
    """What the hub asks of a WebSocket: it is the asyncio protocol of its transport, and takes itself off the hub."""

    def pause_writing(self) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def run(self) -> Coroutine[Any, Any, None]:
        """The application, from the handshake to its end. Raises nothing but cancellation."""

    def drain(self) -> None:
        """The server stops: close."""

    def abort(self) -> None:
        """Close at once. The application has been cancelled."""

_OpenWebSocket = Callable[["Hub", HttpExchange, Any, bool], tuple[_WebSocket, None] | tuple[None, _Refusal]]
"""(hub, handshake, transport, whether it has a body) -> the WebSocket, or why not."""

class Hub:
    """The connections of one worker, and what they share."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        site: Site,
        settings: Settings,
        state: Any = None,
        open_websocket: _OpenWebSocket | None = None,
        health: ASGIApp | None = None,
    ) -> None:
        """`state` is the lifespan's: each request gets a copy of it.

        Without `open_websocket` a WebSocket handshake is answered as any other request, after a warning. `health`
        answers the requests for `settings.health_path`, also on connections that are too many; they are not logged.
        """

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def state(self) -> Any: ...
    @property
    def runner(self) -> Runner:
        """Holds the coroutines that wait, those that go on after their answer (background tasks) among them."""

    @property
    def open(self) -> set[HttpProtocol]:
        """The HTTP connections."""

    @property
    def websockets(self) -> set[_WebSocket]:
        """The WebSockets whose connection is open or whose application still runs."""

    @property
    def tasks(self) -> int:
        """How many requests have something left to do: background tasks and exit code, besides answers."""

    @property
    def connections(self) -> int:
        """How many connections, WebSockets among them, are open."""

    def call_when_full(self, limit: int, callback: Callable[[], object]) -> None:
        """Call `callback()` at every new connection with which as many as `limit`, or more, are open; 0: never."""

    @property
    def requests(self) -> int:
        """How many requests have arrived and are not answered."""

    @property
    def total_requests(self) -> int:
        """How many requests have been answered."""

    def protocol(self) -> asyncio.Protocol:
        """A protocol for a new connection: the factory for `loop.create_server`."""

    def start(self) -> None:
        """Begin the sweep that, once a second, closes connections whose client is late and reviews the site."""

    def stop(self) -> None:
        """End the sweep."""

    def drain(self) -> None:
        """Let every connection end with its next answer, which says `connection: close`, and every WebSocket now."""

    def close_idle(self) -> None:
        """Close the connections on which nothing has been asked since their last answer."""

    def abort(self) -> None:
        """Cancel what still runs and close every connection at once."""

class HttpProtocol(Connection):
    """One HTTP/1 connection (RFC 9112). Its methods are for the transport and for httptools, outside of any task."""

    def __init__(self, hub: Hub) -> None: ...
    def connection_made(self, transport: Any) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def on_message_begin(self) -> None: ...
    def on_url(self, part: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_message_complete(self) -> None: ...
