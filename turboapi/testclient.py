"""A client that calls an application in this process: HTTP through httpx, WebSockets, and the lifespan.

Test code is synchronous, the application is not: it runs in an event loop in another thread, the *portal*. Used as a
context manager, the client keeps one portal and runs the lifespan in it; otherwise every request and every WebSocket
has a portal of its own.

    response = client.get("/")                         with client.websocket_connect("/ws") as websocket:
      └ _Transport.handle_request                        └ _Transport raises _Upgrade with the session
          ├ _Call, in the client's thread                    └ WebSocketTestSession: two streams of messages
          └ _Exchange, in the portal
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeGuard, cast
from urllib.parse import unquote, urljoin

import anyio
import anyio.from_thread
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskStatus
from anyio.from_thread import BlockingPortal
from anyio.streams.stapled import StapledObjectStream

from turboapi._utils import is_async_callable
from turboapi.exceptions import StarletteDeprecationWarning
from turboapi.types import ASGIApp, Message, Receive, Scope, Send
from turboapi.websockets import WebSocketDisconnect

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx2 as httpx
    except ModuleNotFoundError:
        try:
            import httpx
        except ModuleNotFoundError:
            raise RuntimeError(
                "The turboapi.testclient module requires the httpx package to be installed.\n"
                "You can install this with:\n"
                "    $ pip install turboapi[testclient]\n"
            ) from None

__all__ = [
    "ASGI2App",
    "ASGI3App",
    "ASGIInstance",
    "TestClient",
    "WebSocketDenialResponse",
    "WebSocketTestSession",
]

ASGIInstance = Callable[[Receive, Send], Awaitable[None]]
ASGI2App = Callable[[Scope], ASGIInstance]
ASGI3App = Callable[[Scope, Receive, Send], Awaitable[None]]

_PortalFactory = Callable[[], AbstractContextManager[BlockingPortal]]
_RequestData = Mapping[str, str | Iterable[str] | bytes]

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class _AsyncBackend(TypedDict):
    backend: str
    backend_options: dict[str, Any]


def _is_asgi3(app: ASGI2App | ASGI3App) -> TypeGuard[ASGI3App]:
    if inspect.isclass(app):
        return hasattr(app, "__await__")
    return is_async_callable(app)


class _WrapASGI2:
    """Makes an ASGI 3 application of one for ASGI 2, which takes the scope first and the channels later."""

    def __init__(self, app: ASGI2App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope)(receive, send)


class _Upgrade(Exception):
    """Carries a WebSocket session out of httpx, which knows only requests and responses."""

    def __init__(self, session: WebSocketTestSession) -> None:
        self.session = session


class WebSocketDenialResponse(httpx.Response, WebSocketDisconnect):  # type: ignore[misc]
    """Raised when a handshake is answered with an HTTP response: that response, and a `WebSocketDisconnect` too."""


class WebSocketTestSession:
    """The client's side of a WebSocket, as a context manager.

    Entering connects; it raises `WebSocketDisconnect` or `WebSocketDenialResponse` when the application refuses.
    Leaving disconnects, and raises what the application raised. `accepted_subprotocol` and `extra_headers` are the
    application's answer to the handshake.
    """

    portal: BlockingPortal
    exit_stack: ExitStack
    _to_app: ObjectSendStream[Message]
    _from_app: ObjectReceiveStream[Message]

    def __init__(self, app: ASGI3App, scope: Scope, portal_factory: _PortalFactory) -> None:
        self.app = app
        self.scope = scope
        self.portal_factory = portal_factory
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.portal = stack.enter_context(self.portal_factory())
            task, cancel_scope = self.portal.start_task(self._run)
            stack.callback(task.result)
            stack.callback(self.portal.call, cancel_scope.cancel)
            self.send({"type": "websocket.connect"})
            message = self.receive()
            self._raise_on_close(message)
            self.accepted_subprotocol = message.get("subprotocol")
            self.extra_headers = message.get("headers")
            stack.callback(self.close, 1000)
            self.exit_stack = stack.pop_all()
        return self

    def __exit__(self, *args: Any) -> bool | None:
        return self.exit_stack.__exit__(*args)

    async def _run(self, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        """Run the application. Its messages stay readable after it returned, until the session cancels this task."""
        app_sends, self._from_app = anyio.create_memory_object_stream[Message](math.inf)
        self._to_app, app_receives = anyio.create_memory_object_stream[Message](math.inf)
        with app_sends, self._from_app, self._to_app, app_receives, anyio.CancelScope() as cancel_scope:
            task_status.started(cancel_scope)
            await self.app(self.scope, app_receives.receive, app_sends.send)
            await anyio.sleep_forever()

    def _raise_on_close(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(code=message.get("code", 1000), reason=message.get("reason", ""))
        if message["type"] == "websocket.http.response.start":
            body = b"".join(self._receive_denial_body())
            raise WebSocketDenialResponse(status_code=message["status"], headers=message["headers"], content=body)

    def _receive_denial_body(self) -> Iterator[bytes]:
        more_body = True
        while more_body:
            message = self.receive()
            assert message["type"] == "websocket.http.response.body"
            yield message["body"]
            more_body = message.get("more_body", False)

    def send(self, message: Message) -> None:
        """Send an ASGI message to the application."""
        self.portal.call(self._to_app.send, message)

    def send_text(self, data: str) -> None:
        """Send a text message."""
        self.send({"type": "websocket.receive", "text": data})

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self.send({"type": "websocket.receive", "bytes": data})

    def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        """Send `data` as JSON."""
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        if mode == "text":
            self.send_text(text)
        else:
            self.send_bytes(text.encode("utf-8"))

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Tell the application that the client has disconnected."""
        self.send({"type": "websocket.disconnect", "code": code, "reason": reason})

    def receive(self) -> Message:
        """Return the next ASGI message from the application; wait for it if need be."""
        message: Message = self.portal.call(self._from_app.receive)
        return message

    def _receive_data(self) -> Message:
        message = self.receive()
        self._raise_on_close(message)
        return message

    def receive_text(self) -> str:
        """Return the next message's text. Raises `WebSocketDisconnect` when the application closes instead."""
        return cast(str, self._receive_data()["text"])

    def receive_bytes(self) -> bytes:
        """Return the next message's bytes. Raises `WebSocketDisconnect` when the application closes instead."""
        return cast(bytes, self._receive_data()["bytes"])

    def receive_json(self, mode: Literal["text", "binary"] = "text") -> Any:
        """Return the next message parsed as JSON. Raises `WebSocketDisconnect` when the application closes instead."""
        message = self._receive_data()
        return json.loads(message["text"] if mode == "text" else message["bytes"].decode("utf-8"))


