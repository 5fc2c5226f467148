"""What is counted: requests given to the protocol as bytes, answers taken by a transport that does nothing.

`python -m benchmarks.instructions.replay [ROW …]` runs under callgrind, told to write its counts, and to begin anew,
whenever `getloadavg` is called: so a count is what one row takes, without the start-up of the interpreter.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from benchmarks.micro.middleware import REQUEST as MIDDLEWARE_REQUEST
from benchmarks.micro.middleware import STACKS, make_app
from benchmarks.micro.protocol import REQUESTS, Transport, make_routes
from turboapi import TurboAPI
from turboapi._speedups import Hub, Settings

WARM_UP = 300  # requests before the count begins: caches fill, the interpreter specialises its code
COUNTED = 700


def rows() -> dict[str, tuple[bytes, Callable[[], TurboAPI]]]:
    """Return what is sent, and to which application, for each row."""
    found: dict[str, tuple[bytes, Callable[[], TurboAPI]]] = {
        name: (message, make_routes) for name, message in REQUESTS.items()
    }
    for name, stack in STACKS.items():
        found[f"middleware: {name}"] = (MIDDLEWARE_REQUEST, lambda stack=stack: make_app(stack))  # type: ignore[misc]
    return found


def replay(loop: Any, message: bytes, app: TurboAPI) -> None:
    """Send a message again and again, and count the later times."""
    protocol: Any = Hub(loop, app.freeze(), Settings(), {}).protocol()
    transport = Transport()
    protocol.connection_made(transport)
    for _ in range(WARM_UP):
        protocol.data_received(message)
    assert transport.last.startswith(b"HTTP/1.1 ") and transport.last[9:12] != b"500", transport.last
    gc.collect()
    gc.disable()  # when it runs, and over how much, depends on everything that was there before
    os.getloadavg()
    for _ in range(COUNTED):
        protocol.data_received(message)
    os.getloadavg()
    gc.enable()


def main() -> None:
    names = sys.argv[1:]
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)

    def run() -> None:  # as a transport calls a protocol: in the loop, in no task
        try:
            for name, (message, make) in rows().items():
                if not names or name in names:
                    replay(loop, message, make())
            done.append(True)
        finally:
            loop.stop()

    done: list[bool] = []
    loop.call_soon(run)
    loop.run_forever()
    loop.close()
    if not done:
        sys.exit("A row failed.")


if __name__ == "__main__":
    main()
