"""Requests of every kind leave nothing behind: no reference, no memory, and no cycle where the code makes none.

What is sent stands in `benchmarks.micro.soak`, which does the same for as long as one likes.
"""

import asyncio
import gc
import logging
import mmap
import sys
from array import array
from collections.abc import Callable
from operator import sub
from typing import Any

import pytest
import uvloop

from benchmarks.micro.soak import ROWS, Client, Growth, Row, app_of, batch_size, grow
from turboapi import TurboAPI
from turboapi.responses import Response

BATCHES = 3
TRIES = 8  # caches fill, and threads come and go, at times: a leak grows each time
NOISE = 100  # blocks and objects; a leak leaves at least one for each message, and there are 150 of them
RESIDENT_NOISE = 1 << 20  # bytes

# anyio's task group keeps the error of a task that it has cancelled in a frame of that error's traceback.
MAKE_CYCLES = {"left in a response", "left in a file"}


@pytest.fixture(autouse=True)
def silence() -> Any:
    """Without the log, as records with tracebacks are kept by pytest."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def growths(app: Any, row: Row) -> list[Growth]:
    """The growth in each try, up to the first in which there is as good as none."""

    async def measure() -> list[Growth]:
        client, found = Client(app), []
        for _ in range(TRIES):
            found.append(await grow(client, row, BATCHES * batch_size(row)))
            if not leaks(found[-1]):
                break
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure())


def leaks(growth: Growth) -> bool:
    return max(growth.blocks, growth.objects.total()) > NOISE or growth.resident > RESIDENT_NOISE


@pytest.mark.parametrize("name", ROWS)
def test_nothing_is_left_behind(name: str) -> None:
    found = growths(app_of(ROWS[name].app), ROWS[name])
    assert not leaks(found[-1]), found
    if name not in MAKE_CYCLES:
        assert found[-1].garbage == 0, found


def one_route(endpoint: Callable[[], Any]) -> TurboAPI:
    app = TurboAPI()
    app.get("/hello")(endpoint)
    return app


def test_kept_objects_are_seen() -> None:
    kept: list[object] = []

    async def endpoint() -> None:
        kept.append([])

    found = growths(one_route(endpoint), ROWS["hello"])
    assert len(found) == TRIES and all(growth.objects["builtins.list"] > NOISE for growth in found), found


def test_kept_memory_is_seen() -> None:
    kept: list[mmap.mmap] = []

    async def endpoint() -> None:
        kept.append(mmap.mmap(-1, mmap.PAGESIZE * 2))  # nothing for Python's allocator, nor for its collector
        kept[-1].write(b"x" * mmap.PAGESIZE * 2)

    found = growths(one_route(endpoint), ROWS["hello"])
    for each in kept:
        each.close()
    assert len(found) == TRIES and found[-1].resident > RESIDENT_NOISE, found


def test_cycles_are_seen() -> None:
    async def endpoint() -> Response:
        cycle: list[Any] = []
        cycle.append(cycle)
        return Response(b"")

    found = growths(one_route(endpoint), ROWS["hello"])
    assert found[-1].garbage == BATCHES * batch_size(ROWS["hello"]), found


def rises(app: Any, row: Row) -> list[tuple[Any, int]]:
    """Those objects to which there are more references after a batch: one too many keeps a count up, and no memory."""

    async def measure() -> list[tuple[Any, int]]:
        client, size = Client(app), batch_size(row)
        await client.run(row, size)
        gc.collect()
        kept = [None, *gc.get_objects()]
        before = array("q", map(sys.getrefcount, kept))
        await client.run(row, size)
        gc.collect()
        after = array("q", map(sys.getrefcount, kept))
        return [(each, rise) for each, rise in zip(kept, map(sub, after, before), strict=True) if rise > size // 2]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure())


@pytest.mark.parametrize(
    "name", ["hello", "json", "deps", "not_found", "session", "middleware", "connections", "websocket"]
)
def test_no_reference_is_forgotten(name: str) -> None:
    found = rises(app_of(ROWS[name].app), ROWS[name])
    # Cython 3.3 forgets one to the type of each of its coroutines, types that are there for good.
    assert [pair for pair in found if "<class '_cython_" not in repr(pair[0])] == []


def test_forgotten_references_are_seen() -> None:
    kept: list[Any] = []

    class Existing:
        pass

    async def endpoint() -> None:
        kept.append(Existing)

    assert Existing in [each for each, _ in rises(one_route(endpoint), ROWS["hello"])]