class _Exchange:
    """One HTTP request: what the application is given to receive and send. Lives in the portal's event loop.

    The body is handed over chunk by chunk, so that the application waits until the client has read what it sent.
    """

    def __init__(self, app: ASGI3App, scope: Scope, request: httpx.Request) -> None:
        self.app = app
        self.scope = scope
        self.request = request
        self.cancel_scope = anyio.CancelScope()
        self.response_available = anyio.Event()  # the response has begun, or never will
        self.response_complete = anyio.Event()  # the client has read all of it
        self.body_sender, self.body_receiver = anyio.create_memory_object_stream[tuple[bytes, bool]](0)
        self.request_complete = False
        self.body_complete = False
        self.expects_trailers = False
        self.status_code: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.debug_info: dict[str, Any] | None = None

    async def run(self) -> None:
        try:
            with self.cancel_scope:
                async with self.body_sender:
                    await self.app(self.scope, self.receive, self.send)
        finally:
            self.response_available.set()

    async def receive(self) -> Message:
        if self.request_complete:
            # No checkpoint when it is set already: `Request.is_disconnected()` asks within a cancelled scope.
            if not self.response_complete.is_set():
                await self.response_complete.wait()
            return {"type": "http.disconnect"}
        body = self.request.read()
        self.request_complete = True
        return {"type": "http.request", "body": body}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._on_start(message)
        elif message["type"] == "http.response.body":
            await self._on_body(message)
        elif message["type"] == "http.response.trailers":
            self._on_trailers(message)
        elif message["type"] == "http.response.debug":
            self.debug_info = message["info"]

    def _on_start(self, message: Message) -> None:
        assert self.status_code is None, 'Received multiple "http.response.start" messages.'
        self.headers = [(name.decode(), value.decode()) for name, value in message.get("headers", [])]
        self.expects_trailers = message.get("trailers", False)
        self.status_code = message["status"]
        self.response_available.set()

    async def _on_body(self, message: Message) -> None:
        assert self.status_code is not None, 'Received "http.response.body" without "http.response.start".'
        assert not self.response_complete.is_set(), 'Received "http.response.body" after response completed.'
        assert not self.body_complete, 'Received "http.response.body" after body completed.'
        more_body = message.get("more_body", False)
        # A copy, because the application may reuse its buffer.
        chunk = bytes(message.get("body", b""))
        await self.body_sender.send((chunk, not more_body and not self.expects_trailers))
        self.body_complete = not more_body

    def _on_trailers(self, message: Message) -> None:
        assert self.expects_trailers, 'Received "http.response.trailers" without declaring trailers.'
        assert self.body_complete, 'Received "http.response.trailers" before body completed.'
        assert not self.response_complete.is_set(), 'Received "http.response.trailers" after response completed.'
        self.trailers.extend(message.get("headers", []))
        if not message.get("more_trailers", False):
            self.response_complete.set()

    async def receive_body(self) -> bytes:
        """Return the next chunk for the client. Raises `anyio.EndOfStream`."""
        chunk, is_last = await self.body_receiver.receive()
        if is_last:
            self.response_complete.set()
        return chunk

    def cancel_if_incomplete(self) -> None:
        if not self.response_complete.is_set():
            self.cancel_scope.cancel()


