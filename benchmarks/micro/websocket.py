"""CPU µs per echoed WebSocket message: TurboAPI's server beside FastAPI on uvicorn with each of its implementations.

`python -m benchmarks.micro.websocket [--seconds S] [--size BYTES] [--sockets N] [server ...]`

The same endpoint, `send_text(await receive_text())`, runs on each server in turn, pinned to core 0. The client has
core 1: each of its sockets sends its next message when it has the echo of the last, without compression. What is
counted is the CPU time of the server's process.
"""

import argparse
import os
import select
import socket
import struct
import subprocess
import sys
import time
from typing import Any

import fastapi

import turboapi

HOST = "127.0.0.1"
MODULE = "benchmarks.micro.websocket"
QUIET = ("--no-access-log", "--log-level", "warning")
UVICORN = (sys.executable, "-m", "uvicorn", f"{MODULE}:theirs", *QUIET)
SERVERS = {
    "turboapi": (sys.executable, "-m", "turboapi", "run", f"{MODULE}:ours", *QUIET),
    "uvicorn websockets": (*UVICORN, "--ws", "websockets"),
    "uvicorn websockets-sansio": (*UVICORN, "--ws", "websockets-sansio"),
    "uvicorn wsproto": (*UVICORN, "--ws", "wsproto"),
}
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CPUCLOCK_SCHED = 2


def build(framework: Any, websocket: Any) -> Any:
    """The application of one of both frameworks."""
    app = framework()

    async def echo(socket: Any) -> None:
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    echo.__annotations__["socket"] = websocket
    app.add_api_websocket_route("/echo", echo)
    return app


ours = build(turboapi.TurboAPI, turboapi.WebSocket)
theirs = build(fastapi.FastAPI, fastapi.WebSocket)


def head(size: int, mask_bit: int) -> bytes:
    """The head of a text frame, without masking key (RFC 6455, section 5.2)."""
    if size < 126:
        return bytes((0x81, mask_bit | size))
    return struct.pack("!BBH", 0x81, mask_bit | 126, size)


class Client:
    """Open WebSockets, all of which echo one message."""

    def __init__(self, port: int, count: int, size: int) -> None:
        mask = b"\x37\xfa\x21\x3d"
        payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        self.sent = head(size, 0x80) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.echo = head(size, 0) + payload
        self.epoll = select.epoll()
        self.sockets = {}
        for _ in range(count):
            sock = socket.create_connection((HOST, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(HANDSHAKE)
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101 "), answer
            self.epoll.register(sock, select.EPOLLIN)
            self.sockets[sock.fileno()] = sock
            sock.sendall(self.sent)

    def run(self, seconds: float) -> int:
        """Exchange messages; return how many."""
        done = 0
        pending = dict.fromkeys(self.sockets, b"")
        wait, size = self.epoll.poll, len(self.echo)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number, _ in wait(1.0):
                data = pending[number] + self.sockets[number].recv(65536)
                if len(data) < size:
                    pending[number] = data
                    continue
                assert data == self.echo, data
                pending[number] = b""
                self.sockets[number].send(self.sent)
                done += 1
        return done


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (the clock of clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def measure(command: tuple[str, ...], count: int, size: int, seconds: float) -> tuple[float, float]:
    """Messages per second of CPU, and per second, of the server that `command` starts."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(["taskset", "-c", "0", *command, "--port", str(port)]) as server:
        try:
            for _ in range(200):
                try:
                    socket.create_connection((HOST, port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            client = Client(port, count, size)
            client.run(seconds / 4)
            before = cpu_seconds(server.pid)
            done = client.run(seconds)
            return done / (cpu_seconds(server.pid) - before), done / seconds
        finally:
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--sockets", type=int, default=64)
    parser.add_argument("servers", nargs="*", default=list(SERVERS), metavar="server")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    first = 0.0
    for name in options.servers:
        per_cpu, rate = measure(SERVERS[name], options.sockets, options.size, options.seconds)
        first = first or per_cpu
        cost = f"{1e6 / per_cpu:7.2f} µs {per_cpu:10,.0f} per CPU second {rate:10,.0f}/s"
        print(f"{name:26} {cost}  1 : {first / per_cpu:.2f}")


if __name__ == "__main__":
    main()
