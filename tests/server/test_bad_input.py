"""Bad input over real sockets: a clear status, nothing leaked, and the server goes on.

Each request goes, as the same bytes, to TurboAPI on the built-in server, to FastAPI on uvicorn, and to TurboAPI in this
process; all have to answer the same. WebSocket frames that break RFC 6455 are in test_websockets.py, messages that
break RFC 9112 in tests/wire/test_refusals.py.
"""

import asyncio
import base64
import contextlib
import http.client
import re
import socket
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import itsdangerous
import pytest

from tests.compat.client import Request, ask_asgi
from tests.compat.framework import FASTAPI, TURBOAPI, Framework
from tests.conftest import PATIENCE, Served, _served, _served_by_uvicorn

SECRET = "what nobody may read"
SESSION_KEY = "the key of the sessions"
SIZE = 100_000  # of the file that is asked for ranges


class Answer(NamedTuple):
    """A response, without what two servers may do differently."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Sides(NamedTuple):
    """The same application of both frameworks, served, and the place of its files."""

    ours: Served
    theirs: Served
    app: Any
    tree: Path


def build(api: Framework, tree: Path) -> Any:
    """The application that is asked everything."""
    app = api.App()
    app.add_middleware(api.SessionMiddleware, secret_key=SESSION_KEY, max_age=3600)
    app.mount("/static", api.StaticFiles(directory=tree / "site"))
    app.mount("/linked", api.StaticFiles(directory=tree / "site", follow_symlink=True))
    app.mount("/pages", api.StaticFiles(directory=tree / "site", html=True))
    app.frontend("/frontend", directory=tree / "site")

    @app.get("/alive")
    async def alive():
        return "alive"

    @app.get("/file")
    async def file():
        return api.FileResponse(tree / "site" / "large.bin")

    @app.post("/upload")
    async def upload(file: api.UploadFile, text: str = api.Form("")):
        return [file.filename, file.size, text]

    @app.post("/form")
    async def form(request: api.Request):
        async with request.form() as found:
            return [[name, value if isinstance(value, str) else value.filename] for name, value in found.multi_items()]

    @app.get("/session")
    async def session(request: api.Request):
        return dict(request.session)

    @app.get("/cookies")
    async def cookies(request: api.Request, a: str = api.Cookie("")):
        return [len(a), len(request.cookies)]

    @app.get("/headers/parameter")
    async def header_of_parameter(value: str, response: api.Response):
        response.headers["x-value"] = value

    @app.get("/headers/response")
    def header_of_response(value: str):
        return api.JSONResponse("ok", headers={"x-value": value})

    @app.get("/headers/name")
    async def header_name(value: str):
        return api.PlainTextResponse("ok", headers={value: "1"})

    @app.get("/headers/exception")
    async def header_of_exception(value: str):
        raise api.HTTPException(401, headers={"x-value": value})

    @app.get("/headers/stream")
    async def header_of_stream(value: str):
        return api.StreamingResponse(iter(["ok"]), headers={"x-value": value})

    @app.get("/headers/file")
    async def header_of_file(value: str):
        return api.FileResponse(tree / "site" / "plain.txt", headers={"x-value": value})

    @app.get("/headers/cookie")
    async def cookie(value: str, response: api.Response):
        response.set_cookie("name", value)

    @app.get("/headers/cookie-path")
    async def cookie_path(value: str, response: api.Response):
        response.set_cookie("name", "value", path=value)

    @app.get("/headers/media-type")
    async def media_type(value: str):
        return api.Response("ok", media_type=value)

    @app.get("/headers/redirect")
    async def redirect(value: str):
        return api.RedirectResponse(value)

    @app.get("/headers/filename")
    async def filename(value: str):
        return api.FileResponse(tree / "site" / "plain.txt", filename=value)

    return app


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    tree = tmp_path_factory.mktemp("tree")
    site = tree / "site"
    (site / "sub").mkdir(parents=True)
    (tree / "site-secret").mkdir()
    for name in ("secret.txt", "site-secret/secret.txt"):
        (tree / name).write_text(SECRET)
    for name in ("plain.txt", "sub/page.html", "sub/index.html"):
        (site / name).write_text(name)
    (site / "large.bin").write_bytes(bytes(SIZE))
    (site / "file-link").symlink_to(tree / "secret.txt")
    (site / "folder-link").symlink_to(tree)
    (site / "loop-link").symlink_to(site / "loop-link")
    app = build(TURBOAPI, tree)
    with _served(app, timeout_keep_alive=PATIENCE) as ours, _served_by_uvicorn(build(FASTAPI, tree)) as theirs:
        yield Sides(ours, theirs, app, tree)


ALIVE = Request(target=b"/alive")
NOT_COMPARED = ("connection", "date", "server", "transfer-encoding")


def exchange(served: Served, message: bytes, goes_on: bool) -> Answer:
    """The answer to a message. A new connection is answered then, and with `goes_on` the same one if it is kept."""
    with socket.create_connection((served.host, served.port), PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):  # a server may refuse what it has not read
            connection.sendall(message)
        answer, kept = read_answer(connection, message.partition(b" ")[0].decode())
        if goes_on and kept:
            connection.sendall(ALIVE.wire)
            assert read_answer(connection)[0].status == 200
    assert_alive(served)
    return answer


def assert_alive(served: Served) -> None:
    with socket.create_connection((served.host, served.port), PATIENCE) as connection:
        connection.sendall(ALIVE.wire)
        assert read_answer(connection)[0].body == b'"alive"'


def read_answer(connection: socket.socket, method: str = "GET") -> tuple[Answer, bool]:
    """An answer, and whether the connection is kept."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    kept = not response.will_close
    return answer_of(response.status, response.getheaders(), response.read()), kept