class _Call(httpx.SyncByteStream):
    """The client's hold on an exchange, and the body of its response. `close` waits for the application to end."""

    task: Future[None] | None = None

    def __init__(self, exchange: _Exchange, portal: BlockingPortal, raise_server_exceptions: bool) -> None:
        self.exchange = exchange
        self.portal = portal
        self.raise_server_exceptions = raise_server_exceptions
        self.exit_stack = ExitStack()
        self._body = self._iterate_body()

    def start(self) -> None:
        """Start the application and wait until its response begins."""
        self.task = self.portal.start_task_soon(self.exchange.run)
        self.portal.call(self.exchange.response_available.wait)

    def finish(self, exc_type: type[BaseException] | None, *_: Any) -> None:
        """Wait for the application, cancelled if the client did not read its response; raise what it raised."""
        if self.task is None:  # an interrupt came between the start of the task and the assignment
            self.portal.call(self.exchange.cancel_scope.cancel)
            return
        if not self.task.done():
            self.portal.call(self.exchange.cancel_if_incomplete)
        wait_for_futures([self.task])
        error = self.task.exception()
        if error is not None and exc_type is None and self.raise_server_exceptions:
            raise error

    def __iter__(self) -> Iterator[bytes]:
        return self._body

    def _iterate_body(self) -> Iterator[bytes]:
        while True:
            try:
                chunk = self.portal.call(self.exchange.receive_body)
            except anyio.EndOfStream:
                break
            if chunk and self.exchange.request.method != "HEAD":
                yield chunk
        self.close()

    def close(self) -> None:
        self.exit_stack.close()

    def abort(self) -> None:
        """Cancel the application, whatever it is doing."""
        self.portal.call(self.exchange.cancel_scope.cancel)
        self.close()


