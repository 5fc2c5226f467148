"""Middleware as a function from a request to a response.

`BaseHTTPMiddleware` turns ASGI messages into the two objects and back. The inner application runs in a task of its own
and sends into a memory stream; `call_next` takes the head of the response from that stream, and the response it returns
forwards the rest of it:

    client <- send <- dispatch's response <- stream <- inner application (task)
    client -> receive -> _CachedRequest.wrapped_receive -> inner application

On the built-in server the inner application is what is left of the compiled pipeline, begun by `Inside.call_next`; a
response that is complete at once is taken over as it is, and only one that comes in parts goes through a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from functools import cached_property
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from turboapi._speedups import DispatchLayer, Inside, Layer
from turboapi._utils import create_collapsing_task_group
from turboapi.exceptions import ClientDisconnect
from turboapi.middleware.hooks import NativeMiddleware
from turboapi.requests import Request
from turboapi.responses import Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BaseHTTPMiddleware", "DispatchFunction", "RequestResponseEndpoint"]

RequestResponseEndpoint = Callable[[Request], Awaitable[Response]]
DispatchFunction = Callable[[Request, RequestResponseEndpoint], Awaitable[Response]]

BodyStreamGenerator = AsyncGenerator[bytes | MutableMapping[str, Any], None]
AsyncContentStream = AsyncIterable[str | bytes | memoryview | MutableMapping[str, Any]]


class _CachedRequest(Request):
    """The request seen by `dispatch`, which can be read there and still be received by the inner application.

    What `dispatch` read with `body()` is delivered again; after `stream()` the application receives an empty body, so
    that it does not wait for one forever. Then comes the disconnect, as from a server.
    """

    _wrapped_rcv_disconnected = False
    _wrapped_rcv_consumed = False

    async def wrapped_receive(self) -> Message:
        """Receive for the inner application."""
        if self._wrapped_rcv_disconnected:
            return {"type": "http.disconnect"}
        if self._wrapped_rcv_consumed:
            return await self._receive_disconnect()
        if getattr(self, "_body", None) is not None:
            return self._last_chunk(self._body)
        if self._stream_consumed:
            return self._last_chunk(b"")
        return await self._receive_chunk()

    def _last_chunk(self, body: bytes) -> Message:
        self._wrapped_rcv_consumed = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def _receive_chunk(self) -> Message:
        try:
            async with aclosing(self.stream()) as stream:
                chunk = await anext(stream)
        except ClientDisconnect:
            self._wrapped_rcv_disconnected = True
            return {"type": "http.disconnect"}
        self._wrapped_rcv_consumed = self._stream_consumed
        return {"type": "http.request", "body": chunk, "more_body": not self._stream_consumed}

    async def _receive_disconnect(self) -> Message:
        # If `dispatch` has seen the disconnect already, there may not be a second one to wait for.
        message: Message = {"type": "http.disconnect"} if self._is_disconnected else await self.receive()
        if message["type"] != "http.disconnect":
            raise RuntimeError(f"Unexpected message received: {message['type']}")
        self._wrapped_rcv_disconnected = True
        return message


class _Downstream:
    """The inner application during one request: started by `call_next`, over when `close` is called."""

    def __init__(
        self,
        app: ASGIApp,
        request: _CachedRequest,
        send: Send,
        task_group: TaskGroup,
        send_stream: MemoryObjectSendStream[Message],
        receive_stream: MemoryObjectReceiveStream[Message],
    ) -> None:
        self.app = app
        self.request = request
        self.client_send = send
        self.task_group = task_group
        self.send_stream = send_stream
        self.receive_stream = receive_stream
        self.response_sent = anyio.Event()
        self.error: Exception | None = None

    async def call_next(self, request: Request) -> Response:
        """Start the application and return its response as soon as it has begun."""
        self.task_group.start_soon(self.run)
        try:
            start, info = await self.receive_start()
        except anyio.EndOfStream as end:
            error, self.error = self.error, None
            if error is None:
                raise RuntimeError("No response returned.") from end
            # The explicit cause keeps the EndOfStream out of the traceback that users see.
            raise error from error.__cause__ or error.__context__
        assert start["type"] == "http.response.start"
        response = _StreamingResponse(content=self.body_stream(), status_code=start["status"], info=info)
        response.raw_headers = start.get("headers", [])
        return response

    def close(self) -> None:
        """Tell the application that its response is over, sent or discarded."""
        self.response_sent.set()
        self.receive_stream.close()

    async def run(self) -> None:
        with self.send_stream:
            try:
                await self.app(self.request.scope, self.receive_or_disconnect, self.send)
            except Exception as exc:
                self.error = exc

    async def receive_start(self) -> tuple[Message, Mapping[str, Any] | None]:
        """Return the message that starts the response, and the debug information sent before it if there was any."""
        info = None
        while True:
            message = await self.receive_stream.receive()
            if message["type"] == "http.response.debug":
                info = message["info"]
            elif message["type"] == "http.response.early_hint":
                await self.client_send(message)
            else:
                return message, info

    async def body_stream(self) -> BodyStreamGenerator:
        async for message in self.receive_stream:
            if message["type"] == "http.response.pathsend":
                yield message
                break
            assert message["type"] == "http.response.body", f"Unexpected message: {message}"
            body = message.get("body", b"")
            if body:
                yield body
            if not message.get("more_body", False):
                break

    async def send(self, message: Message) -> None:
        """Send for the application. Does not return from the last message before `close`."""
        try:
            await self.send_stream.send(message)
        except anyio.BrokenResourceError:
            return  # the rest of the response is not wanted
        kind = message["type"]
        if kind == "http.response.pathsend" or (kind == "http.response.body" and not message.get("more_body", False)):
            await self.response_sent.wait()

    async def receive_or_disconnect(self) -> Message:
        """Receive for the application: a disconnect as soon as the response is over."""
        if self.response_sent.is_set():
            return {"type": "http.disconnect"}

        async with anyio.create_task_group() as task_group:

            async def cancel_when_sent() -> None:
                await self.response_sent.wait()
                task_group.cancel_scope.cancel()

            task_group.start_soon(cancel_when_sent)
            message = await self.request.wrapped_receive()
            task_group.cancel_scope.cancel()

        return {"type": "http.disconnect"} if self.response_sent.is_set() else message


class _InnerDownstream(Inside, _Downstream):  # type: ignore[override]
    """What is inside of a layer of the built-in server, as far as its response is not complete at once."""

    info: Mapping[str, Any] | None = None

    @cached_property
    def response_sent(self) -> anyio.Event:  # type: ignore[override]  # made when somebody waits for it
        return anyio.Event()

    def wait_until_sent(self) -> Awaitable[None]:
        return self.response_sent.wait()

    def stream_response(self) -> Response:
        """Return the response that comes in parts."""
        head = self.head
        response = _StreamingResponse(content=self.body_stream(), status_code=head["status"], info=self.info)
        response.raw_headers = head.get("headers", [])
        return response

    async def send(self, message: Message) -> None:
        """Send for what is inside, whose response comes in parts."""
        match message["type"]:
            case "http.response.debug":
                self.info = message["info"]
            case "http.response.early_hint":
                await self.forward(message)
            case "http.response.start":
                await checkpoint()  # as a stream makes one, before it takes anything
                self.send_stream, self.receive_stream = anyio.create_memory_object_stream[Message]()
                self.head = message
                self.progress()
            case _:
                await super().send(message)

    def close_stream(self) -> None:
        """There are no more parts."""
        self.send_stream.close()

    def close(self) -> None:
        """Tell the application that its response is over, sent or discarded."""
        if self.head is not None:
            self.receive_stream.close()
        if self.task is not None:
            self.response_sent.set()

    async def finish(self) -> None:
        """Let what is inside end: its background tasks, its dependencies' exit code. Raises what it raises."""
        if self.task is not None and (settled := self.settle()) is not None:
            await settled
        self.close()
        if self.task is not None:
            await asyncio.wait([self.task])
        inner = self.inner
        if inner is not None and inner.error is not None and (inner.started or inner.whole is not None):
            raise inner.error

    async def cancel(self) -> None:
        """End what is inside: nobody waits for it any more."""
        self.close()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])


