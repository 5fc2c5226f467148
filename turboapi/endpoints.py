"""Endpoints as classes: one method per HTTP verb, or one per event of a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any, Literal, NoReturn

from turboapi import status
from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.exceptions import StarletteHTTPException
from turboapi.requests import Request
from turboapi.responses import PlainTextResponse, Response
from turboapi.types import Message, Receive, Scope, Send
from turboapi.websockets import WebSocket

__all__ = ["HTTPEndpoint", "WebSocketEndpoint"]

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")


class HTTPEndpoint:
    """Base class of HTTP endpoints: define `get`, `post`, …, each `(request) -> response`, `async` or not.

    HEAD is answered by `get` unless there is a `head`; a verb without a method is answered with 405.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.scope = scope
        self.receive = receive
        self.send = send
        defined = {verb for verb in VERBS if getattr(self, verb.lower(), None) is not None}
        if "GET" in defined:
            defined.add("HEAD")
        self._allowed_methods = [verb for verb in VERBS if verb in defined]

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        """Answer the request with the method for its verb."""
        request: Request[Any] = Request(self.scope, receive=self.receive, send=self.send)
        handler: Callable[[Request[Any]], Any] = self.method_not_allowed
        if request.method in self._allowed_methods:
            takes_get = request.method == "HEAD" and not hasattr(self, "head")
            handler = getattr(self, "get" if takes_get else request.method.lower())
        if is_async_callable(handler):
            response = await handler(request)
        else:
            response = await run_in_threadpool(handler, request)
        await response(self.scope, self.receive, self.send)

    async def method_not_allowed(self, request: Request[Any]) -> Response:
        """Answer a verb that has no method: inside an application by an exception, for its handlers."""
        headers = {"Allow": ", ".join(self._allowed_methods)}
        if "app" in self.scope:
            raise StarletteHTTPException(status_code=405, headers=headers)
        return PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)


class WebSocketEndpoint:
    """Base class of WebSocket endpoints: define `on_connect`, `on_receive` and `on_disconnect`.

    `encoding` says what `on_receive` gets: "text", "bytes", "json", or with None what the message has. A message that
    does not fit closes the connection with 1003 and raises RuntimeError.
    """

    encoding: Literal["text", "bytes", "json"] | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        self.scope = scope
        self.receive = receive
        self.send = send

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        """Serve the connection until it ends; `on_disconnect` gets 1011 after an error, else the client's code."""
        websocket: WebSocket[Any] = WebSocket(self.scope, receive=self.receive, send=self.send)
        await self.on_connect(websocket)
        close_code = status.WS_1000_NORMAL_CLOSURE
        try:
            close_code = await _receive_all(self, websocket)
        except Exception:
            close_code = status.WS_1011_INTERNAL_ERROR
            raise
        finally:
            await self.on_disconnect(websocket, close_code)

    async def decode(self, websocket: WebSocket[Any], message: Message) -> Any:
        """Return the data of a message in the endpoint's encoding; raises RuntimeError if it does not fit."""
        text, data = message.get("text"), message.get("bytes")
        match self.encoding:
            case "text" if text is None:
                await _refuse(websocket, "Expected text websocket messages, but got bytes")
            case "bytes" if data is None:
                await _refuse(websocket, "Expected bytes websocket messages, but got text")
            case "text":
                return text
            case "bytes":
                return data
            case "json":
                return await _parse_json(websocket, text if text is not None else message["bytes"].decode("utf-8"))
        assert self.encoding is None, f"Unsupported 'encoding' attribute {self.encoding}"
        return text if text is not None else message["bytes"]

    async def on_connect(self, websocket: WebSocket[Any]) -> None:
        """A client wants to connect; accepts it unless overridden."""
        await websocket.accept()

    async def on_receive(self, websocket: WebSocket[Any], data: Any) -> None:
        """A message has come; its data is in the endpoint's encoding."""

    async def on_disconnect(self, websocket: WebSocket[Any], close_code: int) -> None:
        """The connection has ended."""


async def _receive_all(endpoint: WebSocketEndpoint, websocket: WebSocket[Any]) -> int:
    """Hand over all messages of the client; return the code it closes the connection with."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or status.WS_1000_NORMAL_CLOSURE)
        if message["type"] == "websocket.receive":
            await endpoint.on_receive(websocket, await endpoint.decode(websocket, message))


async def _refuse(websocket: WebSocket[Any], reason: str) -> NoReturn:
    await websocket.close(code=status.WS_1003_UNSUPPORTED_DATA)
    raise RuntimeError(reason)


async def _parse_json(websocket: WebSocket[Any], text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        await _refuse(websocket, "Malformed JSON data received.")