class _Transport(httpx.BaseTransport):
    """Sends httpx's requests to the application."""

    def __init__(
        self,
        app: ASGI3App,
        portal_factory: _PortalFactory,
        raise_server_exceptions: bool = True,
        root_path: str = "",
        *,
        client: tuple[str, int],
        app_state: dict[str, Any],
    ) -> None:
        self.app = app
        self.portal_factory = portal_factory
        self.raise_server_exceptions = raise_server_exceptions
        self.root_path = root_path
        self.client = client
        self.app_state = app_state
        self._open_calls: set[_Call] = set()

    def close(self) -> None:
        """Cancel the requests whose response has not been closed."""
        with ExitStack() as stack:
            while self._open_calls:
                stack.callback(self._open_calls.pop().abort)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        scope = self._scope(request)
        if scope["type"] == "websocket":
            raise _Upgrade(WebSocketTestSession(self.app, scope, self.portal_factory))
        with ExitStack() as stack:
            portal = stack.enter_context(self.portal_factory())
            exchange = portal.call(_Exchange, self.app, scope, request)
            stack.callback(exchange.body_sender.close)
            stack.callback(exchange.body_receiver.close)
            call = _Call(exchange, portal, self.raise_server_exceptions)
            stack.callback(self._open_calls.discard, call)
            stack.push(call.finish)
            call.start()
            if exchange.status_code is None:
                stack.close()
                if self.raise_server_exceptions:
                    raise AssertionError("TestClient did not receive any response.")
                return httpx.Response(500, headers=[], stream=httpx.ByteStream(b""), request=request)
            self._open_calls.add(call)
            call.exit_stack = stack.pop_all()
        return _build_response(exchange, exchange.status_code, call)

    def _scope(self, request: httpx.Request) -> Scope:
        url = request.url
        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.multi_items()]
        if "host" not in request.headers:
            headers.insert(0, (b"host", url.netloc))
        scope: Scope = {
            "type": "http",
            "path": unquote(url.path),
            "raw_path": url.raw_path.split(b"?", 1)[0],
            "root_path": self.root_path,
            "scheme": url.scheme,
            "query_string": url.query,
            "headers": headers,
            "client": self.client,
            "server": [url.raw_host.decode("ascii"), _DEFAULT_PORTS[url.scheme] if url.port is None else url.port],
            "state": self.app_state.copy(),
        }
        if url.scheme in ("ws", "wss"):
            protocols = request.headers.get("sec-websocket-protocol")
            return {
                **scope,
                "type": "websocket",
                "subprotocols": [] if protocols is None else [name.strip() for name in protocols.split(",")],
                "extensions": {"websocket.http.response": {}},
            }
        return {
            **scope,
            "http_version": "1.1",
            "method": request.method,
            "extensions": {"http.response.debug": {}, "http.response.trailers": {}},
        }


def _build_response(exchange: _Exchange, status_code: int, body: _Call) -> httpx.Response:
    response = httpx.Response(status_code, headers=exchange.headers, stream=body, request=exchange.request)
    if exchange.expects_trailers:
        response.extensions["http.response.trailers"] = exchange.trailers
    info = exchange.debug_info
    if info is not None:
        response.extensions["http.response.debug"] = info
        for name in ("template", "context"):
            if name in info:
                setattr(response, name, info[name])
    return response


