"""µs per request through the whole compiled pipeline, without a socket: bytes into the protocol, bytes to a transport.

`python -m benchmarks.micro.protocol [requests]`
"""

import asyncio
import sys
import time
from typing import Any

import uvloop

from benchmarks.load.apps import Framework, add_dependency_routes, add_item_routes, add_plain_routes, add_security_route
from turboapi import TurboAPI
from turboapi._speedups import Hub, Settings

HOST = b"Host: localhost\r\n"
BODY = b'{"name":"widget","price":9.5,"in_stock":true,"tags":["a","b"]}'
BROWSER_HEADERS = (
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n"
    b"Cookie: theme=dark; session=abc\r\nSec-Fetch-Mode: navigate\r\nPriority: u=0, i\r\n"
)
REQUESTS = {
    "hello": b"GET /hello HTTP/1.1\r\n" + HOST + b"\r\n",
    "path": b"GET /items/42?q=abc HTTP/1.1\r\n" + HOST + b"\r\n",
    "json": b"POST /items HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY,
    "not found": b"GET /missing HTTP/1.1\r\n" + HOST + b"\r\n",
    "validation error": b"GET /items/word HTTP/1.1\r\n" + HOST + b"\r\n",
    "deps": b"GET /me HTTP/1.1\r\n" + HOST + b"X-Token: secret\r\n\r\n",
    "security": b"GET /account HTTP/1.1\r\n" + HOST + b"Authorization: Bearer secret\r\n\r\n",
    "browser headers": b"GET /hello HTTP/1.1\r\n" + HOST + BROWSER_HEADERS + b"\r\n",
    "16 pipelined hellos": (b"GET /hello HTTP/1.1\r\n" + HOST + b"\r\n") * 16,
}


def make_routes() -> TurboAPI:
    """Return the load benchmark's application, without its thousand routes."""
    framework = Framework("turboapi", "TurboAPI")
    app: TurboAPI = framework.app()
    add_plain_routes(app)
    add_item_routes(app, framework)
    add_dependency_routes(app, framework)
    add_security_route(app, framework)
    return app


class Transport:
    """Takes everything and keeps the last write."""

    last = b""

    def write(self, data: bytes) -> None:
        self.last = data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None


def time_of(message: bytes, hub: Hub, count: int) -> float:
    """Feed a message `count` times, and return the µs that one request in it takes."""
    protocol: Any = hub.protocol()
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(message)
    assert transport.last.startswith((b"HTTP/1.1 200", b"HTTP/1.1 4")), transport.last
    began = time.process_time()
    for _ in range(count):
        protocol.data_received(message)
    return (time.process_time() - began) / count / message.count(b" HTTP/1.1\r\n") * 1e6


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    hub = Hub(loop, make_routes().freeze(), Settings(), {})

    def run() -> None:  # as a transport calls a protocol: in the loop, in no task
        for name, message in REQUESTS.items():
            print(f"{name:20} {time_of(message, hub, count):6.2f} µs")
        loop.stop()

    loop.call_soon(run)
    loop.run_forever()
    loop.close()


if __name__ == "__main__":
    main()
