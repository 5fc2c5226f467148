"""Requests of every kind leave nothing behind: no reference, no memory, and no cycle where the code makes none.

What is sent stands in `benchmarks.micro.soak`, which does the same for as long as one likes.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from benchmarks.micro.soak import ROWS, Client, Growth, Row, app_of, batch_size, grow
from turboapi import TurboAPI
from turboapi.responses import Response

BATCHES = 3
TRIES = 3  # caches fill, and threads come and go, at times: a leak grows each time
NOISE = 60  # blocks and objects; a leak leaves at least one for each message, and there are 150 of them
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
    counts = (growth.blocks, growth.objects.total(), growth.references)
    return max(counts) > NOISE or growth.resident > RESIDENT_NOISE


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
    kept: list[bytes] = []

    async def endpoint() -> None:
        kept.append(b"x" * 5000)  # too large for Python's allocator, nothing for its collector

    found = growths(one_route(endpoint), ROWS["hello"])
    assert len(found) == TRIES and found[-1].resident > RESIDENT_NOISE, found


def test_cycles_are_seen() -> None:
    async def endpoint() -> Response:
        cycle: list[Any] = []
        cycle.append(cycle)
        return Response(b"")

    found = growths(one_route(endpoint), ROWS["hello"])
    assert found[-1].garbage == BATCHES * batch_size(ROWS["hello"]), found


@pytest.mark.skipif(not hasattr(sys, "gettotalrefcount"), reason="needs a debug build of Python")
def test_kept_references_are_seen() -> None:
    kept: list[Any] = []

    async def endpoint() -> None:
        kept.append(None)

    found = growths(one_route(endpoint), ROWS["hello"])
    assert len(found) == TRIES and all(growth.references > NOISE for growth in found), found
