"""What one request to an ASGI application brings about, as a list that can be compared between two libraries."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Message = dict[str, Any]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


def http_scope(headers: Iterable[tuple[str, str]] = (), **items: Any) -> dict[str, Any]:
    """A scope as the server makes it, with the given headers and whatever else is given."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "root_path": "",
        "query_string": b"",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1234),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        **items,
    }


def websocket_scope(headers: Iterable[tuple[str, str]] = (), **items: Any) -> dict[str, Any]:
    return {**http_scope(headers, type="websocket", scheme="ws"), **items}


def exchange(app: ASGIApp, scope: dict[str, Any], incoming: Iterable[Message] = ()) -> list[Any]:
    """Run an application; return the messages it sends, and its error if it raises one."""
    log: list[Any] = []
    messages = iter([*incoming, {"type": "http.request"}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        log.append(copy.deepcopy(message))

    try:
        asyncio.run(app(copy.deepcopy(scope), receive, send))  # type: ignore[arg-type]
    except Exception as exc:
        log.append((type(exc).__name__, str(exc)))
    return log


def sender(*messages: Message) -> ASGIApp:
    """An application that sends these messages, each time anew."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in copy.deepcopy(messages):
            await send(message)

    return app


def response(headers: Iterable[tuple[str, str]] = (), body: bytes = b"done", status: int = 200) -> ASGIApp:
    """An application that sends a response of one body message."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return sender(
        {"type": "http.response.start", "status": status, "headers": raw},
        {"type": "http.response.body", "body": body},
    )


def headers_of(log: list[Any]) -> list[tuple[str, str]]:
    """The headers of the response that was sent."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in log[0]["headers"]]


def public_attributes(middleware: Any) -> dict[str, Any]:
    """Return what a middleware shows of its configuration."""
    return {name: value for name, value in vars(middleware).items() if not name.startswith("_")}