class BaseHTTPMiddleware(NativeMiddleware):
    """Base class of middleware that overrides `dispatch(request, call_next)`, or is given it as an argument.

    `await call_next(request)` runs the rest of the application and returns its response, to be returned as it is,
    modified or replaced. Exceptions of the application are raised by `call_next`; those that come later, when the
    response has begun, are raised after `dispatch` is done. WebSockets and lifespan pass through unseen.
    """

    def __init__(self, app: ASGIApp, dispatch: DispatchFunction | None = None) -> None:
        self.app = app
        self.dispatch_func = self.dispatch if dispatch is None else dispatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _CachedRequest(scope, receive, send)
        send_stream, receive_stream = anyio.create_memory_object_stream[Message]()
        with receive_stream, send_stream:
            async with create_collapsing_task_group() as task_group:
                downstream = _Downstream(self.app, request, send, task_group, send_stream, receive_stream)
                response = await self.dispatch_func(request, downstream.call_next)
                await response(scope, request.wrapped_receive, send)
                downstream.close()
        if downstream.error is not None:
            raise downstream.error

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        if self.has_own(BaseHTTPMiddleware, "__call__"):
            return None
        return DispatchLayer(
            self.dispatch_func,
            self,
            inside_class=_InnerDownstream,
            request_class=_CachedRequest,
            response_class=_InnerResponse,
        )

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Return the response to `request`; subclasses override it."""
        raise NotImplementedError


class _StreamingResponse(Response):
    """What `call_next` returns: forwards the chunks, and messages such as `pathsend`, of the inner application."""

    def __init__(
        self,
        content: AsyncContentStream,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.info = info
        self.body_iterator = content
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.info is not None:
            await send({"type": "http.response.debug", "info": self.info})
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body_is_open = True
        async for chunk in self.body_iterator:
            if isinstance(chunk, dict):
                body_is_open = False
                await send(chunk)
            else:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if body_is_open:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        if self.background is not None:
            await self.background()


class _InnerResponse(_StreamingResponse):
    """A response that was complete at once: its body becomes a stream only for those who look at it as one.

    The built-in server makes it without a call, and sets `status_code`, `raw_headers` and `whole`.
    """

    info = None
    background = None
    media_type = None
    whole: bytes
    _iterator: Any = None

    @property
    def body_iterator(self) -> Any:
        """The body as an asynchronous iterator of its parts. Can be set."""
        if self._iterator is None:
            self._iterator = _parts(self.whole)
        return self._iterator

    @body_iterator.setter
    def body_iterator(self, value: Any) -> None:
        self._iterator = value


async def _parts(body: bytes) -> AsyncGenerator[bytes, None]:
    if body:
        yield body
