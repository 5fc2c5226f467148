from typing import Any

import pytest
import starlette.middleware.httpsredirect
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.middleware.httpsredirect
from tests.middleware.exchanges import exchange, headers_of, http_scope, response, websocket_scope
from turboapi import TurboAPI
from turboapi.middleware.httpsredirect import HTTPSRedirectMiddleware

OURS = turboapi.middleware.httpsredirect.HTTPSRedirectMiddleware
THEIRS = starlette.middleware.httpsredirect.HTTPSRedirectMiddleware

HOSTS = [
    "example.org",
    "example.org:80",
    "example.org:443",
    "example.org:8000",
    "[::1]",
    "[::1]:80",
    "[:::]",
    "a:65536",
]


@given(
    make_scope=st.sampled_from([http_scope, websocket_scope]),
    scheme=st.sampled_from(["http", "https", "ws", "wss"]),
    hosts=st.lists(st.sampled_from(HOSTS), max_size=1),
    server=st.none() | st.sampled_from([("testserver", 80), ("testserver", 8000), ("::1", 443)]),
    path=st.sampled_from(["/", "/a b", "//evil.example/", "/?#", "/é"]),
    query_string=st.sampled_from([b"", b"q=%20&r=1"]),
)
@settings(max_examples=200, deadline=None)
def test_messages_are_those_of_the_reference(make_scope: Any, hosts: list[str], **items: Any) -> None:
    scope = make_scope([("Host", host) for host in hosts], **items)
    ours, theirs = (exchange(middleware(response()), scope) for middleware in (OURS, THEIRS))
    assert ours == theirs


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("example.org", "https://example.org/item?q=1"),
        ("example.org:80", "https://example.org/item?q=1"),
        ("example.org:443", "https://example.org/item?q=1"),
        ("example.org:8000", "https://example.org:8000/item?q=1"),
    ],
)
def test_redirects_keep_everything_but_the_scheme_and_default_ports(host: str, location: str) -> None:
    scope = http_scope([("Host", host)], path="/item", query_string=b"q=1")
    log = exchange(HTTPSRedirectMiddleware(response()), scope)
    assert (log[0]["status"], dict(headers_of(log))["location"]) == (307, location)


def test_unknown_host_is_refused() -> None:
    log = exchange(HTTPSRedirectMiddleware(response()), http_scope(server=None))
    assert (log[0]["status"], log[1]["body"]) == (400, b"Invalid host header")


def test_lifespan_passes_unseen() -> None:
    assert exchange(HTTPSRedirectMiddleware(response()), {"type": "lifespan"})[0]["status"] == 200


def test_application_redirects(client_for: Any) -> None:
    app = TurboAPI()
    app.add_middleware(HTTPSRedirectMiddleware)

    @app.post("/item")
    async def item() -> str:
        return "secret"

    moved = client_for(app).post("/item?q=1", headers={"Host": "example.org"}, follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (307, "https://example.org/item?q=1")
