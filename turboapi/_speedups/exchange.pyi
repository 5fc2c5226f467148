"""One request/response on our own server."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from turboapi._speedups.access import AccessLog
from turboapi._speedups.request import Exchange
from turboapi._speedups.tasks import Runner

class _Proxies(Protocol):
    """What trusted proxies say; the last three are asked only if there is such a header, and may answer None."""

    def trusts(self, client: Any, /) -> bool: ...
    def client(self, forwarded_for: bytes, /) -> Any: ...
    def scheme(self, forwarded_proto: bytes, /) -> str | None: ...
    def forwarded(self, value: bytes, /) -> tuple[Any, str | None]: ...

class Settings:
    """Limits, timeouts and switches of the connections of a server. Sizes in bytes, times in seconds."""

    def __init__(
        self,
        *,
        limit_header_size: int = 65536,
        limit_header_count: int = 128,
        limit_request_line: int = 16384,
        limit_body: int = 104857600,
        limit_pipeline: int = 16,
        timeout_keep_alive: float = 5.0,
        timeout_header: float = 20.0,
        timeout_body: float = 60.0,
        timeout_write: float = 60.0,
        root_path: str = "",
        server_header: bool = True,
        date_header: bool = True,
        access_log: AccessLog | None = None,
        limit_concurrency: int = 0,
        proxies: _Proxies | None = None,
        headers: list[tuple[bytes, bytes]] | None = None,
        health_path: str | None = None,
    ) -> None:
        """The settings.

        limit_header_size: of target, header names and values, four more for each header; beyond: 431.
        limit_header_count: beyond: 431.
        limit_request_line: of the request target; beyond: 414.
        limit_body: beyond: 413; 0 for none.
        limit_pipeline: requests that may wait for their answer on a connection, before reading is paused.
        timeout_keep_alive: of an idle connection, which is closed; 0 for none, as for all of them.
        timeout_header: of a request's head, from the connection's beginning or the head's first byte on: 408.
        timeout_body: between two reads of a body: 408.
        timeout_write: of a client that takes nothing of what is sent to it; its connection is aborted.
        access_log: what takes note of each complete answer; None for nothing.
        limit_concurrency: open connections beyond which a new one gets 503 for its request; 0 for none.
        proxies: who is trusted about clients and schemes; None for nobody.
        headers: sent with every response, names in lower case. ValueError for some that cannot be sent.
        health_path: which the hub's `health` answers instead of the application; None for no such path.
        """

    @property
    def limit_header_size(self) -> int: ...
    @property
    def limit_header_count(self) -> int: ...
    @property
    def limit_request_line(self) -> int: ...
    @property
    def limit_body(self) -> int: ...
    @property
    def limit_pipeline(self) -> int: ...
    @property
    def timeout_keep_alive(self) -> float: ...
    @property
    def timeout_header(self) -> float: ...
    @property
    def timeout_body(self) -> float: ...
    @property
    def timeout_write(self) -> float: ...
    @property
    def root_path(self) -> str: ...
    @property
    def access_log(self) -> AccessLog | None: ...
    @property
    def limit_concurrency(self) -> int: ...
    @property
    def proxies(self) -> _Proxies | None: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]] | None: ...
    @property
    def health_path(self) -> str | None: ...
    @property
    def write_flags(self) -> int:
        """The switches as flags of the writer."""

class Connection:
    """What an exchange needs of the connection that carries it."""

    @property
    def loop(self) -> Any: ...
    @property
    def runner(self) -> Runner: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def state(self) -> Any:
        """The lifespan's state."""

    @property
    def client(self) -> tuple[str, int | None] | None: ...
    @property
    def server(self) -> tuple[str, int | None] | None: ...
    @property
    def scheme(self) -> str: ...

class HttpExchange(Exchange):
    """One request/response of an HTTP/1 connection."""

    @property
    def target_bytes(self) -> bytes:
        """The request target as received."""

    @property
    def http_version(self) -> str: ...
    @property
    def status(self) -> int:
        """The status of the answer, 0 before there is one."""

    @property
    def refused(self) -> int:
        """The status with which the rest of the body was refused, 0 if it was not."""

    @property
    def closed(self) -> bool:
        """Whether the client has gone."""

    def new_scope(self, kind: str, spec_version: str) -> dict[str, Any]:
        """A new ASGI connection scope of this request, of type `kind`, with the keys that ASGI gives to HTTP."""

    def scope(self) -> dict[str, Any]:
        """The ASGI HTTP connection scope of this request; the same dict each time."""

    async def receive(self) -> dict[str, Any]:
        """ASGI `receive`: the next part of the body, or `http.disconnect`. Several may wait at the same time.

        Raises HTTPException with status 400, 408, 413 or 431 when the rest of the body is refused and the response has
        not started; afterwards a refused body is a disconnect.
        """

    async def send_unhooked(self, message: Any) -> None:
        """ASGI `send` behind all hooks."""

    async def send(self, message: Any) -> None:
        """ASGI `send`. Waits while the client is slow to read; does nothing once it is gone.

        Raises RuntimeError for a message out of order and a body that does not fit its content-length; ValueError and
        TypeError for bad headers. Nothing has been sent then, unless the response had started before.
        """

    async def send_file(self, file: int, offset: int, size: int) -> int:
        """Send a part of an open file as the next part of the body, and return how many bytes of it.

        The bytes go from the page cache to the socket (sendfile(2)); those that are not cached are waited for on the
        event loop. Waits while the client is slow to read. Fewer bytes than `size` mean that this way is closed (no
        announced length, TLS, a file system without it, the end of the file, a client that has gone): the caller reads
        on and uses `send`.
        """

def file_sender(send: Callable[..., Any]) -> Callable[[int, int, int], Awaitable[int]] | None:
    """Return the `send_file` of the exchange whose own `send` this is.

    None if it is somebody else's, or if middleware has to see every part of the body.
    """
