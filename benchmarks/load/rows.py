"""What is measured: one `Row` per request shape, with the answer that every server must give to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
class Row:
    """One request and its expected answer; `pipeline` requests are sent at a time on each connection."""

    name: str
    about: str
    path: str
    answer: Any
    status: int = 200
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    pipeline: int = 1


HELLO = {"message": "Hello, World!"}

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
            {"name": "Lamp", "price": 19.5, "in_stock": True, "tags": ["home", "light"]},
            method="POST",
            headers=(("Content-Type", "application/json"),),
            body='{"name": "Lamp", "price": 19.5, "tags": ["home", "light"]}',
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
    )
}
