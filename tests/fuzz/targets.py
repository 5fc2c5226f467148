"""What is fuzzed, and with which inputs it begins. What a run finds is added here, beside a test of its own."""

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz.connection import check_connection
from tests.fuzz.differential import (
    check_cookies,
    check_form,
    check_frames,
    check_query,
    check_request,
    check_router,
)
from tests.wire import corpus
from tests.wire.frames import BINARY, CONTINUATION, PING, TEXT, UPGRADE, close, frame
from tests.wire.harness import chunked, request


class Target(NamedTuple):
    """A function that raises for bytes that show a mistake, and the bytes to begin with.

    Attributes:
        words: pieces of the format, which mutations put in.
        further: more of the same kind, of which the suite has tests already.
    """

    check: Callable[[bytes], None]
    seeds: list[bytes]
    words: list[bytes]
    further: list[bytes] = []


JSON = "Content-Type: application/json"
URLENCODED = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=edge"
PARTS = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: text/plain\r\n\r\nabc\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="data"\r\n\r\nxyz\r\n--edge--\r\n'
)
HANDSHAKE = request("GET / HTTP/1.1", *UPGRADE)
FRAMES = [
    frame(TEXT, b"hello") + frame(BINARY, bytes(130)),
    frame(TEXT, b"h\xc3", fin=False) + frame(PING, b"in between") + frame(CONTINUATION, b"\xa9"),
    frame(PING) + close(1000, b"bye"),
]


def with_body(line: str, body: bytes, *headers: str) -> bytes:
    return request(line, f"Content-Length: {len(body)}", *headers, body=body)


MESSAGES = [
    request("GET /items/5?q=a%20b&skip=1 HTTP/1.1"),
    request("GET /floats/1.5/a/b%2Fc?x HTTP/1.1", "Cookie: a=1; b=2", "Accept: */*"),
    request("GET /given?flags=no HTTP/1.1", "X-Token: t", 'Cookie: a="\\054"', "Connection: keep-alive"),
    request("GET http://test:80/good#there HTTP/1.1"),
    request("HEAD /stream HTTP/1.1") + request("GET /stream HTTP/1.0", "Connection: keep-alive"),
    request("OPTIONS * HTTP/1.1") + request("DELETE /good HTTP/1.1", "Connection: close"),
    request("GET /refused HTTP/1.1") * 3 + request("GET /borrowed HTTP/1.1"),
    with_body("POST /items HTTP/1.1", b'{"name": "a", "price": 2.5, "tags": ["x"]}', JSON),
    request("POST /items HTTP/1.1", JSON, "Transfer-Encoding: chunked", body=chunked(b'{"name":', b' "b"}')),
    with_body("POST /form HTTP/1.1", b"name=a+b&age=%35", URLENCODED),
    with_body("POST /upload HTTP/1.1", PARTS, MULTIPART) + request("GET /good HTTP/1.1"),
    with_body("PUT /raw HTTP/1.1", b"hello", "Expect: 100-continue"),
    request("PUT /raw HTTP/1.1", corpus.CHUNKED, body=chunked(b"hello", trailer=b"X-Sum: 1\r\n")),
    request("GET /good HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c") + request("GET /good HTTP/1.1"),
    *(HANDSHAKE + each for each in FRAMES),
]

TARGETS = {
    "connection": Target(
        check_connection,
        MESSAGES,
        [
            *(
                b"\r\n",
                b"\n",
                b"\r",
                b"\0",
                b": ",
                b" ",
                b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
                b"HTTP/1.0",
                b"HEAD ",
            ),
            *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"0\r\n\r\n"),
            *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", b"5\r\nhello\r\n"),
            *(
                b"Host: test\r\n",
                b"\x81\x80\0\0\0\0",
                b"\x89\x80\0\0\0\0",
                b"\x88\x80\0\0\0\0",
                b"http://test/",
                b";a=b",
            ),
        ],
        # Every seventh case, so that each family is there, and a minute is enough to get beyond them.
        further=[
            *(case.data for case in (*corpus.REQUESTS[::7], *corpus.HANDSHAKES[::7]) if len(case.data) < 2000),
            *(HANDSHAKE + case.data for case in corpus.FRAMES[::7] if len(case.data) < 2000),
        ],
    ),
    "frames": Target(
        check_frames,
        FRAMES,
        [
            b"\x81\x85",
            b"\x01\x80",
            b"\x80\xfe\0\x80",
            b"\x89\xff\0\0\0\0\0\0\0\x01",
            b"\x88\x82",
            b"\0\0\0\0",
            b"\x03\xe8",
        ],
        further=[case.data for case in corpus.FRAMES if len(case.data) < 2000],
    ),
    "query": Target(
        check_query,
        [b"a=1&b=two+words&c=%C3%A9", b"&&=&a;b=%zz%4&a=\xe9%ff%F0%9F%98%80", b"x" * 300 + b"%41=%20"],
        [b"%C3", b"%a9", b"%00", b"%", b"+", b"&", b"=", b"\xff"],
    ),
    "cookies": Target(
        check_cookies,
        [b'a=1; b="x\\054\\"y"', b' a = b=c ; ; lonely;=\x85z\xa0\r\na="\\400\\08\\'],
        [b";", b"=", b'"', b"\\", b"\\054", b"\\377", b"\\400", b"\r\n", b"\x1c", b"\xa0"],
    ),
    "router": Target(
        check_router,
        [b"/", b"/a/b", b"/5", b"/a/1.5", b"/a/?/b", b"/a/5/x", b"/b/c/x/d", b"/x/y/?", b"/me/5/me\n", b"/a/mounted/x"],
        [b"/", b"/a", b"/b", b"/c", b"/me", b"?", b"5", b"1.5", b".b", b"\n", b"\xc3\xa9", b"mounted", b"9" * 20],
    ),
    "request": Target(
        check_request,
        [
            b"/text/a%20b?q=%C3%A9&many=1&many=2\na=b; c=d\ntag",
            b"/numbers/12/1.5?x=+5&y=1e3&z=on",
            b"/5/true?limit=100&day=2024-02-29T12:00:00Z",
            b'/item\n\n\n{"name": "a", "price": 1.5}',
            b'/parts?x\n\n\n{"a": 1, "b": {"k": 2.5}, "item": {"x": 1}}',
        ],
        [
            b"%20",
            b"%",
            b"&",
            b"=",
            b"\n",
            b"null",
            b"true",
            b"1e400",
            b"NaN",
            b'"\\ud800"',
            b"[[",
            b"{",
            b"}",
            b"-0",
            b"_",
        ],
    ),
    "form": Target(
        check_form,
        [
            b"multipart/form-data; boundary=edge\n"
            b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\n5\r\n--edge--\r\n",
            b"multipart/form-data; boundary=edge\n" + PARTS.replace(b'"file"', b'"f"').replace(b'"data"', b'"a"'),
            b"application/x-www-form-urlencoded\na=5&b=x+y&b=%C3%A9",
        ],
        [
            b"--edge",
            b"--edge--",
            b"\r\n",
            b"; filename=",
            b"; name=b",
            b"charset=utf-16",
            b'"',
            b"\\",
            b"%",
            b"&",
            b"=",
            b"a",
        ],
    ),
}
