"""Waiting for what a connection reads; for other extensions by `cimport`."""

import asyncio
from collections.abc import Iterator
from typing import Any

from turboapi._speedups.stepping import Signal

class Arrivals:
    """Those who wait for the next message, or the next part of a body."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

class Arrival(Signal):
    """What one who waits awaits. Made for a `receive` alone, and seen by the Task that runs it."""

    def __await__(self) -> Iterator[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __next__(self) -> Any: ...