def answer_of(status: int, headers: Any, body: bytes) -> Answer:
    """An answer as it can be compared: boundaries are drawn by lot."""
    pairs = sorted((name.lower(), value) for name, value in headers if name.lower() not in NOT_COMPARED)
    if boundary := re.search(r"byteranges; boundary=(\w+)", str(pairs)):
        body = body.replace(boundary[1].encode(), b"BOUNDARY")
        pairs = [(name, value.replace(boundary[1], "BOUNDARY")) for name, value in pairs]
    return Answer(status, pairs, body)


def ask_ours(sides: Sides, message: bytes, status: int) -> Answer:
    """The built-in server's answer, which has that status and tells nothing of the inside."""
    answer = exchange(sides.ours, message, goes_on=True)
    assert answer.status == status, answer
    seen = f"{answer.headers}{answer.body.decode('latin-1')}"
    for text in ("Traceback", 'File "', SECRET, str(sides.tree), "root:", "site-packages"):
        assert text not in seen
    return answer


def ask_all(sides: Sides, request: Request, status: int) -> Answer:
    """What all three answer."""
    answer = ask_ours(sides, request.wire, status)
    assert exchange(sides.theirs, request.wire, goes_on=False) == answer
    inside = asyncio.run(ask_asgi(sides.app, request, "", []))
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in inside.headers]
    assert answer_of(inside.status, pairs, inside.body) == answer
    return answer


# --- paths that lead elsewhere ----------------------------------------------------------------------------------------

UP = "../" * 40
ELSEWHERE = {
    "dots": "../secret.txt",
    "encoded dots": "%2e%2e/secret.txt",
    "encoded dots in capitals": "%2E%2E/secret.txt",
    "one dot encoded": ".%2e/secret.txt",
    "encoded slash": "..%2fsecret.txt",
    "all encoded": "%2e%2e%2fsecret.txt",
    "encoded twice": "%252e%252e%252fsecret.txt",
    "encoded three times": "%25252e%25252e%25252fsecret.txt",
    "of IIS": "%u002e%u002e/secret.txt",
    "out of a folder": "sub/../../secret.txt",
    "out of a folder, encoded": "sub/..%2f..%2fsecret.txt",
    "out of a file": "plain.txt/../../secret.txt",
    "sibling of the same beginning": "../site-secret/secret.txt",
    "sibling of the same beginning, encoded": "%2e%2e/site-secret/secret.txt",
    "dots that a filter leaves": "....//secret.txt",
    "parameter": "..;/secret.txt",
    "far up": UP + "etc/passwd",
    "far up, encoded": quote(UP, safe="").replace(".", "%2e") + "etc%2fpasswd",
    "absolute": "/etc/passwd",
    "absolute, encoded": "%2fetc%2fpasswd",
    "absolute with two slashes": "//etc/passwd",
    "absolute with two slashes, encoded": "%2f%2fetc%2fpasswd",
    "environment": "%2fproc%2fself%2fenviron",
    "home": "~root/.bashrc",
    "backslash": "..\\secret.txt",
    "encoded backslash": "..%5csecret.txt",
    "backslash encoded twice": "..%255csecret.txt",
    "drive": "C:/windows/win.ini",
    "drive with backslashes": "C:%5cwindows%5cwin.ini",
    "share": "%5c%5chost%5cshare",
    "device": "CON",
    "stream of a file": "plain.txt::$DATA",
    "dot at the end": "plain.txt.",
    "blank at the end": "plain.txt%20",
    "nul": "%00",
    "nul behind a name": "plain.txt%00",
    "nul within a name": "../secret.txt%00.html",
    "line break": "plain.txt%0d%0ax-evil:%201",
    "overlong dots": "%c0%ae%c0%ae/secret.txt",
    "overlong dots and slash": "%c0%ae%c0%ae%c0%afsecret.txt",
    "overlong dots of three bytes": "%e0%80%ae%e0%80%ae/secret.txt",
    "overlong backslash": "..%c1%9csecret.txt",
    "wide dots": "%ef%bc%8e%ef%bc%8e/secret.txt",
    "surrogate": "%ed%a0%80",
    "escaped byte": "%ed%b3%bf",
    "no UTF-8": "%ff%fe",
    "half an escape": "%2",
    "no escape": "%zz",
    "name of 256 bytes": "a" * 256,
    "deep": "a/" * 3000,
    "long, encoded": "%61" * 5000,
}


