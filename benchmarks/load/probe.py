"""A few requests of our own around each measurement: is the answer right, and is every connection served?"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any

from .payloads import PAYLOADS, blob
from .rows import HOST, Blob, Row

TIMEOUT = 30.0
READ_SIZE = 1024 * 1024
WEBSOCKET_KEY = base64.b64encode(bytes(16)).decode()
MASK = bytes(4)  # of zeros: servers unmask with it as with any other
MESSAGE = b"m" * 64
FRAME = bytes((0x82, 0x80 | len(MESSAGE))) + MASK + MESSAGE
ECHO = bytes((0x82, len(MESSAGE))) + MESSAGE


class WrongAnswer(Exception):
    """A server answered a row with another status or other JSON than the row declares."""


def request_body(row: Row) -> bytes:
    return PAYLOADS[row.payload]() if row.payload else row.body.encode()


def request_head(row: Row) -> bytes:
    """Return the head of `row`'s request as it goes over the wire."""
    length = len(request_body(row))
    headers = (("Host", HOST), *row.headers, *([("Content-Length", str(length))] if length else []))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{row.method} {row.path} HTTP/1.1\r\n{head}\r\n".encode()


def request_bytes(row: Row) -> bytes:
    """Return `row`'s request as it goes over the wire."""
    return request_head(row) + request_body(row)


def upgrade_bytes(row: Row) -> bytes:
    """Return the request that opens a WebSocket."""
    upgrade = (
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}"
    )
    return f"GET {row.path} HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}\r\n\r\n".encode()


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, json.loads(response.read())


def is_right(connection: socket.socket, row: Row) -> bool:
    """Read an answer; of a blob look at its size only."""
    if not isinstance(row.answer, Blob):
        return read_answer(connection) == (row.status, row.answer)
    buffer, size = bytearray(READ_SIZE), 0
    with HTTPResponse(connection) as response:
        response.begin()
        while count := response.readinto(buffer):
            size += count
        return (response.status, size) == (row.status, row.answer.size)


def check_answer(row: Row, server: str, port: int) -> None:
    """Send `row` once; raise `WrongAnswer` unless status and JSON are those that it declares."""
    with connect(port) as connection:
        connection.sendall(request_bytes(row))
        answer = read_answer(connection)
    if answer != (row.status, row.answer):
        raise WrongAnswer(f"{server}, row {row.name}: expected {shown((row.status, row.answer))}, got {shown(answer)}")


def shown(answer: tuple[int, Any]) -> str:
    return f"{answer!s:.500}"


def check_blob(row: Row, server: str, port: int) -> None:
    """Send `row` once; raise `WrongAnswer` unless the answer is the blob."""
    with connect(port) as connection:
        connection.sendall(request_bytes(row))
        with HTTPResponse(connection) as response:
            response.begin()
            digest = hashlib.sha256(response.read()).digest()
    if response.status != row.status or digest != hashlib.sha256(blob()).digest():
        raise WrongAnswer(f"{server}, row {row.name}: status {response.status}, or other bytes than those of the file")


def check_echo(row: Row, server: str, port: int) -> None:
    """Open a WebSocket and raise `WrongAnswer` unless a message comes back."""
    with connect(port) as connection:
        connection.sendall(upgrade_bytes(row))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += receive(connection, 1)
        connection.sendall(FRAME)
        echo = receive(connection, len(ECHO))
    if not head.startswith(b"HTTP/1.1 101 ") or echo != ECHO:
        raise WrongAnswer(f"{server}, row {row.name}: got {head!r} and {echo!r}")


def receive(connection: socket.socket, size: int) -> bytes:
    """Return exactly so many bytes; raise ConnectionError if the server sends fewer."""
    data = connection.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise ConnectionError("the server has closed the connection")
    return data


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
