"""WebSockets (RFC 6455): a connection from its handshake to its end, as the hub's connections hand it over.

The library `websockets` reads and writes the frames, without any I/O of its own. Here are the handshake's checks, the
messages of ASGI, back-pressure, pings, and the ways in which a connection ends:

    CONNECTING ── accept ──────────────> OPEN ── close ──> CLOSED (by the application)
      │  └─────── http.response.start ─> DENYING ────────────^
      └────────── close: 403 ────────────────────────────────┘
    any but CLOSED ── the client leaves or breaks the protocol, the server stops ──> GONE

What the application sends when the connection is GONE raises OSError; after its own close it is a mistake of its own.
Close codes and the order of events are uvicorn's.
"""

import asyncio
import enum
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from turboapi._speedups import HttpExchange, Hub
from turboapi._speedups.headers import check_headers
from turboapi._speedups.writer import last_response
from turboapi.server.config import ServerConfig
from turboapi.server.logging import format_client, printable
from turboapi.types import ASGIApp, Message
from turboapi.websockets import WebSocketDisconnect

try:
    from websockets.datastructures import Headers
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request
    from websockets.protocol import SEND_EOF, State
    from websockets.server import ServerProtocol
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True

logger = logging.getLogger("turboapi.error")

CLOSE_TIMEOUT = 10.0  # seconds a client has to answer the application's close
LINGER = 2.0  # seconds it has to leave in all other cases
HIGH_WATER = 65536  # bytes held for the application before reading is paused
SLICE = 16384  # bytes that are read at once where they may be compressed

RawHeaders = list[tuple[bytes, bytes]]
Refusal = tuple[int, RawHeaders, bytes]

_VERSION = b"13"
_UPGRADE = [(b"upgrade", b"websocket"), (b"connection", b"upgrade, close")]  # RFC 9110, section 15.5.22
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_TEXT_TYPE = (b"content-type", b"text/plain; charset=utf-8")


class ClientDisconnected(OSError):
    """The application sends to a client that has gone."""


class Phase(enum.Enum):
    """Where a connection stands, as seen by the application; see the module."""

    CONNECTING = "connecting"
    DENYING = "denying"
    OPEN = "open"
    CLOSED = "closed"
    GONE = "gone"


CONNECTING, DENYING, OPEN, CLOSED, GONE = Phase


class WebSockets:
    """Opens the WebSockets of one server: `open` is what its hub calls."""

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self.app = app
        self.config = config
        self._extensions = [_deflate()] if config.ws_per_message_deflate else []

    def open(
        self, hub: Hub, handshake: HttpExchange, transport: Any, has_body: bool
    ) -> tuple["WebSocketConnection", None] | tuple[None, Refusal]:
        """The connection for a handshake that is well-formed, or how it is to be refused."""
        refusal = _check(handshake, has_body)
        if refusal is None:
            # NOTE: for the library the connection is open at once, as the HTTP part is ours.
            frames = ServerProtocol(state=State.OPEN, extensions=self._extensions, max_size=self.config.ws_max_size)
            answer = frames.accept(_request(handshake))
            if answer.status_code == 101:
                headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.raw_items()]
                agreed = [pair for pair in headers if pair[0] != b"date"]
                return WebSocketConnection(self, hub, handshake, transport, frames, agreed), None
            refusal = answer.status_code, _UPGRADE if answer.status_code == 426 else [], bytes(answer.body)
        return None, refusal


def open_websockets(app: ASGIApp, config: ServerConfig) -> Callable[..., Any] | None:
    """What a hub needs to serve the WebSockets of `app`; None when the library for them is missing."""
    return WebSockets(app, config).open if AVAILABLE else None


def _deflate() -> "ServerPerMessageDeflateFactory":
    """Compression (RFC 7692) with windows of 4 KiB: those of 32 KiB cost each connection ten times the memory."""
    return ServerPerMessageDeflateFactory(
        server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
    )


