"""One request and its response, whatever carried them."""

from collections.abc import Awaitable, Callable
from typing import Any

class ResponseHook:
    """What a middleware still has to do with the response to a request that it has let through.

    `head` and `end` are called at most once, and neither may wait.
    """

    def head(self, status: int, headers: list[tuple[bytes, bytes]], /) -> None:
        """Edit the raw headers (names in lower case) in place, just before they are sent."""

    def end(self, error: BaseException | None, /) -> None:
        """The last byte has been handed over; or the application has raised `error` instead, or the client has left
        before (`ClientDisconnect`).
        """

    def sender(self, send: Callable[[Any], Awaitable[None]], /) -> Callable[[Any], Awaitable[None]]:
        """The hook as an ASGI `send` around another one, for responses that are sent in messages."""

class HeaderHook(ResponseHook):
    """Adds the same header pairs to every response; one object serves all requests."""

    def __init__(
        self,
        pairs: list[tuple[bytes, bytes]],
        *,
        unless: tuple[bytes, ...] = (),
        otherwise: Callable[[list[tuple[bytes, bytes]]], None] | None = None,
    ) -> None:
        """A hook that adds `pairs`.

        unless: where a response has a header whose name begins with one of these, `otherwise` is called to edit the
            headers instead. Not "content-…".

        Raises ValueError for what is no header.
        """

    def head(self, status: int, headers: list[tuple[bytes, bytes]], /) -> None:
        """Add the pairs."""

class ScopeHook(ResponseHook):
    """Stands for the hook of a middleware that puts something into the scope, until somebody asks for the scope.

    Where nobody does, what would have been put there has no effect on the response.
    """

    def open(self, scope: dict[str, Any], /) -> ResponseHook:
        """Put it into the scope, and return the hook for the response; called at most once for a request."""

class BodyHook(ResponseHook):
    """A hook that changes bodies, too; it overrides `whole` and `sender`."""

    least: int
    """The size in bytes from which a whole body can be changed: for a smaller one `whole` is not called."""

    def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, /) -> bytes | Awaitable[bytes]:
        """Edit the raw headers of a complete response, and return the body to send."""

    def sender(self, send: Callable[[Any], Awaitable[None]], /) -> Callable[[Any], Awaitable[None]]:
        """The hook as an ASGI `send` around another one."""

class Exchange:
    """One request/response pair; see `exchange.HttpExchange` and `asgi.AsgiExchange`."""

    path_params: dict[str, Any] | None
    """The converted path values; None when the route has none."""
    body: Any
    """The whole body (bytes) once it is read, else None."""
    target: Any
    """What the router found: an Endpoint, or an ASGI application."""
    payload: Any
    """What an opaque route said about its match."""
    started: bool
    """Whether the response's head has been handed over: no other answer is possible."""
    closers: list[Callable[[], Awaitable[None]]] | None
    """Called and awaited at the very end, however the request ends."""

    inside: bool
    """Whether the request has come through all middleware: only then the scope shows the route."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str:
        """The decoded path, which the routes are matched against."""

    @property
    def raw_path(self) -> bytes: ...
    @property
    def query_string(self) -> bytes: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The request's header pairs, names in lower case, as received otherwise."""

    def get_request(self, cls: type[Any]) -> Any:
        """The framework's Request for this exchange, an instance of `cls` that is made once.

        It is forgotten when the exchange has ended.
        """

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header of the request, by its name in lower case."""

    def scope(self) -> dict[str, Any]:
        """The ASGI scope of this request; the same dict each time."""

    def end_hooks(self, error: BaseException | None) -> None:
        """The response is complete, or `error` came instead; no hook sees what is sent from now on."""
