"""The server's side of a WebSocket (RFC 6455), on top of the ASGI messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from enum import Enum
from typing import Any, NoReturn

from turboapi._speedups import Channel, as_message, channel_of
from turboapi.exceptions import WebSocketDisconnect
from turboapi.requests import HTTPConnection, StateT
from turboapi.responses import Response
from turboapi.types import Message, Receive, Scope, Send

__all__ = [
    "WebSocket",
    "WebSocketClose",
    "WebSocketDisconnect",
    "WebSocketDisconnected",
    "WebSocketState",
]


class WebSocketState(Enum):
    """How far one side of the connection has come; `RESPONSE` means it is answered with HTTP instead of accepted."""

    CONNECTING = 0
    CONNECTED = 1
    DISCONNECTED = 2
    RESPONSE = 3

    __hash__ = object.__hash__  # each message looks its state up, and the hash of Enum is a function in Python


# On Python 3.11 each look at a member through its class is a slow one.
_CONNECTING, _CONNECTED, _DISCONNECTED, _RESPONSE = WebSocketState


class WebSocketDisconnected(RuntimeError):
    """The WebSocket was used before it was accepted or after it was closed."""


# What the application may send, by its state: the message type and the state it leads to.
_SEND_TRANSITIONS: dict[WebSocketState, dict[str, WebSocketState]] = {
    _CONNECTING: {
        "websocket.accept": _CONNECTED,
        "websocket.close": _DISCONNECTED,
        "websocket.http.response.start": _RESPONSE,
    },
    _CONNECTED: {
        "websocket.send": _CONNECTED,
        "websocket.close": _DISCONNECTED,
    },
    _RESPONSE: {"websocket.http.response.body": _RESPONSE},
}

# The same for what the server may deliver, by the state of the client.
_RECEIVE_TRANSITIONS: dict[WebSocketState, dict[str, WebSocketState]] = {
    _CONNECTING: {"websocket.connect": _CONNECTED},
    _CONNECTED: {
        "websocket.receive": _CONNECTED,
        "websocket.disconnect": _DISCONNECTED,
    },
}


def _raise_unexpected(expected: Iterable[str], message_type: str) -> NoReturn:
    *most, last = (f'"{name}"' for name in expected)
    choice = f"{', '.join(most)} or {last}" if most else last
    raise RuntimeError(f"Expected ASGI message {choice}, but got {message_type!r}")


def _check_mode(mode: str) -> None:
    if mode not in ("text", "binary"):
        raise RuntimeError('The "mode" argument should be "text" or "binary".')


class WebSocket(HTTPConnection[StateT]):
    """A WebSocket connection: `accept()` it, then send and receive, then `close()` it.

    `client_state` and `application_state` say how far either side has come. Messages out of order raise `RuntimeError`
    (`WebSocketDisconnected` when the connection is not open); once the other side is gone, sending and the typed
    `receive_*` methods raise `WebSocketDisconnect`.
    """

    client_state = _CONNECTING
    application_state = _CONNECTING
    # To which messages go without ASGI's in between: that of our own server, while both sides are connected.
    _channel: Channel | None = None
    _native: Channel | None = None  # the same, whether they are connected or not

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope)
        assert scope["type"] == "websocket"
        self._receive = receive
        self._send = send
        if all(getattr(type(self), name) is step for name, step in _STEPS.items()):
            self._native = channel_of(receive, send)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "client_state" or name == "application_state":
            is_open = self.application_state is _CONNECTED and self.client_state is _CONNECTED
            super().__setattr__("_channel", self._native if is_open else None)
        elif name in _REPLACEABLE:
            super().__setattr__("_native", None)
            super().__setattr__("_channel", None)

    async def receive(self) -> Message:
        """Return the next ASGI message from the client."""
        state = self.client_state
        if state not in _RECEIVE_TRANSITIONS:
            raise WebSocketDisconnected('Cannot call "receive" once a disconnect message has been received.')
        return self._check(await self._receive(), state)

    def _check(self, message: Message, state: WebSocketState) -> Message:
        """Return a message that was waited for in `state`."""
        transitions = _RECEIVE_TRANSITIONS[state]
        if message["type"] not in transitions:
            _raise_unexpected(transitions, message["type"])
        following = transitions[message["type"]]
        if following is not state:  # another task may have seen the disconnect meanwhile
            self.client_state = following
        return message

    async def send(self, message: Message) -> None:
        """Send one ASGI message to the client."""
        state = self.application_state
        transitions = _SEND_TRANSITIONS.get(state)
        if transitions is None:
            raise WebSocketDisconnected('Cannot call "send" once a close message has been sent.')
        if message["type"] not in transitions:
            _raise_unexpected(transitions, message["type"])
        self.application_state = transitions[message["type"]]
        if state is _RESPONSE and not message.get("more_body", False):
            self.application_state = _DISCONNECTED
        try:
            await self._send(message)
        except OSError as exc:
            if state is not _CONNECTED:
                raise
            self.application_state = _DISCONNECTED
            raise WebSocketDisconnect(code=1006) from exc

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Complete the handshake, with the chosen `subprotocol` and extra response `headers`."""
        if self.client_state == _CONNECTING:
            await self.receive()
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers or []})

    def _require_accepted(self) -> None:
        if self.application_state is not _CONNECTED:
            raise WebSocketDisconnected('WebSocket is not connected. Need to call "accept" first.')

    def _raise_on_disconnect(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))

    def _opened(self, content: Any) -> Message:
        """Return the message in which a channel's content would have come; raise if that is the disconnect."""
        message = self._check(as_message(content), _CONNECTED)
        self._raise_on_disconnect(message)
        return message

    async def _receive_message(self) -> Message:
        """Return the next message of an accepted connection; raise if it is the disconnect."""
        self._require_accepted()
        message = await self.receive()
        self._raise_on_disconnect(message)
        return message

    async def receive_text(self) -> str:
        """Return the next text message."""
        if self._channel is None:
            message = await self._receive_message()
        else:
            content = await self._channel.content()
            if type(content) is str:
                return content
            message = self._opened(content)
        text: str = message["text"]
        return text

    async def receive_bytes(self) -> bytes:
        """Return the next binary message."""
        if self._channel is None:
            message = await self._receive_message()
        else:
            content = await self._channel.content()
            if type(content) is bytes:
                return content
            message = self._opened(content)
        data: bytes = message["bytes"]
        return data

    async def receive_json(self, mode: str = "text") -> Any:
        """Return the next message parsed as JSON; `mode` says whether it is a `text` or a `binary` one."""
        _check_mode(mode)
        if self._channel is None:
            message = await self._receive_message()
        else:
            message = self._opened(await self._channel.content())
        return json.loads(message["text"] if mode == "text" else message["bytes"].decode("utf-8"))

    async def iter_text(self) -> AsyncIterator[str]:
        """Yield text messages until the client disconnects."""
        try:
            while True:
                yield await self.receive_text()
        except WebSocketDisconnect:
            pass

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield binary messages until the client disconnects."""
        try:
            while True:
                yield await self.receive_bytes()
        except WebSocketDisconnect:
            pass

    async def iter_json(self) -> AsyncIterator[Any]:
        """Yield text messages parsed as JSON until the client disconnects."""
        try:
            while True:
                yield await self.receive_json()
        except WebSocketDisconnect:
            pass

    async def send_text(self, data: str) -> None:
        """Send a text message."""
        if self._channel is None or not self._channel.post_text(data):
            await self.send({"type": "websocket.send", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        if self._channel is None or not self._channel.post_bytes(data):
            await self.send({"type": "websocket.send", "bytes": data})

    async def send_json(self, data: Any, mode: str = "text") -> None:
        """Send `data` as compact JSON, in a `text` or a `binary` message."""
        _check_mode(mode)
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        if mode == "text":
            if self._channel is None or not self._channel.post_text(text):
                await self.send({"type": "websocket.send", "text": text})
        else:
            await self.send({"type": "websocket.send", "bytes": text.encode("utf-8")})

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection; before `accept()` this rejects the handshake with 403."""
        await self.send({"type": "websocket.close", "code": code, "reason": reason or ""})

    async def send_denial_response(self, response: Response) -> None:
        """Reject the handshake with `response`. Raises `RuntimeError` when the server cannot do that."""
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            raise RuntimeError("The server doesn't support the Websocket Denial Response extension.")
        await response(self.scope, self.receive, self.send)


# What may be overridden, or replaced in an object, so that every message has to pass it.
_STEPS = {name: vars(WebSocket)[name] for name in ("receive", "send", "_raise_on_disconnect")}
_REPLACEABLE = frozenset({*_STEPS, "_receive", "_send"})


class WebSocketClose:
    """An ASGI application that closes the WebSocket at once."""

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        self.code = code
        self.reason = reason or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": self.code, "reason": self.reason})
