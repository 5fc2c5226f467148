"""One request and its response, whatever carried them."""

from collections.abc import Awaitable, Callable
from typing import Any

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

    def get_request(self, factory: Callable[..., Any]) -> Any:
        """The framework's Request for this exchange, made once by `factory(scope, receive, send)`.

        It is forgotten when the exchange has ended.
        """

    def scope(self) -> dict[str, Any]:
        """The ASGI scope of this request; the same dict each time."""
