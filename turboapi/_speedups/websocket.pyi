"""The open WebSocket: frames that come in become ASGI messages, and those of the application become frames."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from turboapi._speedups.arrivals import Arrival
from turboapi._speedups.frames import FrameReader

_Message = MutableMapping[str, Any]
_Content = str | bytes | _Message

class Reception(Arrival):
    """What one who waits for a message awaits. Made by `Channel` alone, and seen by the Task that runs it."""

    def __await__(self) -> Iterator[Any]: ...

class Channel:
    """One WebSocket: the asyncio protocol of its transport, and ASGI's receive and send.

    What else there is to a connection is left to the class derived from it: `control` is called with opcode and payload
    of each control frame, `fail` with close code and reason for what the client must not send, `all_read` when the
    transport is closed and nothing of what came before is left, `send_other` with every message that is not content of
    an open connection.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: Any,
        reader: FrameReader,
        max_queue: int,
        deflate: Callable[[int, str | bytes], bytes] | None = None,
    ) -> None:
        """Reading is paused while `max_queue` messages or 64 KiB wait for the application.

        `deflate` makes the compressed payload of each message, from opcode and content.
        """

    is_early: bool
    """The handshake is not answered yet: nothing is read."""
    is_open: bool
    """It is accepted, and closed by neither side: messages are delivered and sent."""
    is_deaf: bool
    """What still comes is thrown away."""
    is_lost: bool
    """The transport is closed: nothing is written."""
    goodbye: _Message | None
    """What `receive` gives behind the inbox, from then on; who sets it calls `wake`."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def transport(self) -> Any: ...
    @property
    def reader(self) -> FrameReader: ...
    @property
    def inbox(self) -> list[_Content]: ...
    @property
    def read_paused(self) -> bool: ...
    @property
    def write_paused(self) -> bool: ...
    def data_received(self, data: bytes) -> None:
        """Bytes from the client. An application that waits for them goes on before this returns.

        Not to be called from within a task.
        """

    def read_on(self) -> None:
        """Read what is there, unless the application has enough to do; the client waits as long as it has."""

    def pause_reading(self, pause: bool) -> None:
        """Pause reading, or resume it."""

    def content(self) -> Awaitable[_Content]:
        """What to await for the next message: its text or bytes alone, or an ASGI message of another type."""

    async def receive(self) -> _Message:
        """ASGI `receive`: the next message; the last one, `websocket.disconnect`, again and again."""

    def wake(self) -> None:
        """Let those who wait in `receive` look again."""

    def post_text(self, content: Any) -> bool:
        """Send text at once; False if it is none, or that is not possible, and `send`'s to do."""

    def post_bytes(self, content: Any) -> bool:
        """The same of bytes."""

    async def send(self, message: _Message) -> None:
        """ASGI `send`. Waits while the client is slow to read.

        Raises TypeError for content that is neither text nor bytes, and for other messages what `send_other` raises.
        """

    def write(self, data: bytes) -> None:
        """Write bytes, as long as the transport is not closed."""

    def is_stuck(self, now: float, timeout: float) -> bool:
        """Whether the client has taken nothing for `timeout` seconds of what waits for it; asked at every sweep."""

    def pause_writing(self) -> None:
        """The client is slow to read: `send` waits."""

    def resume_writing(self) -> None:
        """The client has caught up."""

def as_message(content: _Content) -> _Message:
    """The ASGI message of what `Channel.content` gives."""

def channel_of(receive: Any, send: Any) -> Channel | None:
    """The channel whose ASGI `receive` and `send` these are; None if they are anything else."""
