"""Clients for what wrk does not do, each run as a process of its own: `python -m benchmarks.load.client KIND …`.

    bulk ROW PORT SECONDS         one connection, a row with a large body again and again
    websocket ROW PORT SECONDS    64 sockets, each sends a message when it has the echo of the last one
    pace ROW PORT SECONDS         one connection, a row every few milliseconds

Each prints what it has seen as a `Load` in JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from .probe import ECHO, FRAME, connect, is_right, request_body, request_head, upgrade_bytes
from .rows import HOST, ROWS, Row

SOCKETS = 64
PAUSE = 0.005


@dataclass(frozen=True)
class Load:
    """What one run of a client saw. `requests` are answers or messages that came back, `errors` wrong ones."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def summarise(latencies: list[float], seconds: float, errors: int) -> Load:
    """Return the load of a client that measured each latency in seconds."""
    ordered = sorted(latencies)
    return Load(
        requests=len(ordered),
        seconds=seconds,
        p50_us=ordered[len(ordered) // 2] * 1e6,
        p99_us=ordered[len(ordered) * 99 // 100] * 1e6,
        errors=errors,
    )


def repeat(row: Row, port: int, seconds: float, pause: float) -> Load:
    """Send a row over one connection until the time is up, at least once."""
    head, body = request_head(row), request_body(row)
    latencies: list[float] = []
    errors = 0
    with connect(port) as connection:
        start = now = time.perf_counter()
        while not latencies or now - start < seconds:
            connection.sendall(head)
            connection.sendall(body)
            errors += not is_right(connection, row)
            latencies.append(time.perf_counter() - now)
            time.sleep(pause)
            now = time.perf_counter()
    return summarise(latencies, now - start, errors)


def bulk(row: Row, port: int, seconds: float) -> Load:
    return repeat(row, port, seconds, 0)


def pace(row: Row, port: int, seconds: float) -> Load:
    return repeat(row, port, seconds, PAUSE)


class EchoClient(asyncio.Protocol):
    """One WebSocket: the handshake, then messages, each sent when the echo of the one before is there."""

    def __init__(self, row: Row, ended: asyncio.Event) -> None:
        self.row = row
        self.ended = ended
        self.latencies: list[float] = []
        self.errors = 0
        self.is_open = False
        self.received = b""
        self.sent_at = 0.0

    def connection_made(self, transport: Any) -> None:  # uvloop's are no subclasses of asyncio.Transport
        self.transport = transport
        transport.write(upgrade_bytes(self.row))

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.is_open:
            head, end, self.received = self.received.partition(b"\r\n\r\n")
            if not end:
                self.received = head
                return
            self.is_open = True
            self.errors += not head.startswith(b"HTTP/1.1 101 ")
            self.send()
        elif len(self.received) >= len(ECHO):
            self.errors += self.received != ECHO
            self.received = b""
            self.latencies.append(time.perf_counter() - self.sent_at)
            if not self.ended.is_set():
                self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(FRAME)

    def connection_lost(self, exc: Exception | None) -> None:
        self.errors += not self.ended.is_set()


def websocket(row: Row, port: int, seconds: float) -> Load:
    async def run() -> Load:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        start = time.perf_counter()
        clients = [
            (await loop.create_connection(lambda: EchoClient(row, ended), HOST, port))[1] for _ in range(SOCKETS)
        ]
        await asyncio.sleep(seconds)
        ended.set()
        latencies = [latency for client in clients for latency in client.latencies]
        load = summarise(latencies or [seconds], time.perf_counter() - start, sum(c.errors for c in clients))
        for client in clients:
            client.transport.abort()
        return load

    return uvloop.run(run())


CLIENTS: dict[str, Callable[[Row, int, float], Load]] = {"bulk": bulk, "websocket": websocket, "pace": pace}


def main(kind: str, row: str, port: str, seconds: str) -> None:
    print(json.dumps(asdict(CLIENTS[kind](ROWS[row], int(port), float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
