"""One request/response under any other server: the same pipeline between ASGI's scope, receive and send."""

from typing import Any

from turboapi._speedups.endpoint import Site
from turboapi._speedups.request import Exchange

class AsgiExchange(Exchange):
    """An exchange that is an ASGI call."""

    def __init__(self, site: Site | None, scope: dict[str, Any], receive: Any, send: Any) -> None: ...
    def scope(self) -> dict[str, Any]:
        """The scope, as the server handed it over."""

    async def receive(self) -> Any:
        """ASGI `receive`; a body that the pipeline has read already is handed over again, once."""

    async def send(self, message: Any) -> None:
        """ASGI `send`, which notices that the response starts."""

    async def send_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: Any) -> None:
        """Send a complete response."""

async def answer(site: Site, scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI entrance of a site's routes: finds the endpoint, adds what it found to the scope, runs it."""
