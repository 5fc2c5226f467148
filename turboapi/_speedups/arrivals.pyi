"""Waiting for what a connection reads; for other extensions by `cimport`."""

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

class Arrivals:
    """Those who wait for the next message, or the next part of a body."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...

class Arrival:
    """What one who waits awaits: a future without a result, which may wake its Task at once.

    Made for an ASGI `receive` alone, and seen by the Task that runs it.
    """

    _asyncio_future_blocking: bool

    def __await__(self) -> Iterator[Arrival]: ...
    def __iter__(self) -> Iterator[Arrival]: ...
    def __next__(self) -> Arrival: ...
    def get_loop(self) -> asyncio.AbstractEventLoop: ...
    def add_done_callback(self, callback: Callable[[Arrival], Any], *, context: Context) -> None:
        """Set whom to call; there is only one. The loop calls it if it is done already."""

    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def result(self) -> None:
        """Raises CancelledError, or InvalidStateError before it is done."""

    def exception(self) -> None: ...
    def cancel(self, msg: Any = None) -> bool: ...
