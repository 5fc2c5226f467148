"""Files on their way out: whatever may have to wait for the disk is done in worker threads, never on the event loop."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import anyio.to_thread

SendFile = Callable[[int, int, int], Awaitable[int]]
"""(file descriptor, offset, size) -> how many of these bytes have been sent; fewer when it cannot send more."""

_PIECE = 1024 * 1024  # bytes sent before others have their turn on the event loop
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_byte = bytearray(1)


def read_part(path: str | os.PathLike[str], start: int, end: int) -> bytes:
    """Return the bytes of a file from `start` to `end`, fewer if it ends before."""
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(end - start)


async def send_cached(send_file: SendFile, file: int, start: int, end: int) -> int:
    """Send the bytes of a file from `start` to `end` by `send_file`, and return the offset up to which it did.

    sendfile(2) waits for the disk where the page cache lacks a page, and nobody else is served meanwhile. So a thread
    first loads what is not there.
    """
    while start < end:
        size = min(_PIECE, end - start)
        if _is_cached(file, start, size):
            await asyncio.sleep(0)
        else:
            await anyio.to_thread.run_sync(_load, file, start, size)
        sent = await send_file(file, start, size)
        start += sent
        if sent < size:
            break
    return start


def _is_cached(file: int, start: int, size: int) -> bool:
    """Whether the first and the last byte of a part, hence most likely all of it, are in the page cache.

    False where the system cannot tell: it knows on Linux, for most file systems on disks (`preadv2(2)`, RWF_NOWAIT).
    """
    if _NOWAIT is None:
        return False
    try:
        return all(os.preadv(file, (_byte,), offset, _NOWAIT) == 1 for offset in (start, start + size - 1))
    except OSError:
        return False


def _load(file: int, start: int, size: int) -> None:
    """Read a part of a file into the page cache."""
    os.pread(file, size, start)