def _check(handshake: HttpExchange, has_body: bool) -> Refusal | None:
    """Why it can be no handshake, as far as the library does not see that (RFC 6455, sections 4.2.1 and 4.4)."""
    versions = _values(handshake, b"sec-websocket-version")
    if handshake.http_version != "1.1" or handshake.method != "GET":
        return 400, [], b"A WebSocket handshake is a GET request of HTTP/1.1."
    if has_body:
        return 400, [], b"A WebSocket handshake has no body."
    if versions and versions != [_VERSION]:
        supported = [*_UPGRADE, (b"sec-websocket-version", _VERSION)]
        return 426, supported, b"Only version 13 of the WebSocket protocol is supported."
    return None


def _values(handshake: HttpExchange, name: bytes) -> list[bytes]:
    return [value for each, value in handshake.headers if each == name]


def _request(handshake: HttpExchange) -> "Request":
    headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in handshake.headers]
    return Request(handshake.target_bytes.decode("latin-1"), Headers(headers))


def _scope(handshake: HttpExchange) -> dict[str, Any]:
    scope = handshake.new_scope("websocket", "2.4")
    del scope["method"]
    scope["scheme"] = "wss" if scope["scheme"] in ("https", "wss") else "ws"
    offered = b",".join(_values(handshake, b"sec-websocket-protocol")).decode("latin-1")
    scope["subprotocols"] = [name.strip() for name in offered.split(",") if name.strip()]
    scope["extensions"] = {"websocket.http.response": {}}
    return scope