@pytest.mark.parametrize("place", ["static", "linked", "pages", "frontend"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_path_leads_out_of_the_directory(sides, place, name):
    answer = ask_all(sides, Request(target=f"/{place}/{ELSEWHERE[name]}".encode()), 404)
    assert answer.body == b'{"detail":"Not Found"}'


@pytest.mark.parametrize("place", ["static", "pages", "frontend"])
@pytest.mark.parametrize(
    "name", ["file-link", "folder-link/secret.txt", "sub/../file-link", "folder%2dlink/site/plain.txt/"]
)
def test_links_are_not_followed_out_of_the_directory(sides, place, name):
    status = 200 if name.endswith("plain.txt/") else 404  # that one leads out and in again
    ask_all(sides, Request(target=f"/{place}/{name}".encode()), status)


@pytest.mark.parametrize("place", ["static", "linked", "pages", "frontend"])
def test_a_link_to_itself(sides, place):
    """The fault is the server's own."""
    assert ask_all(sides, Request(target=f"/{place}/loop-link".encode()), 500).body == b"Internal Server Error"


@pytest.mark.parametrize("name", [b"\xff", b"\xc0\xae\xc0\xae/secret.txt", b"\xed\xa0\x80", b"\0", b"a b", b"\x7f"])
def test_bytes_that_no_target_may_have(sides, name):
    message = Request(target=b"/static/" + name).wire
    assert exchange(sides.theirs, message, goes_on=False) == ask_ours(sides, message, 400)


# --- ranges -----------------------------------------------------------------------------------------------------------

WHOLE, PART, NO_RANGE, OUTSIDE = 200, 206, 400, 416
RANGES = {
    "one": ("bytes=0-0", PART),
    "the same twice": ("bytes=0-0,0-0", PART),
    "a hundred times": ("bytes=" + ",".join(["0-0"] * 100), PART),
    "more than a hundred": ("bytes=" + ",".join(["0-0"] * 101), WHOLE),
    "thousands": ("bytes=" + ",".join(["0-"] * 5000), WHOLE),
    "a hundred to the end": ("bytes=" + ",".join(f"{start}-" for start in range(100)), PART),
    "a hundred apart": ("bytes=" + ",".join(f"{start}-{start}" for start in range(0, 200, 2)), PART),
    "a hundred large ones apart": ("bytes=" + ",".join(f"{n * 1000}-{n * 1000 + 998}" for n in range(100)), PART),
    "overlapping": ("bytes=0-50000,25000-75000,50000-99999", PART),
    "backwards": ("bytes=5-1", NO_RANGE),
    "one backwards": ("bytes=0-0,5-1", NO_RANGE),
    "behind the end": (f"bytes={SIZE}-", OUTSIDE),
    "one behind the end": (f"bytes=0-0,{SIZE}-", OUTSIDE),
    "end behind the end": ("bytes=0-18446744073709551615", PART),
    "start of 64 bits": ("bytes=18446744073709551616-", OUTSIDE),
    "start of thousands of digits": ("bytes=" + "9" * 4000 + "-", OUTSIDE),
    "end of thousands of digits": ("bytes=0-" + "9" * 4000, PART),
    "more digits than an int takes": ("bytes=" + "9" * 5000 + "-", NO_RANGE),
    "suffix": ("bytes=-1", PART),
    "suffix of nothing": ("bytes=-0", OUTSIDE),
    "suffix larger than the file": (f"bytes=-{SIZE + 1}", PART),
    "negative": ("bytes=--1", OUTSIDE),
    "negative end": ("bytes=0--1", NO_RANGE),
    "neither start nor end": ("bytes=-", NO_RANGE),
    "none": ("bytes=", NO_RANGE),
    "commas": ("bytes=,,,", NO_RANGE),
    "no unit": ("=0-1", NO_RANGE),
    "other unit": ("items=0-1", NO_RANGE),
    "unit in capitals": ("BYTES=0-1", PART),
    "unit alone": ("bytes", NO_RANGE),
    "letters": ("bytes=a-b", NO_RANGE),
    "hexadecimal": ("bytes=0x0-0x5", NO_RANGE),
    "exponent": ("bytes=1e3-", NO_RANGE),
    "other digits": ("bytes=\u0661-\u0662", NO_RANGE),
    "semicolon": ("bytes=0-0;1-1", NO_RANGE),
    "three numbers": ("bytes=0-1-2", NO_RANGE),
}


def range_of(value: str, *more: tuple[bytes, bytes]) -> Request:
    return Request(target=b"/file", headers=((b"range", value.encode()), *more))


@pytest.mark.parametrize("name", RANGES)
def test_ranges_never_ask_for_more_than_the_file(sides, name):
    value, status = RANGES[name]
    answer = ask_all(sides, range_of(value), status)
    assert len(answer.body) <= SIZE + 100 * len(PART_HEAD)
    assert (("content-range", f"bytes */{SIZE}") in answer.headers) is (status == OUTSIDE)


PART_HEAD = (
    f"\r\n--{'b' * 26}\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes {SIZE}-{SIZE}/{SIZE}\r\n\r\n"
)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ((b"range", b"bytes=5-9"), PART),
        ((b"range", b"nonsense"), PART),
        ((b"if-range", b'"another"'), WHOLE),
        ((b"if-range", b'W/"another"'), WHOLE),
        ((b"if-range", b"Fri, 01 Jan 2100 00:00:00 GMT"), WHOLE),
        ((b"if-range", b"nonsense"), WHOLE),
        ((b"if-range", b""), WHOLE),
        ((b"if-range", b"x" * 30_000), WHOLE),
    ],
)
def test_a_second_range_and_conditions(sides, more, status):
    assert len(ask_all(sides, range_of("bytes=0-1", more), status).body) == (2 if status == PART else SIZE)


