"""Does a server hold out? `turboapi run --workers 2` under everything at once, for minutes, and what grows meanwhile.

`python -m tests.soak [--minutes 10] [--workers 2] [--clients 24]`

Good requests, pipelines, forms and files, streams, WebSockets, clients that leave at any time: the rows of
`benchmarks.micro.soak`. Besides, the malformed requests of `tests.wire.corpus`, large uploads and downloads, and
clients that stall. Every few seconds a line is printed for each worker. The load stops for a moment after a quarter of
the time and at the end: fails when a worker has grown by more than `BOUNDS` between these two moments, was replaced, or
has logged an error, and when a client has got a wrong answer, or none.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import mmap
import random
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.micro.soak import ROWS, Row, converse, read
from tests.running import Running
from tests.soak.app import DOWNLOAD_SIZE
from tests.wire.corpus import REQUESTS
from tests.wire.harness import request

ROOT = Path(__file__).parents[2]
STALL = 2  # seconds after which the server gives a client up
PATIENCE = 60.0  # seconds; a client that waits for longer counts as an error
SAMPLES = 20  # in the whole time
MESSAGES = 50  # in a row, on a connection that is kept
UPLOAD = request("POST /sink HTTP/1.1", "Content-Length: 5000000")
DOWNLOAD = request("GET /download HTTP/1.1", "Connection: close")
STALLED = {
    "nothing": b"",
    "in a head": request("GET /hello HTTP/1.1")[:-2],
    "in a body": UPLOAD + bytes(100),
    "behind an answer": request("GET /hello HTTP/1.1"),
}


class Sample(NamedTuple):
    """A worker at one moment."""

    resident: int  # KiB
    descriptors: int
    threads: int
    tasks: int


# By how much a worker at rest may have grown since a quarter of the time. Allocators and caches need a while.
BOUNDS = Sample(resident=16 * 1024, descriptors=2, threads=2, tasks=0)

Scene = Callable[["Address"], Awaitable[None]]
Address = tuple[str, int]


@contextlib.asynccontextmanager
async def connected(address: Address):
    """A connection to the server."""
    with socket.socket() as ours:
        ours.setblocking(False)
        await asyncio.get_running_loop().sock_connect(ours, address)
        yield ours


async def read_to_end(ours: socket.socket) -> bytes:
    parts = []
    while part := await asyncio.get_running_loop().sock_recv(ours, 65536):
        parts.append(part)
    return b"".join(parts)


def play(row: Row) -> Scene:
    """A row of `benchmarks.micro.soak`."""

    async def scene(address: Address) -> None:
        async with connected(address) as ours:
            await converse(ours, row, max(1, round(MESSAGES * row.share)) if row.kept else 1)

    return scene


async def malformed(address: Address) -> None:
    """A message of the corpus, and the end of what the client says; answered, and the connection closed."""
    async with connected(address) as ours:
        with contextlib.suppress(ConnectionError):  # refused meanwhile
            await asyncio.get_running_loop().sock_sendall(ours, random.choice(REQUESTS).data)
            ours.shutdown(socket.SHUT_WR)
            answer = await read_to_end(ours)
            assert not answer or re.match(rb"HTTP/1\.1 (2..|4..|501|505) ", answer), answer[:100]


async def upload(address: Address) -> None:
    """Five megabytes in pieces, with pauses."""
    async with connected(address) as ours:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, UPLOAD)
        for _ in range(50):
            await loop.sock_sendall(ours, bytes(100_000))
            await asyncio.sleep(0.001)
        assert (await read(ours, 12)).endswith(b" 200")


async def download(address: Address) -> None:
    """Twenty megabytes, read slowly; half of the clients leave on the way."""
    async with connected(address) as ours:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, DOWNLOAD)
        end, size = random.choice((DOWNLOAD_SIZE // 2, DOWNLOAD_SIZE)), 0
        while size < end:
            part = await loop.sock_recv(ours, 200_000)
            assert part, f"the server has left after {size} bytes"
            size += len(part)
            await asyncio.sleep(0.001)


async def stalled(address: Address) -> None:
    """A client that says no more, until the server gives it up."""
    name = random.choice(list(STALLED))
    async with connected(address) as ours:
        await asyncio.get_running_loop().sock_sendall(ours, STALLED[name])
        answer = await read_to_end(ours)
        status = {"nothing": b"", "behind an answer": b" 200"}.get(name, b" 408")
        assert answer[8:12] == status, (name, answer[:100])


SCENES: dict[str, tuple[Scene, float]] = {
    **{name: (play(row), 1.0) for name, row in ROWS.items() if row.app == "plain"},
    "malformed": (malformed, 20.0),
    "upload, large": (upload, 0.5),
    "download, large": (download, 0.5),
    "stalled": (stalled, 2.0),
}


class Soak:
    """A server under load."""

    def __init__(self, server: Running, address: Address, workers: int) -> None:
        self.server, self.address, self.workers = server, address, workers
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.busy = asyncio.Event()  # cleared: no new scene begins
        self.playing = 0

    async def client(self) -> None:
        """Play one scene after the other."""
        names, weights = list(SCENES), [weight for _, weight in SCENES.values()]
        while True:
            await self.busy.wait()
            [name] = random.choices(names, weights)
            self.playing += 1
            try:
                async with asyncio.timeout(PATIENCE):
                    await SCENES[name][0](self.address)
                self.done[name] += 1
            except (AssertionError, OSError) as exc:  # TimeoutError is an OSError
                self.errors.append(f"{name}: {exc!r}"[:500])
            finally:
                self.playing -= 1

    async def rest(self) -> dict[int, Sample]:
        """Let everybody come to an end, and look at the workers when they are at rest."""
        self.busy.clear()
        while self.playing:
            await asyncio.sleep(0.1)
        await asyncio.sleep(STALL + 3)  # what is left by those who have gone
        return await self.look("at rest")

    async def look(self, when: str) -> dict[int, Sample]:
        """Print and return a sample of each worker."""
        found = await asyncio.to_thread(self._samples)
        for pid, sample in found.items():
            figures = f"{sample.resident:8} {sample.descriptors:11} {sample.threads:7} {sample.tasks:5}"
            print(f"{when:>8} {pid:7} {figures} {self.done.total():8} {len(self.errors):6}", flush=True)
        return found

    def _samples(self) -> dict[int, Sample]:
        found: dict[int, Sample] = {}
        until = time.monotonic() + PATIENCE
        while len(found) < self.workers and time.monotonic() < until:
            state = self._ask_for_state()
            found[state["pid"]] = sample(state["pid"], state["tasks"])
        return dict(sorted(found.items()))

    def _ask_for_state(self) -> dict[str, int]:
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=PATIENCE)) as connection:
            connection.request("GET", "/state")
            return json.loads(connection.getresponse().read())


def sample(pid: int, tasks: int) -> Sample:
    """Look at a process (proc(5))."""
    folder = Path("/proc", str(pid))
    resident = int((folder / "statm").read_text().split()[1]) * mmap.PAGESIZE // 1024
    return Sample(resident, len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir())), tasks)


async def soak(server: Running, address: Address, workers: int, clients: int, seconds: float) -> list[str]:
    """Put a server under load for so long; what was wrong about it."""
    here = Soak(server, address, workers)
    tasks = [asyncio.create_task(here.client()) for _ in range(clients)]
    print(f"{'time':>8} {'worker':>7} {'RSS KiB':>8} descriptors threads tasks   scenes errors")
    began = time.monotonic()
    before: dict[int, Sample] = {}
    for number in range(1, SAMPLES + 1):
        here.busy.set()
        await asyncio.sleep(seconds / SAMPLES)
        await here.look(f"{time.monotonic() - began:.0f} s")
        if number == SAMPLES // 4:
            before = await here.rest()
    after = await here.rest()
    for task in tasks:
        task.cancel()
    return [*here.errors, *growth(before, after), *missing(here.done), *unexpected(server)]


def growth(before: dict[int, Sample], after: dict[int, Sample]) -> list[str]:
    """What is beyond `BOUNDS`."""
    if before.keys() != after.keys():
        return [f"workers {list(before)} have become {list(after)}"]
    return [
        f"worker {pid}: {name} from {old} to {new}"
        for pid in before
        for name, old, new, bound in zip(Sample._fields, before[pid], after[pid], BOUNDS, strict=True)
        if new - old > bound
    ]


def missing(done: Counter[str]) -> list[str]:
    return [f"nothing has ended well: {name}" for name in SCENES if not done[name]]


def unexpected(server: Running) -> list[str]:
    """Errors in the log, but for those that the application makes on purpose."""
    lines = (*server.out, *server.err)
    return [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b(?!: as planned)|.*CRITICAL", line)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (10)")
    parser.add_argument("--workers", type=int, default=2, help="processes that serve (2)")
    parser.add_argument("--clients", type=int, default=24, help="connections at a time (24)")
    options = parser.parse_args()
    timeouts = [f"--timeout-{name}={STALL}" for name in ("header", "body", "keep-alive")]
    server = Running(
        "tests.soak.app:app", f"--workers={options.workers}", "--no-access-log", "--log-level=info", *timeouts, cwd=ROOT
    )
    try:
        port = int(server.wait_for(server.err, r"running on http://\S+:(\d+) ")[1])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            wrong = runner.run(
                soak(server, ("127.0.0.1", port), options.workers, options.clients, options.minutes * 60)
            )
    finally:
        server.signal(signal.SIGTERM)
        code = server.ended()
    if code:
        wrong.append(f"the server has ended with {code}")
    print(f"{len(wrong)} wrong", *wrong[:50], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