def _raw_headers(message: Message) -> RawHeaders:
    """The response headers of an ASGI message, in lower case. Raises ValueError and TypeError for bad ones."""
    headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers") or ()]
    check_headers(headers)
    return headers


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket: the protocol of its transport, and receive and send of its application."""

    def __init__(
        self,
        server: WebSockets,
        hub: Hub,
        handshake: HttpExchange,
        transport: Any,
        frames: "ServerProtocol",
        agreed: RawHeaders,
    ) -> None:
        config = server.config
        self._app = server.app
        self._hub = hub
        self._transport = transport
        self._frames = frames
        self._agreed = agreed
        self._scope = _scope(handshake)
        self._target = printable(handshake.target_bytes.decode("latin-1"))
        self._phase = CONNECTING
        self._lost = False  # the transport is closed
        self._ended = False  # the application has returned
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._pings = Pings(hub.loop, config.ws_ping_interval, config.ws_ping_timeout, self._ping, self._no_pong)
        # what comes in
        self._step = SLICE if frames.extensions else HIGH_WATER * 4
        self._unread = b""  # bytes that the library has not been given
        self._deaf = False  # what still comes is thrown away
        self._read_paused = False
        self._part = bytearray()  # of a message that comes in fragments
        self._is_text = False
        self._inbox: deque[Message] = deque([{"type": "websocket.connect"}])
        self._limit = config.ws_max_queue
        self._waiting = 0  # bytes of the messages in the inbox
        self._goodbye: Message | None = None  # what `receive` gives behind the inbox, from then on
        self._receivers: list[asyncio.Future[None]] = []
        # what goes out
        self._writable = asyncio.Event()
        self._writable.set()
        self._pong: list[bytes] = []  # the newest, while the client is slow to read
        self._denial: tuple[int, RawHeaders, bytearray] = (0, [], bytearray())

    # --- the application ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The application, from the handshake to its end. Raises nothing but cancellation."""
        try:
            result = await self._app(self._scope, self.receive, self.send)  # type: ignore[func-returns-value]
        except Exception as exc:
            # That the client has gone is no news.
            if self._goodbye is None or not isinstance(exc, ClientDisconnected | WebSocketDisconnect):
                logger.error("Exception in ASGI application", exc_info=exc)
        else:
            if self._phase in (CONNECTING, DENYING):
                logger.error("The ASGI application has returned without answering the WebSocket handshake.")
            elif result is not None:
                logger.error("The ASGI application should return None, not %r.", result)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._ended = True
        if self._phase in (CONNECTING, DENYING):
            self._answer_last(500, [], b"Internal Server Error")
            self._phase = GONE
        elif self._phase is OPEN:
            self._gone(1006)
            self._hang_up()
        self._leave_hub()

    async def receive(self) -> Message:
        """ASGI `receive`: the next message; the last one, `websocket.disconnect`, again and again."""
        while not self._inbox:
            if self._goodbye is not None:
                return dict(self._goodbye)
            await self._arrival()
        message = self._inbox.popleft()
        if not self._inbox:
            self._waiting = 0
            self._read_on()
        return message

    async def _arrival(self) -> None:
        receiver = self._hub.loop.create_future()
        self._receivers.append(receiver)
        try:
            await receiver
        finally:
            self._receivers.remove(receiver)

    def _wake(self) -> None:
        for receiver in self._receivers:
            if not receiver.done():
                receiver.set_result(None)

    async def send(self, message: Message) -> None:
        """ASGI `send`. Waits while the client is slow to read.

        Raises OSError when the client has gone, RuntimeError for a message out of order, ValueError and TypeError for
        bad headers; websockets.exceptions.ProtocolError for a bad close code or reason.
        """
        while not self._writable.is_set():
            await self._writable.wait()
        kind = message["type"]
        if self._phase is OPEN and not self._lost:
            self._send_open(kind, message)
        elif self._phase is CLOSED:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}: the application has closed the WebSocket.")
        elif self._phase is GONE or self._lost:
            if kind != "websocket.close":
                raise ClientDisconnected("The client has left the WebSocket.")
        elif self._phase is DENYING:
            self._send_denial(kind, message)
        else:
            self._answer_handshake(kind, message)

    def _answer_handshake(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._reject(403, [], b"")
        elif kind == "websocket.http.response.start":
            if not 200 <= message["status"] < 600:
                raise RuntimeError(f"Invalid status of the answer to a WebSocket handshake: {message['status']}")
            headers = [pair for pair in _raw_headers(message) if pair[0] not in _FRAMING]
            self._denial = message["status"], headers, bytearray()
            self._phase = DENYING
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or 'websocket.http.response.start', "
                f"but got {kind!r}."
            )

    def _accept(self, message: Message) -> None:
        headers = [*self._agreed, *_raw_headers(message)]
        if message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
            check_headers(headers)
        self._write_response(101, headers, b"")
        self._log("[accepted]")
        self._phase = OPEN
        self._pings.start()
        self._read_on()

    def _send_denial(self, kind: str, message: Message) -> None:
        if kind != "websocket.http.response.body":
            raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body', but got {kind!r}.")
        status, headers, body = self._denial
        body += message.get("body", b"")
        if not message.get("more_body", False):
            self._reject(status, headers, bytes(body))

    def _send_open(self, kind: str, message: Message) -> None:
        if kind == "websocket.send":
            if message.get("bytes") is not None:
                self._frames.send_binary(message["bytes"])
            elif message.get("text") is not None:
                self._frames.send_text(message["text"].encode())
            self._write_frames(self._frames.data_to_send())
        elif kind == "websocket.close":
            code, reason = message.get("code") or 1000, message.get("reason") or ""
            self._send_close(code, reason)
            self._say_goodbye(code, reason=reason)
            self._phase = CLOSED
            self._end_within(CLOSE_TIMEOUT)
            self._read_on()
        else:
            raise RuntimeError(f"Expected ASGI message 'websocket.send' or 'websocket.close', but got {kind!r}.")

    # --- answers in HTTP ----------------------------------------------------------------------------------------------

    def _reject(self, status: int, headers: RawHeaders, content: bytes) -> None:
        """The application refuses the handshake."""
        self._log(str(status))
        self._answer_last(status, headers, content)
        self._phase = CLOSED

    def _answer_last(self, status: int, headers: RawHeaders, content: bytes) -> None:
        if not any(name == b"content-type" for name, _ in headers):
            headers = [_TEXT_TYPE, *headers]
        self._write_response(status, headers, content)
        self._say_goodbye(1006)
        self._hang_up()

    def _write_response(self, status: int, headers: RawHeaders, content: bytes) -> None:
        settings = self._hub.settings
        self._write(last_response(status, [*(settings.headers or ()), *headers], content, settings.write_flags))

    def _log(self, outcome: str) -> None:
        logger.info('%s - "WebSocket %s" %s', format_client(self._scope["client"]), self._target, outcome)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self._deaf:
            self._unread += data
            self._read_on()

    def _read_on(self) -> None:
        """Read what is there, unless the application has enough to do; the client waits as long as it has."""
        if self._phase in (CONNECTING, DENYING):  # it should wait for our answer (RFC 6455, section 4.1)
            self._pause_reading(len(self._unread) > HIGH_WATER)
            return
        taken = 0
        while taken < len(self._unread) and not self._deaf and not self._is_full():
            self._frames.receive_data(self._unread[taken : taken + self._step])
            taken += self._step
            self._take_frames()
        self._unread = b"" if self._deaf else self._unread[taken:]
        self._pause_reading(self._is_full())
        if self._lost and not self._unread:
            self._gone(1005)

    def _is_full(self) -> bool:
        return self._phase is OPEN and (len(self._inbox) >= self._limit or self._waiting > HIGH_WATER)

    def _pause_reading(self, pause: bool) -> None:
        if pause != self._read_paused and not self._lost:
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _take_frames(self) -> None:
        for frame in self._frames.events_received():
            if isinstance(frame, Frame):
                self._take(frame)
        answers = self._frames.data_to_send()
        if SEND_EOF in answers:  # both have closed, or the client has broken the protocol
            self._write_frames(answers)
            self._end()
        elif self._writable.is_set():
            self._write_frames(answers)
        else:  # RFC 6455, section 5.5.3: the most recent ping is to be answered
            self._pong = answers[-1:] or self._pong

    def _take(self, frame: "Frame") -> None:
        if frame.opcode is Opcode.PONG:
            self._pings.answered(bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            self._part += frame.data
            if frame.fin:
                part, self._part = self._part, bytearray()
                self._deliver(part)
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._deliver(frame.data)
            else:
                self._part += frame.data

    def _deliver(self, data: Any) -> None:
        if self._phase is not OPEN:
            return  # nobody is going to read it
        if self._is_text:
            try:
                message: Message = {"type": "websocket.receive", "text": str(data, "utf-8")}
            except UnicodeDecodeError as exc:
                self._frames.fail(1007, f"{exc.reason} at position {exc.start}")
                self._phase = GONE
                return
        else:
            message = {"type": "websocket.receive", "bytes": bytes(data)}
        self._inbox.append(message)
        self._waiting += len(data)
        self._wake()

    # --- what goes out ------------------------------------------------------------------------------------------------

    def _write_frames(self, parts: Iterable[bytes]) -> None:
        self._write(b"".join(parts))

    def _write(self, data: bytes) -> None:
        if data and not self._lost:
            self._transport.write(data)

    def pause_writing(self) -> None:
        """The client is slow to read: `send` waits."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()
        pong, self._pong = self._pong, []
        if self._phase is OPEN:
            self._write_frames(pong)

    def _ping(self, payload: bytes) -> None:
        self._frames.send_ping(payload)
        self._write_frames(self._frames.data_to_send())

    def _no_pong(self) -> None:
        """The client has not answered a ping in time."""
        if self._read_paused:  # it may have; we have not looked
            self._pings.wait_on()
            return
        self._frames.fail(1011, "keepalive ping timeout")
        self._write_frames(self._frames.data_to_send())
        self._gone(1005)
        self._hang_up()

    # --- the end ------------------------------------------------------------------------------------------------------

    def _send_close(self, code: int, reason: str = "") -> None:
        self._frames.send_close(code, reason)
        self._write_frames(self._frames.data_to_send())
        self._pings.stop()

    def _say_goodbye(self, code: int, **reason: str) -> None:
        """Let `receive` end with this disconnect; the first one counts."""
        if self._goodbye is None:
            self._goodbye = {"type": "websocket.disconnect", "code": code, **reason}
            self._wake()

    def _gone(self, code: int, **reason: str) -> None:
        """It was not the application that has ended the connection."""
        self._say_goodbye(code, **reason)
        if self._phase is not CLOSED:
            self._phase = GONE

    def _end(self) -> None:
        """There is nothing more to be read: both sides have closed, or the client has broken the protocol."""
        sent = self._frames.close_sent
        assert sent is not None
        self._gone(sent.code, reason=sent.reason)
        if self._frames.close_rcvd is None:
            self._hang_up()
            return
        self._deaf = True
        self._pings.stop()
        self._end_within(LINGER)
        self._transport.close()

    def _hang_up(self) -> None:
        """Say no more, and close when the client does: data that nobody reads would reset the connection, and with it
        our last words."""
        self._deaf = True
        self._unread = b""
        self._pings.stop()
        if self._lost:
            return
        self._pause_reading(False)
        self._end_within(LINGER)
        if self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def _end_within(self, seconds: float) -> None:
        """Abort the connection in a while; later if the client still reads what we have sent."""
        if self._lost:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._unsent = self._transport.get_write_buffer_size()
        self._timer = self._hub.loop.call_later(seconds, self._late, seconds)

    def _late(self, seconds: float) -> None:
        if self._transport.get_write_buffer_size() < self._unsent:
            self._end_within(seconds)
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        self._lost = True
        self._pings.stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._phase in (CONNECTING, DENYING):
            self._gone(1006)
        elif not self._unread:
            self._gone(1005)
        self._writable.set()
        self._leave_hub()

    def _leave_hub(self) -> None:
        if self._lost and self._ended:
            self._hub.websockets.discard(self)

    def drain(self) -> None:
        """The server stops."""
        if self._phase in (CONNECTING, DENYING):
            self._answer_last(503, [], b"Service Unavailable")
            self._phase = GONE
        elif self._phase is OPEN and not self._lost:
            self._send_close(1012)
            self._gone(1012)
            self._end_within(LINGER)
            self._read_on()
        else:
            self._end_within(LINGER)

    def abort(self) -> None:
        """Close at once. The application has been cancelled."""
        if not self._lost:
            self._transport.abort()


class Pings:
    """Sends pings at intervals, each after the pong to the last one; calls `missing` when a pong does not come in time.

    Without an `interval` (0) nothing is sent; without a `timeout` (0) pongs are not waited for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval: float,
        timeout: float,
        send: Callable[[bytes], None],
        missing: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self._send = send
        self._missing = missing
        self._payload = b""
        self._due = 0.0  # when the next one is to be sent
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        if self._interval:
            self._due = self._loop.time() + self._interval
            self._timer = self._loop.call_at(self._due, self._ping)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wait_on(self) -> None:
        """Wait once more for the pong that is missing."""
        self._timer = self._loop.call_later(self._timeout, self._missing)

    def answered(self, payload: bytes) -> None:
        """A pong has come; one that answers another ping than the last says nothing."""
        if self._timeout and self._timer is not None and payload == self._payload:
            self._payload = b""
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._ping)

    def _ping(self) -> None:
        self._payload = random.randbytes(4)
        self._due = self._loop.time() + self._interval
        if self._timeout:
            self.wait_on()
        else:
            self._timer = self._loop.call_at(self._due, self._ping)
        self._send(self._payload)