@pytest.mark.parametrize("condition", ["etag", "last-modified"])
def test_a_condition_that_holds(sides, condition):
    value = dict(ask_all(sides, range_of("bytes=0-1"), PART).headers)[condition].encode()
    assert len(ask_all(sides, range_of("bytes=0-1", (b"if-range", value)), PART).body) == 2
    ask_all(sides, range_of("bytes=0-1", (b"if-range", b"W/" + value)), WHOLE)


def test_ranges_take_no_memory(serve, tmp_path):
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(64_000_000)
    app = TURBOAPI.App()
    app.mount("/", TURBOAPI.StaticFiles(directory=tmp_path))
    large = [f"{start}-{start + 15_000_000}" for start in range(0, 64_000_000, 16_000_000)]
    small = [f"{start}-{start}" for start in range(15_000_100, 15_000_292, 2)]
    value = "bytes=" + ",".join(large + small)
    message = Request(target=b"/large.bin", headers=((b"range", value.encode()),)).wire
    with serve(app) as served, socket.create_connection((served.host, served.port), PATIENCE) as connection:
        tracemalloc.start()
        try:
            connection.sendall(message)
            response = http.client.HTTPResponse(connection)
            response.begin()
            size = 0
            while part := response.read(65536):
                size += len(part)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (response.status, size) == (206, int(response.headers["content-length"]))
    assert size > 60_000_000 > 10 * peak


# --- forms ------------------------------------------------------------------------------------------------------------

