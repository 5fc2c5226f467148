"""What is measured: one `Row` per request shape, with the answer that every server must give to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .payloads import BLOB_SIZE, BOUNDARY, CATALOGUE_SIZE, page

HOST = "127.0.0.1"
"""Where every server listens."""

ROUTES = 1_000
"""Routes the application registers after its own, for the `routes_last` row."""

BROWSER_HEADERS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "http://localhost/overview?page=2"),
    ("Cookie", "session=5f4dcc3b5aa765d61d8327deb882cf99; theme=dark"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Cache-Control", "max-age=0"),
)


@dataclass(frozen=True)
class Blob:
    """An answer that is not JSON: the bytes of the blob."""

    size: int = BLOB_SIZE


@dataclass(frozen=True)
class Row:
    """One request and its expected answer.

    Attributes:
        answer: the JSON that every server has to answer, or a `Blob`.
        pipeline: how many requests are sent at a time on each connection.
        driver: what loads the servers, one of `drivers.DRIVERS`.
        setup: how the application is served, one of `servers.SETUPS`.
        servers: those of our own that can answer it; peers state their rows themselves.
        payload: the name of a large body in `payloads.PAYLOADS`, in place of `body`.
    """

    name: str
    about: str
    path: str
    answer: Any
    status: int = 200
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    pipeline: int = 1
    driver: str = "wrk"
    setup: str = "plain"
    servers: tuple[str, ...] = ("nginx", "fastapi", "turboapi")
    payload: str = ""


HELLO = {"message": "Hello, World!"}
JSON = (("Content-Type", "application/json"),)
ITEM = {"name": "Lamp", "price": 19.5, "in_stock": True, "tags": ["home", "light"]}
ITEM_BODY = '{"name": "Lamp", "price": 19.5, "tags": ["home", "light"]}'
FRAMEWORKS = ("fastapi", "turboapi")

ROWS = {
    row.name: row
    for row in (
        Row("hello", "`async def` returning a dict", "/hello", HELLO),
        Row("hello_sync", "`def` returning a dict", "/hello-sync", HELLO),
        Row("path", "`int` path parameter, optional query `str`", "/items/42?q=fast", {"item_id": 42, "q": "fast"}),
        Row(
            "json",
            "JSON body to model to JSON, `response_model`",
            "/items",
            ITEM,
            method="POST",
            headers=JSON,
            body=ITEM_BODY,
        ),
        Row(
            "deps",
            "header, dependency, dependency, handler (all async)",
            "/me",
            {"name": "user-secret"},
            headers=(("X-Token", "secret"),),
        ),
        Row("headers", "hello with 8 browser headers", "/hello", HELLO, headers=BROWSER_HEADERS),
        Row(
            "validation_error",
            "path parameter that is not an `int`",
            "/items/abc",
            {
                "detail": [
                    {
                        "type": "int_parsing",
                        "loc": ["path", "item_id"],
                        "msg": "Input should be a valid integer, unable to parse string as an integer",
                        "input": "abc",
                    }
                ]
            },
            status=422,
        ),
        Row("not_found", "`HTTPException(404)` from a handler", "/missing", {"detail": "No such item"}, status=404),
        Row(
            "routes_last",
            f"last of {ROUTES:,} routes with a path parameter",
            f"/resource-{ROUTES - 1}/abc",
            {"resource": ROUTES - 1, "key": "abc"},
        ),
        Row("pipeline", "16 pipelined hellos per connection", "/hello", HELLO, pipeline=16),
        Row(
            "deps_sync",
            "header, dependency, dependency, handler (all `def`)",
            "/me-sync",
            {"name": "user-secret"},
            headers=(("X-Token", "secret"),),
        ),
        Row(
            "security",
            "dependency with `yield`, `OAuth2PasswordBearer`",
            "/account",
            {"owner": "secret", "open": True},
            headers=(("Authorization", "Bearer secret"),),
        ),
        Row(
            "struct",
            "JSON body to `msgspec.Struct` to JSON",
            "/structs",
            ITEM,
            method="POST",
            headers=JSON,
            body=ITEM_BODY,
            servers=("nginx", "turboapi"),
        ),
        Row("rows", "list of 1,000 models, `response_model`, 70 KB", "/rows", page()),
        Row("middleware", "hello behind CORS, GZip and a function", "/hello", HELLO, setup="middleware"),
        Row("asgi_hello", "hello, all under uvicorn", "/hello", HELLO, setup="asgi"),
        Row(
            "asgi_json",
            "JSON body to model to JSON, all under uvicorn",
            "/items",
            ITEM,
            method="POST",
            headers=JSON,
            body=ITEM_BODY,
            setup="asgi",
        ),
        Row(
            "blocking",
            "`def` that sleeps 5 ms; latencies are those of an `async` hello meanwhile",
            "/blocking",
            HELLO,
            driver="mixed",
            servers=FRAMEWORKS,
        ),
        Row("websocket", "echo of messages of 64 bytes", "/echo", HELLO, driver="websocket", servers=FRAMEWORKS),
        Row(
            "upload_100mb",
            "body of 100 MB, `request.stream()` to disk",
            "/stream",
            {"size": BLOB_SIZE},
            method="POST",
            headers=(("Content-Type", "application/octet-stream"),),
            payload="blob",
            driver="bulk",
            servers=FRAMEWORKS,
        ),
        Row(
            "form_100mb",
            "form with a file of 100 MB, `UploadFile` to disk",
            "/form",
            {"size": BLOB_SIZE},
            method="POST",
            headers=(("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),),
            payload="form",
            driver="bulk",
            servers=FRAMEWORKS,
        ),
        Row("download_100mb", "`FileResponse` of 100 MB", "/blob", Blob(), driver="bulk"),
        Row(
            "json_10mb",
            "JSON body of 10 MB to models",
            "/catalogue",
            {"entries": CATALOGUE_SIZE},
            method="POST",
            headers=JSON,
            payload="catalogue",
            driver="bulk",
            servers=FRAMEWORKS,
        ),
    )
}
