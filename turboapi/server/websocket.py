"""WebSockets (RFC 6455): a connection from its handshake to its end, as the hub's connections hand it over.

The compiled `Channel` reads and writes frames, and passes messages on while the connection is open. The library
`websockets` answers the handshake and compresses, without any I/O of its own. Here are the handshake's checks, the
other messages of ASGI, pings, and the ways in which a connection ends:

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
from collections.abc import Callable
from typing import Any

from turboapi._speedups import BrokenFrame, Channel, FrameReader, HttpExchange, Hub, frame, printable
from turboapi._speedups.headers import check_headers
from turboapi._speedups.writer import last_response
from turboapi.server.config import ServerConfig
from turboapi.server.logging import format_client
from turboapi.types import ASGIApp, Message
from turboapi.websockets import WebSocketDisconnect

try:
    from websockets.datastructures import Headers
    from websockets.exceptions import PayloadTooBig, ProtocolError
    from websockets.extensions import Extension
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.frames import Close, CloseCode, Frame, Opcode
    from websockets.http11 import Request
    from websockets.protocol import State
    from websockets.server import ServerProtocol
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True

logger = logging.getLogger("turboapi.error")

CLOSE_TIMEOUT = 10.0  # seconds a client has to answer the application's close
LINGER = 2.0  # seconds it has to leave in all other cases

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
            protocol = ServerProtocol(state=State.OPEN, extensions=self._extensions)
            answer = protocol.accept(_request(handshake))
            if answer.status_code == 101:
                headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.raw_items()]
                agreed = [pair for pair in headers if pair[0] != b"date"]
                return WebSocketConnection(self, hub, handshake, transport, agreed, protocol.extensions), None
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


class Compression:
    """The messages of a connection, packed and unpacked by the extension that both sides have agreed on."""

    def __init__(self, extension: "Extension") -> None:
        self._extension = extension

    def pack(self, opcode: int, data: str | bytes) -> bytes:
        """The payload of a compressed message."""
        content = data.encode() if isinstance(data, str) else data
        return bytes(self._extension.encode(Frame(Opcode(opcode), content)).data)

    def unpack(self, opcode: int, payload: bytes | bytearray, fin: bool, compressed: bool, room: int) -> bytes:
        """What is in the payload of a data frame; raises BrokenFrame if it can not be unpacked into `room` bytes."""
        try:
            # NOTE: zlib takes 0 for no limit.
            found = self._extension.decode(Frame(Opcode(opcode), payload, fin, compressed), max_size=max(room, 1)).data
        except PayloadTooBig as exc:
            raise BrokenFrame(CloseCode.MESSAGE_TOO_BIG, str(exc)) from None
        except ProtocolError as exc:
            raise BrokenFrame(CloseCode.PROTOCOL_ERROR, str(exc)) from None
        if len(found) > room:
            raise BrokenFrame(CloseCode.MESSAGE_TOO_BIG, f"more than {room} bytes when unpacked")
        return bytes(found)


class WebSocketConnection(Channel, asyncio.Protocol):
    """One WebSocket: the protocol of its transport, and receive and send of its application."""

    def __init__(
        self,
        server: WebSockets,
        hub: Hub,
        handshake: HttpExchange,
        transport: Any,
        agreed: RawHeaders,
        extensions: "list[Extension]",
    ) -> None:
        config = server.config
        inflate, deflate = None, None
        if extensions:
            compression = Compression(extensions[0])
            inflate, deflate = compression.unpack, compression.pack
        reader = FrameReader(config.ws_max_size, inflate)
        super().__init__(hub.loop, transport, reader, config.ws_max_queue, deflate)
        self._app = server.app
        self._hub = hub
        self._agreed = agreed
        self._scope = _scope(handshake)
        self._target = printable(handshake.target_bytes.decode("latin-1"))
        self._enter(CONNECTING)
        self._ended = False  # the application has returned
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._pings = Pings(hub.loop, config.ws_ping_interval, config.ws_ping_timeout, self._ping, self._no_pong)
        self._close_sent: Close | None = None
        self._pong = b""  # the newest, while the client is slow to read
        self._denial: tuple[int, RawHeaders, bytearray] = (0, [], bytearray())
        self.inbox.append({"type": "websocket.connect"})

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self.is_early = phase in (CONNECTING, DENYING)  # the client should wait for our answer (RFC 6455, section 4.1)
        self.is_open = phase is OPEN

    # --- the application ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The application, from the handshake to its end. Raises nothing but cancellation."""
        try:
            result = await self._app(self._scope, self.receive, self.send)  # type: ignore[func-returns-value]
        except Exception as exc:
            # That the client has gone is no news.
            if self.goodbye is None or not isinstance(exc, ClientDisconnected | WebSocketDisconnect):
                logger.error("Exception in ASGI application", exc_info=exc)
        else:
            if self.is_early:
                logger.error("The ASGI application has returned without answering the WebSocket handshake.")
            elif result is not None:
                logger.error("The ASGI application should return None, not %r.", result)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._ended = True
        if self.is_early:
            self._answer_last(500, [], b"Internal Server Error")
            self._enter(GONE)
        elif self.is_open:
            self._gone(1006)
            self._hang_up()
        self._leave_hub()

    def send_other(self, message: Message) -> None:
        """Send what is no message of an open connection.

        Raises OSError when the client has gone, RuntimeError for a message out of order, ValueError and TypeError for
        bad headers; websockets.exceptions.ProtocolError for a bad close code or reason.
        """
        kind = message["type"]
        if self.is_open and not self.is_lost:
            self._close(kind, message)
        elif self._phase is CLOSED:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}: the application has closed the WebSocket.")
        elif self._phase is GONE or self.is_lost:
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
            self._enter(DENYING)
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
        self._enter(OPEN)
        self._pings.start()
        self.read_on()

    def _send_denial(self, kind: str, message: Message) -> None:
        if kind != "websocket.http.response.body":
            raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body', but got {kind!r}.")
        status, headers, body = self._denial
        body += message.get("body", b"")
        if not message.get("more_body", False):
            self._reject(status, headers, bytes(body))

    def _close(self, kind: str, message: Message) -> None:
        if kind != "websocket.close":
            raise RuntimeError(f"Expected ASGI message 'websocket.send' or 'websocket.close', but got {kind!r}.")
        code, reason = message.get("code") or 1000, message.get("reason") or ""
        self._send_close(code, reason)
        self._say_goodbye(code, reason=reason)
        self._enter(CLOSED)
        self._end_within(CLOSE_TIMEOUT)
        self.read_on()

    # --- answers in HTTP ----------------------------------------------------------------------------------------------

    def _reject(self, status: int, headers: RawHeaders, content: bytes) -> None:
        """The application refuses the handshake."""
        self._log(str(status))
        self._answer_last(status, headers, content)
        self._enter(CLOSED)

    def _answer_last(self, status: int, headers: RawHeaders, content: bytes) -> None:
        if not any(name == b"content-type" for name, _ in headers):
            headers = [_TEXT_TYPE, *headers]
        self._write_response(status, headers, content)
        self._say_goodbye(1006)
        self._hang_up()

    def _write_response(self, status: int, headers: RawHeaders, content: bytes) -> None:
        settings = self._hub.settings
        self.write(last_response(status, [*(settings.headers or ()), *headers], content, settings.write_flags))

    def _log(self, outcome: str) -> None:
        logger.info('%s - "WebSocket %s" %s', format_client(self._scope["client"]), self._target, outcome)

    # --- control frames -----------------------------------------------------------------------------------------------

    def control(self, opcode: int, payload: bytes) -> None:
        """A control frame has come (RFC 6455, section 5.5)."""
        if opcode == Opcode.PONG:
            self._pings.answered(payload)
        elif opcode == Opcode.CLOSE:
            self._take_close(payload)
        elif self.write_paused:  # the most recent ping is to be answered (section 5.5.3)
            self._pong = frame(Opcode.PONG, payload)
        else:
            self.write(frame(Opcode.PONG, payload))

    def _take_close(self, payload: bytes) -> None:
        try:
            received = Close.parse(payload)
        except ProtocolError as exc:
            self.fail(CloseCode.PROTOCOL_ERROR, str(exc))
        except UnicodeDecodeError as exc:
            self.fail(CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}")
        else:
            if self._close_sent is None:
                self._close_sent = received
                self.write(frame(Opcode.CLOSE, payload))
            self._gone(self._close_sent.code, reason=self._close_sent.reason)
            self.is_deaf = True
            self._pings.stop()
            self._end_within(LINGER)
            self.transport.close()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if self.is_open:
            self.write(pong)

    def _ping(self, payload: bytes) -> None:
        self.write(frame(Opcode.PING, payload))

    def _no_pong(self) -> None:
        """The client has not answered a ping in time."""
        if self.read_paused:  # it may have; we have not looked
            self._pings.wait_on()
            return
        self._send_close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
        self._gone(1005)
        self._hang_up()

    # --- the end ------------------------------------------------------------------------------------------------------

    def _send_close(self, code: int, reason: str = "") -> None:
        close = Close(code, reason)
        payload = close.serialize()
        Frame(Opcode.CLOSE, payload).check()
        self.write(frame(Opcode.CLOSE, payload))
        self._close_sent = close
        self._pings.stop()

    def _say_goodbye(self, code: int, **reason: str) -> None:
        """Let `receive` end with this disconnect; the first one counts."""
        if self.goodbye is None:
            self.goodbye = {"type": "websocket.disconnect", "code": code, **reason}
            self.wake()

    def _gone(self, code: int, **reason: str) -> None:
        """It was not the application that has ended the connection."""
        self._say_goodbye(code, **reason)
        if self._phase is not CLOSED:
            self._enter(GONE)

    def fail(self, code: int, reason: str) -> None:
        """The client has broken the protocol (RFC 6455, section 7.1.7)."""
        if self._close_sent is None:
            self._send_close(code, reason)
        self._gone(code, reason=reason)
        self._hang_up()

    def all_read(self) -> None:
        """The transport is closed, and nothing of what came before is left."""
        self._gone(1005)

    def _hang_up(self) -> None:
        """Say no more, and close when the client does: data that nobody reads would reset the connection, and with it
        our last words."""
        self.is_deaf = True
        self.reader.clear()
        self._pings.stop()
        if self.is_lost:
            return
        self.pause_reading(False)
        self._end_within(LINGER)
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()

    def _end_within(self, seconds: float) -> None:
        """Abort the connection in a while; later if the client still reads what we have sent."""
        if self.is_lost:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._unsent = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(seconds, self._late, seconds)

    def _late(self, seconds: float) -> None:
        if self.transport.get_write_buffer_size() < self._unsent:
            self._end_within(seconds)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        self.is_lost = True
        self._pings.stop()
        if self._timer is not None:
            self._timer.cancel()
        if self.is_early:
            self._gone(1006)
        elif not self.reader.has_unread:
            self._gone(1005)
        self.resume_writing()
        self._leave_hub()

    def _leave_hub(self) -> None:
        if self.is_lost and self._ended:
            self._hub.websockets.discard(self)
            self._pings.forget()

    def drain(self) -> None:
        """The server stops."""
        if self.is_early:
            self._answer_last(503, [], b"Service Unavailable")
            self._enter(GONE)
        elif self.is_open and not self.is_lost:
            self._send_close(CloseCode.SERVICE_RESTART)
            self._gone(1012)
            self._end_within(LINGER)
            self.read_on()
        else:
            self._end_within(LINGER)

    def abort(self) -> None:
        """Close at once. The application has been cancelled."""
        if not self.is_lost:
            self.transport.abort()


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

    def forget(self) -> None:
        """End for good, and let go of who is called: it has this object, which would be a cycle."""
        self.stop()
        del self._send, self._missing

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
