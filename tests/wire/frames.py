"""WebSocket frames (RFC 6455, section 5.2) as bytes, good and bad ones, without the library that the server uses."""

import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for that key: both stand in section 1.3
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")

MASK = b"\x37\xfa\x21\x3d"


class Frame(NamedTuple):
    """A frame as received."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0

    @property
    def close_code(self) -> int:
        """The code of a close frame, 1005 for one without (section 7.1.5)."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


def frame(opcode: int, payload: bytes = b"", fin: bool = True, mask: bytes | None = MASK, reserved: int = 0) -> bytes:
    """One frame, masked as a client has to; `reserved` are the three bits behind FIN."""
    size = len(payload)
    first = fin << 7 | reserved << 4 | opcode
    masked = 0 if mask is None else 0x80
    if size < 126:
        head = bytes((first, masked | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def close(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def parse_frames(data: bytes) -> list[Frame]:
    """The whole frames in `data`, which a server has sent: none may be masked."""
    found = []
    while len(data) >= 2:
        size, at = data[1], 2
        assert size < 128, "a server must not mask"
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        if len(data) < at + size:
            break
        found.append(Frame(data[0] & 15, data[at : at + size], bool(data[0] & 128), data[0] >> 4 & 7))
        data = data[at + size :]
    return found