class TestClient(httpx.Client):
    """An `httpx.Client` for the application `app`; it has all methods and attributes of one.

    As a context manager it runs the lifespan: start-up on entering, shut-down on leaving.

    Args:
        app: an ASGI application (version 2 or 3).
        base_url: what relative URLs are relative to.
        raise_server_exceptions: raise the application's exceptions here, instead of returning its 500 response.
        root_path: the `root_path` of the scope.
        backend: the event loop library, `asyncio` or `trio`.
        backend_options: options of it, for example `{"use_uvloop": True}`.
        cookies: cookies to send with every request.
        headers: headers to send with every request.
        follow_redirects: whether to follow redirects.
        client: the address the application sees.
    """

    __test__ = False
    task: Future[None]
    portal: BlockingPortal | None = None
    exit_stack: ExitStack
    stream_send: StapledObjectStream[Message | None]
    stream_receive: StapledObjectStream[Message]

    def __init__(
        self,
        app: ASGIApp,
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        root_path: str = "",
        backend: Literal["asyncio", "trio"] = "asyncio",
        backend_options: dict[str, Any] | None = None,
        cookies: httpx._types.CookieTypes | None = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = True,
        client: tuple[str, int] = ("testclient", 50000),
    ) -> None:
        self.async_backend = _AsyncBackend(backend=backend, backend_options=backend_options or {})
        self.app: ASGI3App = app if _is_asgi3(app) else _WrapASGI2(cast(ASGI2App, app))
        self.app_state: dict[str, Any] = {}
        all_headers = httpx.Headers(headers)
        all_headers.setdefault("user-agent", "testclient")
        super().__init__(
            base_url=base_url,
            headers=all_headers,
            cookies=cookies,
            follow_redirects=follow_redirects,
            transport=_Transport(
                self.app,
                portal_factory=self._portal_factory,
                raise_server_exceptions=raise_server_exceptions,
                root_path=root_path,
                client=client,
                app_state=self.app_state,
            ),
        )

    @contextlib.contextmanager
    def _portal_factory(self) -> Generator[BlockingPortal, None, None]:
        if self.portal is not None:
            yield self.portal
        else:
            with anyio.from_thread.start_blocking_portal(**self.async_backend) as portal:
                yield portal

    def request(  # type: ignore[override]
        self,
        method: str,
        url: httpx._types.URLTypes,
        *,
        content: httpx._types.RequestContent | None = None,
        data: _RequestData | None = None,
        files: httpx._types.RequestFiles | None = None,
        json: Any = None,
        params: httpx._types.QueryParamTypes | None = None,
        headers: httpx._types.HeaderTypes | None = None,
        cookies: httpx._types.CookieTypes | None = None,
        auth: httpx._types.AuthTypes | httpx._client.UseClientDefault = httpx._client.USE_CLIENT_DEFAULT,
        follow_redirects: bool | httpx._client.UseClientDefault = httpx._client.USE_CLIENT_DEFAULT,
        timeout: httpx._types.TimeoutTypes | httpx._client.UseClientDefault = httpx._client.USE_CLIENT_DEFAULT,
        extensions: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """Send a request and return its response. The arguments are those of `httpx.Client.request`."""
        if timeout is not httpx.USE_CLIENT_DEFAULT:
            warnings.warn(
                "You should not use the 'timeout' argument with the TestClient. It has no effect: there is no network.",
                StarletteDeprecationWarning,
                stacklevel=2,
            )
        return super().request(
            method,
            self._merge_url(url),
            content=content,
            data=data,
            files=files,
            json=json,
            params=params,
            headers=headers,
            cookies=cookies,
            auth=auth,
            follow_redirects=follow_redirects,
            timeout=timeout,
            extensions=extensions,
        )

    def websocket_connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **kwargs: Any
    ) -> WebSocketTestSession:
        """Return a session that connects when it is entered. `kwargs` are those of `request`."""
        headers = httpx.Headers(kwargs.pop("headers", None))
        headers.setdefault("connection", "upgrade")
        headers.setdefault("sec-websocket-key", "testserver==")
        headers.setdefault("sec-websocket-version", "13")
        if subprotocols is not None:
            headers.setdefault("sec-websocket-protocol", ", ".join(subprotocols))
        try:
            super().request("GET", urljoin("ws://testserver", url), headers=headers, **kwargs)
        except _Upgrade as exc:
            return exc.session
        raise RuntimeError("Expected WebSocket upgrade")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.portal = portal = stack.enter_context(anyio.from_thread.start_blocking_portal(**self.async_backend))
            stack.callback(setattr, self, "portal", None)
            from_app = anyio.create_memory_object_stream[Message | None](math.inf)
            to_app = anyio.create_memory_object_stream[Message](math.inf)
            for stream in (*from_app, *to_app):
                stack.callback(stream.close)
            self.stream_send = StapledObjectStream(*from_app)
            self.stream_receive = StapledObjectStream(*to_app)
            self.task = portal.start_task_soon(self.lifespan)
            portal.call(self.wait_startup)
            stack.callback(portal.call, self.wait_shutdown)
            stack.callback(self._transport.close)
            self.exit_stack = stack.pop_all()
        return self

    def __exit__(self, *args: Any) -> None:
        self.exit_stack.close()

    async def lifespan(self) -> None:
        """Run the application's lifespan; a final `None` on the stream says that it has returned."""
        try:
            scope = {"type": "lifespan", "state": self.app_state}
            await self.app(scope, self.stream_receive.receive, self.stream_send.send)
        finally:
            await self.stream_send.send(None)

    async def wait_startup(self) -> None:
        """Start the application up. Raises what it raises."""
        await self._lifespan_step("startup")

    async def wait_shutdown(self) -> None:
        """Shut the application down. Raises what it raises."""
        await self._lifespan_step("shutdown")

    async def _lifespan_step(self, event: str) -> None:
        await self.stream_receive.send({"type": f"lifespan.{event}"})
        message = await self._receive_lifespan()
        assert message["type"] in (f"lifespan.{event}.complete", f"lifespan.{event}.failed")
        if message["type"] == f"lifespan.{event}.failed":
            await self._receive_lifespan()

    async def _receive_lifespan(self) -> Any:
        message = await self.stream_send.receive()
        if message is None:
            self.task.result()
        return message
