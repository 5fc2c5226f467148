"""Frames of WebSockets (RFC 6455, section 5): those of a client as bytes come in, and those of a server as bytes."""

from collections.abc import Callable

_Inflate = Callable[[int, bytes | bytearray, bool, bool, int], bytes]
"""(opcode, payload, fin, compressed, room) -> the content of a data frame, which is to be of `room` bytes at most."""

class BrokenFrame(Exception):
    """A frame that ends the connection, with the close code (RFC 6455, section 7.4.1) and reason to tell the client."""

    def __init__(self, code: int, reason: str) -> None: ...
    @property
    def code(self) -> int: ...
    @property
    def reason(self) -> str: ...

class FrameReader:
    """Reads what one client sends: masked frames, of which messages are put together.

    Text is UTF-8, or refused at the end of the first frame that shows that it is not. What it keeps of unfinished
    frames and messages is what has come, and never more than `max_size`.
    """

    def __init__(self, max_size: int, inflate: _Inflate | None = None) -> None:
        """`max_size` is that of a message in bytes. Without `inflate` no message may be compressed (RFC 7692)."""

    def feed(self, data: bytes) -> None:
        """Add bytes from the client."""

    def next(self) -> tuple[int, str | bytes] | None:
        """The next message (opcode 1 with a text, 2 with bytes) or control frame; None when more bytes are needed.

        Raises BrokenFrame for what RFC 6455 forbids (1002, 1007) and for a message of more than `max_size` (1009);
        nothing may be asked for after that. The payload of a close frame (section 5.5.1) is not looked at.
        """

    @property
    def max_size(self) -> int: ...
    @property
    def has_unread(self) -> bool:
        """Whether there are bytes behind what `next` has given last."""

    @property
    def held(self) -> int:
        """How many bytes of an unfinished frame and message it keeps."""

    def clear(self) -> None:
        """Forget all that has come. Nothing more is to be read."""

def frame(opcode: int, payload: str | bytes | bytearray | memoryview, compressed: bool = False) -> bytes:
    """A whole message, or a control frame, as a server sends it: in one frame, not masked."""
