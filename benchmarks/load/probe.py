"""A few requests of our own around each measurement: is the answer right, and is every connection served?"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any

from .rows import Row
from .servers import HOST

TIMEOUT = 5.0


class WrongAnswer(Exception):
    """A server answered a row with another status or other JSON than the row declares."""


def request_bytes(row: Row) -> bytes:
    """Return `row`'s request as it goes over the wire."""
    body = row.body.encode()
    headers = (("Host", HOST), *row.headers, *([("Content-Length", str(len(body)))] if body else []))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{row.method} {row.path} HTTP/1.1\r\n{head}\r\n".encode() + body


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, json.loads(response.read())


def check_answer(row: Row, server: str, port: int) -> None:
    """Send `row` once; raise `WrongAnswer` unless status and JSON are those that it declares."""
    with connect(port) as connection:
        connection.sendall(request_bytes(row))
        answer = read_answer(connection)
    if answer != (row.status, row.answer):
        raise WrongAnswer(f"{server}, row {row.name}: expected {(row.status, row.answer)}, got {answer}")


def count_served(row: Row, port: int, connections: int) -> int:
    """Open `connections` at once, send `row` on all, twice; return how many answered both times."""
    with ExitStack() as stack:
        alive = [stack.enter_context(connect(port)) for _ in range(connections)]
        for _ in range(2):
            for connection in alive:
                connection.sendall(request_bytes(row))
            alive = [connection for connection in alive if answers(connection)]
        return len(alive)


def answers(connection: socket.socket) -> bool:
    try:
        read_answer(connection)
    except (OSError, HTTPException):
        return False
    return True


def send_sequentially(row: Row, port: int, count: int) -> None:
    """Send `row` exactly `count` times over one connection, each after the answer to the one before."""
    request = request_bytes(row)
    with connect(port) as connection:
        for _ in range(count):
            connection.sendall(request)
            read_answer(connection)


@contextmanager
def connect(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), timeout=TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection
