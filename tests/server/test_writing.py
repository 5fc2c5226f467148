"""What is sent past the transport: all of it arrives, in order, whatever the socket takes at once."""

import socket
import time

import pytest

from tests.wire.harness import parse_answers, request
from turboapi import TurboAPI
from turboapi.responses import Response, StreamingResponse

PATIENCE = 20.0
SIZE = 3_000_000


def body(number: int) -> bytes:
    return b"%08d" % number * (SIZE // 8)


@pytest.fixture
def app() -> TurboAPI:
    app = TurboAPI()

    @app.get("/whole/{number}")
    async def whole(number: int):
        return Response(body(number))

    @app.get("/parts/{number}")
    async def parts(number: int):
        def chunks():
            content = body(number)
            for start in range(0, SIZE, 100_000):
                yield content[start : start + 100_000]

        return StreamingResponse(chunks(), headers={"content-length": str(SIZE)})

    @app.get("/small/{number}")
    async def small(number: int):
        return number

    return app


@pytest.mark.parametrize(
    "paths",
    [
        ["/whole/1", "/small/2", "/whole/3", "/small/4"],
        ["/parts/1", "/small/2", "/parts/3"],
        ["/small/1", "/parts/2", "/whole/3", "/small/4"],
    ],
    ids="-".join,
)
def test_a_slow_client_gets_everything_in_order(serve, app, paths):
    with serve(app) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect((served.host, served.port))
        for path in paths[:-1]:
            client.sendall(request(f"GET {path} HTTP/1.1"))
        client.sendall(request(f"GET {paths[-1]} HTTP/1.1", "Connection: close"))
        time.sleep(0.2)  # the server fills what buffers there are
        received = bytearray()
        while data := client.recv(65536):
            received += data
    answers = parse_answers(bytes(received))
    assert [answer.status for answer in answers] == [200] * len(paths)
    for path, answer in zip(paths, answers, strict=True):
        kind, number = path.strip("/").split("/")
        assert answer.body == (number.encode() if kind == "small" else body(int(number))), path


def test_a_client_that_has_gone_does_no_harm(serve, app):
    with serve(app) as served:
        for _ in range(20):
            with socket.create_connection((served.host, served.port), timeout=PATIENCE) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
                client.sendall(request("GET /parts/1 HTTP/1.1") * 3)
        with socket.create_connection((served.host, served.port), timeout=PATIENCE) as client:
            client.sendall(request("GET /small/7 HTTP/1.1", "Connection: close"))
            received = b"".join(iter(lambda: client.recv(65536), b""))
    assert [answer.body for answer in parse_answers(received)] == [b"7"]
