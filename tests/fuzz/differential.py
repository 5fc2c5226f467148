"""The compiled parsers, the route table and whole applications beside their references, for any bytes."""

import re
from functools import cache
from urllib.parse import parse_qsl, unquote

from starlette.requests import cookie_parser
from starlette.routing import Mount, Route

from tests.compat.client import Request
from tests.compat.framework import FASTAPI, TURBOAPI
from tests.compat.oracle import Subject, compare
from tests.speedups.test_frames import MAX_SIZE, expected, read
from tests.speedups.test_router import ID, entry_of, look_up, route, scan
from turboapi._speedups.query import parse_cookies, parse_query, unquote_path
from turboapi._speedups.router import Router

PROGRAM = """
app = App()

@app.post("/form")
async def form(a: int = Form(), b: list[str] = Form([]), f: UploadFile | None = File(None), g: bytes = File(b"")):
    return [a, b, None if f is None else [f.filename, f.content_type, (await f.read()).decode("latin-1")], len(g)]

@app.get("/text/{x}")
async def text(x: str, q: str = "", many: list[str] = Query([]), a: str = Cookie(""), x_tag: list[str] = Header([])):
    return [x, q, many, a, x_tag]

@app.get("/numbers/{i:int}/{f:float}")
async def numbers(i: int, f: float, x: int | None = None, y: float = 0.0, z: bool = False):
    return [i, f, x, y, z]

@app.get("/{i}/{b}")
async def converted(i: int, b: bool, limit: int = Query(10, le=100), day: datetime | None = None):
    return [i, b, limit, day]

@app.post("/item")
async def item(item: Item):
    return item

@app.post("/parts")
async def parts(a: int = Body(), b: dict[str, float] = Body({}), item: Closed | None = Body(None)):
    return [a, b, item]
"""
TEMPLATES = [
    *("/", "/a", "/a/", "/a/b", "/me", "/{x}", "/{x:int}", "/a/{x:float}", "/a/{x:uuid}/b", "/a/{x:int}/{y}", "/é"),
    *("/a/{x}.b", "/a{x:int}", "/b/{x:path}", "/b/c/{x:path}/d", "//", "/{x}/{y}/{z:uuid}", "/me/{x:int}/me", "/\n"),
]
TARGET = re.compile(rb"/[!\"$-~]*")  # no "#": that is taken off by the server, here and before FastAPI
FIELD = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e\x80-\xff]*[\x21-\x7e])?")


def check_query(data: bytes) -> None:
    """A query string and a path."""
    text = data.decode("latin-1")
    assert parse_query(data) == parse_qsl(text, keep_blank_values=True)
    assert unquote_path(data) == unquote(text)


def check_cookies(data: bytes) -> None:
    """A line for each Cookie header."""
    headers = data.split(b"\r\n")
    merged: dict[str, str] = {}
    for header in headers:
        merged.update(cookie_parser(header.decode("latin-1")))
    assert list(parse_cookies(headers).items()) == list(merged.items())


@cache
def table() -> tuple[list[Route | Mount], Router]:
    """A route table and its reference; every second route is for one method."""
    routes = [route(path, *["GET", "PUT"][: 1 + number % 2]) for number, path in enumerate(TEMPLATES)]
    routes.insert(5, Mount("/a/mounted", route("/{x}", "GET")))
    return routes, Router([entry_of(item, hint=True) for item in routes])


def check_router(data: bytes) -> None:
    """A path in UTF-8, with "?" for some identifier that no mutation would hit upon."""
    routes, router = table()
    path = data.decode("utf-8", "surrogateescape").replace("?", ID)
    for method in ("GET", "PUT", "POST"):
        assert look_up(router, method, path) == scan(routes, method, path)


def check_frames(data: bytes) -> None:
    """What a client sends on an open WebSocket; zeros behind it end the frame that is last."""
    whole = read([data])
    for size in (1, 5):
        assert read([data[at : at + size] for at in range(0, len(data), size)]) == whole
    ended = data + bytes(MAX_SIZE + 20)
    assert expected(ended) in (None, read([ended]))


@cache
def subjects() -> tuple[Subject, Subject]:
    return Subject(FASTAPI, PROGRAM), Subject(TURBOAPI, PROGRAM)


def check_request(data: bytes) -> None:
    """A line each for target, Cookie and X-Tag; what follows is a JSON body, sent if there is some."""
    target, cookie, tag, body, *_ = [*data.split(b"\n", 3), b"", b"", b""]
    if TARGET.fullmatch(target):
        pairs = [(name, value) for name, value in ((b"cookie", cookie), (b"x-tag", tag)) if FIELD.fullmatch(value)]
        method = "POST" if body else "GET"
        headers = (*pairs, *[(b"content-type", b"application/json")] * bool(body))
        assert_alike(Request(method, target, headers, body))


def check_form(data: bytes) -> None:
    """A line for Content-Type; what follows is the body."""
    content_type, _, body = data.partition(b"\n")
    if FIELD.fullmatch(content_type):
        assert_alike(Request("POST", b"/form", ((b"content-type", content_type),), body, pieces=3))


def assert_alike(request: Request) -> None:
    found = compare(*subjects(), [request])
    assert not found, "\n".join(found)