MULTIPART = "multipart/form-data; boundary=B"
FILE = '--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n'
TEXT = '--B\r\nContent-Disposition: form-data; name="text"\r\n\r\nx\r\n'
END = "--B--\r\n"
INVALID = "Invalid multipart data."
NAMELESS = 'The Content-Disposition header field \\"name\\" must be provided.'


def text_of(size: int) -> str:
    return TEXT.replace("\r\nx\r\n", "\r\n" + "x" * size + "\r\n")


BROKEN = {
    "no boundary": ("multipart/form-data", FILE + END, "Missing boundary in multipart."),
    "empty boundary": ("multipart/form-data; boundary=", FILE + END, INVALID),
    "long boundary": ("multipart/form-data; boundary=" + "b" * 5000, FILE + END, INVALID),
    "boundary of other bytes": ("multipart/form-data; boundary=\xff\xfe", FILE + END, INVALID),
    "another boundary": ("multipart/form-data; boundary=C", FILE + END, INVALID),
    "thousands of files": (MULTIPART, FILE * 5000 + END, "Too many files. Maximum number of files is 1000."),
    "one file too many": (MULTIPART, FILE * 1001 + END, "Too many files. Maximum number of files is 1000."),
    "thousands of fields": (MULTIPART, TEXT * 20000 + END, "Too many fields. Maximum number of fields is 1000."),
    "one field too many": (MULTIPART, TEXT * 1001 + END, "Too many fields. Maximum number of fields is 1000."),
    "field that is too large": (MULTIPART, text_of(1024 * 1024 + 1) + END, "Part exceeded maximum size of 1024KB."),
    "header name without end": (MULTIPART, "--B\r\n" + "a" * 200_000, INVALID),
    "header value without end": (MULTIPART, "--B\r\nContent-Disposition: " + "a" * 200_000, INVALID),
    "headers without end": (MULTIPART, "--B\r\n" + "x: y\r\n" * 20_000, INVALID),
    "file name without end": (MULTIPART, FILE.replace('"a"', '"' + "a" * 60_000) + END, INVALID),
    "header without colon": (MULTIPART, "--B\r\nnonsense\r\n\r\nx\r\n" + END, INVALID),
    "blank in a header name": (MULTIPART, "--B\r\nContent Disposition: x\r\n\r\nx\r\n" + END, INVALID),
    "no disposition": (MULTIPART, "--B\r\nx: y\r\n\r\nx\r\n" + END, NAMELESS),
    "no name": (MULTIPART, "--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, NAMELESS),
    "preamble": (MULTIPART, "preamble\r\n" + FILE + END, INVALID),
    "zeros": (MULTIPART, "\0" * 100_000, INVALID),
    "json": (MULTIPART, '{"file": "x"}', INVALID),
    "bare line feeds": (MULTIPART, (FILE + END).replace("\r\n", "\n"), INVALID),
    "too many fields of a query": (
        "application/x-www-form-urlencoded",
        "a=b&" * 1001,
        "Too many fields. Maximum number of fields is 1000.",
    ),
    "field of a query that is too large": (
        "application/x-www-form-urlencoded",
        "a=" + "b" * (1024 * 1024 + 1),
        "Field exceeded maximum size of 1024KB.",
    ),
}
CUT_OFF = {
    "nothing": "",
    "only the end": END,
    "in a header": "--B\r\nContent-Disp",
    "in the data": TEXT[:-3],
    "before the end": TEXT,
    "in the boundary": TEXT + "--B",
}
ODD = {
    "as many files as allowed": FILE * 1000 + END,
    "cut off in the second part": FILE + TEXT[:-4],
    "field as large as allowed": FILE + text_of(1024 * 1024) + END,
    "path for a file name": FILE.replace('"a"', '"../../../etc/passwd"') + END,
    "two file names": FILE.replace('"a"', '"a"; filename="b"') + END,
    "multipart in multipart": FILE.replace("\r\n\r\nx", "\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\nx") + END,
    "epilogue": FILE + END + "x" * 100_000,
    "nul in a name": FILE + TEXT.replace("text", "te\0xt") + END,
}


def form(target: str, media_type: str, body: str) -> Request:
    headers = ((b"content-type", media_type.encode("latin-1")),)
    return Request("POST", target.encode(), headers, body.encode("latin-1"))


@pytest.mark.parametrize("target", ["/upload", "/form"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_forms_are_refused(sides, target, name):
    media_type, body, detail = BROKEN[name]
    assert ask_all(sides, form(target, media_type, body), 400).body.decode() == f'{{"detail":"{detail}"}}'


@pytest.mark.parametrize("name", CUT_OFF)
def test_a_part_that_is_cut_off_is_none(sides, name):
    ask_all(sides, form("/upload", MULTIPART, CUT_OFF[name]), 422)
    assert ask_all(sides, form("/form", MULTIPART, CUT_OFF[name]), 200).body == b"[]"


@pytest.mark.parametrize("end", [-3, len(FILE)])
def test_a_file_that_is_cut_off_is_none(sides, end):
    """The reference, too, but it leaves the file open."""
    ask_ours(sides, form("/upload", MULTIPART, FILE[:end]).wire, 422)
    assert ask_ours(sides, form("/form", MULTIPART, FILE[:end]).wire, 200).body == b"[]"


@pytest.mark.parametrize("target", ["/upload", "/form"])
@pytest.mark.parametrize("name", ODD)
def test_odd_forms_are_read_as_in_the_reference(sides, target, name):
    ask_all(sides, form(target, MULTIPART, ODD[name]), 200)


@pytest.mark.parametrize("charset", ["nonsense", "rot13", "idna", "base64", "../../etc/passwd"])
def test_charsets_of_forms(sides, charset):
    ask_all(sides, in_charset(charset), 200)


@pytest.mark.parametrize("charset", ["punycode", "undefined"])
def test_charsets_that_only_raise(sides, charset):
    """A 500 in the reference."""
    ask_ours(sides, in_charset(charset).wire, 200)


def in_charset(name: str) -> Request:
    return form("/form", f"{MULTIPART}; charset={name}", TEXT.replace("\nx", "\n\xff") + END)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("target", ["/upload", "/form"])
@pytest.mark.parametrize("sent", [0, 10, len(FILE)])
def test_clients_that_leave_within_a_body(sides, target, sent, reset):
    message = form(target, MULTIPART, FILE + END).wire
    with socket.create_connection((sides.ours.host, sides.ours.port), PATIENCE) as connection:
        connection.sendall(message[: message.index(b"--B") + sent])
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_alive(sides.ours)


# --- headers that a handler sets --------------------------------------------------------------------------------------

FORBIDDEN = {
    "CR LF": "a\r\nx-evil: 1",
    "LF": "a\nx-evil: 1",
    "CR": "a\rx-evil: 1",
    "end of the head": "a\r\n\r\n<script>",
    "NUL": "a\0x-evil: 1",
    "control character": "a\x01",
    "DEL": "a\x7f",
}
UNSAFE = ["parameter", "response", "name", "exception", "stream", "file", "cookie-path", "media-type"]
QUOTED = {"cookie": 200, "redirect": 307, "filename": 200}


def headers_of(kind: str, value: str) -> Request:
    return Request(target=f"/headers/{kind}?value={quote(value)}".encode())


@pytest.mark.parametrize("kind", UNSAFE)
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_header_that_would_split_the_response_is_an_error(sides, kind, name):
    """uvicorn, too, sends nothing of it; but it drops the connection where the response had been begun."""
    message = headers_of(kind, FORBIDDEN[name]).wire
    assert ask_ours(sides, message, 500).body == b"Internal Server Error"
    with contextlib.suppress(ConnectionError):
        assert exchange(sides.theirs, message, goes_on=False).status == 500


@pytest.mark.parametrize("kind", QUOTED)
@pytest.mark.parametrize("name", FORBIDDEN)
def test_values_that_are_quoted_split_nothing(sides, kind, name):
    answer = ask_all(sides, headers_of(kind, FORBIDDEN[name]), QUOTED[kind])
    assert "x-evil" not in dict(answer.headers)


@pytest.mark.parametrize("kind", [*UNSAFE, "cookie"])
@pytest.mark.parametrize("value", ["\u560d\u560ax-evil: 1", "\u010d\u010ax-evil: 1", "\u20ac"])
def test_letters_whose_last_byte_is_a_line_break(sides, kind, value):
    """Latin-1 has none of them."""
    ask_all(sides, headers_of(kind, value), 500)


# --- session cookies --------------------------------------------------------------------------------------------------


def signed(data: bytes, key: str = SESSION_KEY, age: int = 0) -> str:
    """The cookie of a session, made `age` seconds ago."""

    class Signer(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - age

    return Signer(key).sign(base64.b64encode(data)).decode()


def with_other(cookie: str, index: int) -> str:
    """The cookie with the first letter of one of its three parts changed."""
    parts = cookie.split(".")
    parts[index] = ("B" if parts[index][0] == "A" else "A") + parts[index][1:]
    return ".".join(parts)


OWN = signed(b'{"user": 1}')
TAMPERED = {
    "data": with_other(OWN, 0),
    "time": with_other(OWN, 1),
    "signature": with_other(OWN, 2),
    "data of another": ".".join([base64.b64encode(b'{"user": 2}').decode(), *OWN.split(".")[1:]]),
    "cut off": OWN[:-1],
    "longer": OWN + "A",
    "other order": ".".join(reversed(OWN.split("."))),
    "no signature": OWN.rpartition(".")[0],
    "no time": ".".join(OWN.split(".")[::2]),
    "data alone": OWN.partition(".")[0],
    "other key": signed(b'{"user": 1}', "another key"),
    "empty key": signed(b'{"user": 1}', ""),
    "expired": signed(b'{"user": 1}', age=3602),
    "very old": signed(b'{"user": 1}', age=1_500_000_000),
    "of the future": signed(b'{"user": 1}', age=-1000),
    "empty": "",
    "dots": "." * 1000,
    "no letters": "\xff\xfe.\xff.\xff",
    "large": "a" * 60_000,
    "many backslashes": '"' + "\\" * 5000 + '"',
}


def session_of(cookie: str) -> Request:
    return Request(target=b"/session", headers=((b"cookie", b"session=" + cookie.encode("latin-1")),))


@pytest.mark.parametrize("name", TAMPERED)
def test_a_session_that_is_tampered_with_is_empty(sides, name):
    answer = ask_all(sides, session_of(TAMPERED[name]), 200)
    assert answer.body == b"{}"
    assert "set-cookie" not in dict(answer.headers)


def test_a_session_of_our_own(sides):
    assert ask_all(sides, session_of(OWN), 200).body == b'{"user":1}'
    assert ask_all(sides, session_of(signed(b'{"user": 1}', age=3000)), 200).body == b'{"user":1}'


def test_only_who_has_the_key_could_sign_nonsense(sides):
    assert ask_all(sides, session_of(signed(b"nonsense")), 500).body == b"Internal Server Error"


# --- cookies ----------------------------------------------------------------------------------------------------------

SIZE_OF_COOKIES = 64_000
COOKIES = {  # what a parser that begins anew at every sign would be busy with for seconds
    "backslashes": 'a="' + "\\" * SIZE_OF_COOKIES + '"',
    "escaped quotes": 'a="' + '\\"' * (SIZE_OF_COOKIES // 2) + '"',
    "octal escapes": 'a="' + "\\012" * (SIZE_OF_COOKIES // 4) + '"',
    "octal escapes that are cut off": 'a="' + "\\01" * (SIZE_OF_COOKIES // 3) + '"',
    "quotes": 'a="' * (SIZE_OF_COOKIES // 3),
    "quotes alone": '"' * SIZE_OF_COOKIES,
    "semicolons": ";" * SIZE_OF_COOKIES,
    "semicolons and blanks": "; " * (SIZE_OF_COOKIES // 2),
    "blanks": "a" + " " * SIZE_OF_COOKIES + "b",
    "equals signs": "=" * SIZE_OF_COOKIES,
    "pairs": "a=b;" * (SIZE_OF_COOKIES // 4),
    "names": ";".join(f"{number:x}=" for number in range(SIZE_OF_COOKIES // 6)),
    "commas": "a=b," * (SIZE_OF_COOKIES // 4),
    "bytes above 127": "\xff=\xff;" * (SIZE_OF_COOKIES // 4),
}


@pytest.mark.parametrize("name", COOKIES)
def test_no_cookie_takes_long_to_read(sides, name):
    """Within the patience of a client; a quadratic parser would need seconds for each of them."""
    lines = ("GET /cookies HTTP/1.1", "Host: test", f"Cookie: {COOKIES[name]}", "", "")
    message = "\r\n".join(lines).encode("latin-1")
    with socket.create_connection((sides.ours.host, sides.ours.port), PATIENCE) as connection:
        for _ in range(50):
            connection.sendall(message)
            assert read_answer(connection)[0].status == 200


# --- bodies over a limit ----------------------------------------------------------------------------------------------

LIMIT = 1000


def of_application(api: Framework) -> Any:
    return limited(api, api.App(max_body_size=LIMIT))


def of_middleware(api: Framework) -> Any:
    app = limited(api, api.App())
    app.add_middleware(api.RequestBodyLimitMiddleware, max_body_size=LIMIT)
    return app


def inside_of_other_middleware(api: Framework) -> Any:
    app = of_middleware(api)
    app.add_middleware(api.CORSMiddleware, allow_origins=["*"])

    @app.middleware("http")
    async def dispatch(request, call_next):
        return await call_next(request)

    return app


def of_router(api: Framework) -> Any:
    app = api.App()
    app.include_router(limited(api, api.APIRouter(max_body_size=LIMIT)))
    return app


def of_inclusion(api: Framework) -> Any:
    app = api.App()
    app.include_router(limited(api, api.APIRouter()), max_body_size=LIMIT)
    return app


def limited(api: Framework, routes: Any) -> Any:
    @routes.get("/alive")
    async def alive():
        return "alive"

    @routes.post("/json")
    async def json(item: dict[str, str]):
        return item

    @routes.post("/form")
    async def form(text: str = api.Form()):
        return text

    @routes.post("/raw")
    async def raw(request: api.Request):
        return len(await request.body())

    return routes


@pytest.fixture(
    scope="module", params=[of_application, of_middleware, inside_of_other_middleware, of_router, of_inclusion]
)
def limits(request: pytest.FixtureRequest) -> Iterator[tuple[Served, Served]]:
    with _served(request.param(TURBOAPI)) as ours, _served_by_uvicorn(request.param(FASTAPI)) as theirs:
        yield ours, theirs


def post(path: str, *headers: str) -> bytes:
    media_type = {"/json": "application/json", "/form": "application/x-www-form-urlencoded"}.get(path, "text/plain")
    lines = (f"POST {path} HTTP/1.1", "Host: test", f"Content-Type: {media_type}", *headers, "", "")
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("path", ["/json", "/form", "/raw"])
@pytest.mark.parametrize(
    ("headers", "begin"),
    [
        ((f"Content-Length: {LIMIT + 1}",), b""),
        (("Content-Length: 100000000",), b"text="),
        (("Content-Length: 100000000", "Expect: 100-continue"), b""),
        (("Transfer-Encoding: chunked",), b"3E9\r\n" + b"x" * (LIMIT + 1)),
        (("Transfer-Encoding: chunked",), b"1\r\nx\r\n" * (LIMIT + 1)),
        (("Transfer-Encoding: chunked",), b"5F5E100\r\n" + b"x" * 100_000),
    ],
    ids=["announced", "announced large", "asked before", "one chunk", "small chunks", "large chunk"],
)
def test_a_body_over_the_limit_is_refused_before_its_end(limits, path, headers, begin):
    """The clients wait for the answer before they send the rest."""
    answers = [exchange(served, post(path, *headers) + begin, goes_on=False) for served in limits]
    assert answers[0] == answers[1]
    assert answers[0].status == 413
    assert b"Content Too Large" in answers[0].body


@pytest.mark.parametrize("path", ["/json", "/form", "/raw"])
@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_a_body_of_the_limit_in_several_packets(limits, path, size):
    body = {"/json": b'{"a": "%b"}', "/form": b"text=%b", "/raw": b"%b"}[path]
    body %= b"x" * (size - len(body) + 2)
    answers = []
    for served in limits:
        with socket.create_connection((served.host, served.port), PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(post(path, f"Content-Length: {size}"))
            with contextlib.suppress(ConnectionError):  # refused meanwhile
                for start in range(0, size, 100):
                    connection.sendall(body[start : start + 100])
            answers.append(read_answer(connection)[0])
    assert answers[0] == answers[1]
    assert answers[0].status == (200 if size == LIMIT else 413)


def test_middleware_answers_before_the_body(serve):
    app = limited(TURBOAPI, TURBOAPI.App())

    @app.middleware("http")
    async def refuse(request, call_next):
        return await call_next(request) if request.method == "GET" else TURBOAPI.PlainTextResponse("no", 401)

    with serve(app) as served:
        assert exchange(served, post("/json", "Content-Length: 100000000"), goes_on=False).status == 401
