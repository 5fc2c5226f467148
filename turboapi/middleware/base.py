"""Middleware as a function from a request to a response.

`BaseHTTPMiddleware` turns ASGI messages into the two objects and back. The inner application runs in a task of its own
and sends into a memory stream; `call_next` takes the head of the response from that stream, and the response it returns
forwards the rest of it:

    client <- send <- dispatch's response <- stream <- inner application (task)
    client -> receive -> _CachedRequest.wrapped_receive -> inner application

On the built-in server the inner application is what is left of the compiled pipeline, begun by `Inside.start`; a
response that is complete at once is taken over as it is, and only one that comes in parts goes through a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from functools import cached_property
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from turboapi._speedups import Exchange, InnerExchange, Inside, Layer
from turboapi._utils import create_collapsing_task_group
from turboapi.exceptions import ClientDisconnect
from turboapi.middleware.hooks import NativeMiddleware
from turboapi.requests import Request
from turboapi.responses import Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BaseHTTPMiddleware", "DispatchFunction", "RequestResponseEndpoint"]

RequestResponseEndpoint = Callable[[Request], Awaitable[Response]]
DispatchFunction = Callable[[Request, RequestResponseEndpoint], Awaitable[Response]]
_DISPATCH = 2

BodyStreamGenerator = AsyncGenerator[bytes | MutableMapping[str, Any], None]
AsyncContentStream = AsyncIterable[str | bytes | memoryview | MutableMapping[str, Any]]


class _CachedRequest(Request):
    """The request seen by `dispatch`, which can be read there and still be received by the inner application.

    What `dispatch` read with `body()` is delivered again; after `stream()` the application receives an empty body, so
    that it does not wait for one forever. Then comes the disconnect, as from a server.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._wrapped_rcv_disconnected = False
        self._wrapped_rcv_consumed = False

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


class _InnerDownstream(_Downstream):
    """The same behind a layer of the built-in server: inside is the rest of the pipeline."""

    def __init__(self, inside: Inside, request: _CachedRequest, send: Send) -> None:
        self.inside = inside
        self.request = request
        self.client_send = send
        self.error: Exception | None = None
        self.exchange: InnerExchange | None = None
        self.task: asyncio.Task[None] | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.head: Message | None = None
        self.info: Mapping[str, Any] | None = None
        self.lends_body = False  # to the route, which then has read it

    @cached_property
    def response_sent(self) -> anyio.Event:  # type: ignore[override]  # made when somebody waits for it
        return anyio.Event()

    async def call_next(self, request: Request) -> Response:
        """Start what is inside and return its response as soon as it has begun."""
        body = self.take_body()
        self.exchange, self.task = self.inside.start(
            body, self.receive_or_disconnect, self.send, self.progress, self.response_sent_wait
        )
        exchange = self.exchange
        if self.head is not None:
            self.progress()
        while not exchange.ended and exchange.whole is None and self.head is None:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        if self.lends_body and exchange.inside:
            self.request._stream_consumed = self.request._wrapped_rcv_consumed = True
        if exchange.whole is not None:
            return _InnerResponse(exchange.status, exchange.response_headers, exchange.whole)
        if self.head is not None:
            response = _StreamingResponse(content=self.body_stream(), status_code=self.head["status"], info=self.info)
            response.raw_headers = self.head.get("headers", [])
            return response
        if exchange.error is None:
            raise RuntimeError("No response returned.")
        raise exchange.error

    @property
    def has_ended(self) -> bool:
        """Whether what is inside answered at once, and nothing is left of it."""
        return self.task is None and (self.exchange is None or self.exchange.error is None)

    def take_body(self) -> bytes | None:
        """Return the body for what is inside; None where it is to be received."""
        request = self.request
        if getattr(request, "_body", None) is not None:
            request._wrapped_rcv_consumed = True
            return request._body
        if request._stream_consumed:
            request._wrapped_rcv_consumed = True
            return b""
        if not self.inside.needs_body or request._receive != self.inside.receive:
            return None
        self.lends_body = True
        return self.inside.body

    def progress(self) -> None:
        """The response has begun, or everything inside has ended."""
        if self.head is not None and self.exchange is not None and self.exchange.ended:
            self.send_stream.close()  # there is no more of it
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def response_sent_wait(self) -> Awaitable[None]:
        return self.response_sent.wait()

    async def send(self, message: Message) -> None:
        """Send for what is inside, whose response comes in parts."""
        match message["type"]:
            case "http.response.debug":
                self.info = message["info"]
            case "http.response.early_hint":
                await self.client_send(message)
            case "http.response.start":
                await checkpoint()  # as a stream makes one, before it takes anything
                self.send_stream, self.receive_stream = anyio.create_memory_object_stream[Message]()
                self.head = message
                self.progress()
            case _:
                await super().send(message)

    def close(self) -> None:
        """Tell the application that its response is over, sent or discarded."""
        if self.head is not None:
            self.receive_stream.close()
        if self.task is not None:
            self.response_sent.set()

    async def finish(self) -> None:
        """Let what is inside end: its background tasks, its dependencies' exit code. Raises what it raises."""
        if self.task is not None and (settled := self.inside.settle()) is not None:
            await settled
        self.close()
        if self.task is not None:
            await asyncio.wait([self.task])
        exchange = self.exchange
        if exchange is not None and exchange.error is not None and (exchange.started or exchange.whole is not None):
            raise exchange.error

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
        return None if self.has_own(BaseHTTPMiddleware, "__call__") else Layer(_DISPATCH, self._answer, self)

    async def _answer(self, exchange: Exchange, inside: Inside) -> None:
        """Answer a request on the built-in server."""
        scope, receive, send = exchange.scope(), cast(Any, exchange).receive, cast(Any, exchange).send
        request = _CachedRequest(scope, receive, send)
        downstream = _InnerDownstream(inside, request, send)
        try:
            response = await self.dispatch_func(request, downstream.call_next)
            if type(response) is _InnerResponse and response.is_plain and not inside.changes_bodies:
                pending = inside.answer(response.status_code, response.raw_headers, response.whole)
                if pending is not None:
                    await pending
            elif inside.is_native(response):
                await inside.reply(response)
            else:
                await response(scope, request.wrapped_receive, send)
        except BaseException:
            await downstream.cancel()
            raise
        if not downstream.has_ended:
            await downstream.finish()

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
    """A response that was complete at once: its body becomes a stream only for those who look at it as one."""

    def __init__(self, status_code: int, headers: list[tuple[bytes, bytes]], whole: bytes) -> None:
        self.info = None
        self.status_code = status_code
        self.raw_headers = headers
        self.background = None
        self.media_type = None
        self.whole = whole
        self._iterator: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether the body is still what it was, and nothing is to be done after it."""
        return self._iterator is None and self.background is None

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
