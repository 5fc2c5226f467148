import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.middleware.exchanges import Message, exchange, http_scope
from turboapi import TurboAPI
from turboapi.exceptions import StarletteDeprecationWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both are deprecated; a test below is about ours
    import starlette.middleware.wsgi as theirs

    import turboapi.middleware.wsgi as ours


def test_import_warns_of_the_deprecation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "turboapi.middleware.wsgi")
    with pytest.warns(StarletteDeprecationWarning, match="middleware.wsgi is deprecated"):
        importlib.import_module("turboapi.middleware.wsgi")


def without_streams(environ: dict[str, Any]) -> dict[str, Any]:
    return {**environ, "wsgi.input": environ["wsgi.input"].read()}


header_names = st.sampled_from(["Content-Length", "Content-Type", "X-A", "x_a", "x-é", "accept", "Content_Type", ""])


@given(
    headers=st.lists(st.tuples(header_names, st.text("aé, 1", max_size=4)), max_size=5),
    path=st.sampled_from(["/", "/app", "/app/", "/app/users", "/application", "/中/é"]),
    body=st.binary(max_size=8),
    items=st.fixed_dictionaries(
        {},
        optional={
            "root_path": st.sampled_from(["", "/", "/app", "/app/", "/中"]),
            "server": st.sampled_from([None, ("example.org", 8000), ("/socket", None)]),
            "client": st.none(),
            "scheme": st.just("https"),
            "query_string": st.just(b"a=%20"),
            "http_version": st.just("2"),
        },
    ),
)
@settings(max_examples=150, deadline=None)
def test_environment_is_that_of_the_reference(
    headers: list[tuple[str, str]], path: str, body: bytes, items: dict[str, Any]
) -> None:
    scope = http_scope(headers, path=path, method="POST", **items)
    assert without_streams(ours.build_environ(scope, body)) == without_streams(theirs.build_environ(scope, body))


def test_environment_needs_only_what_every_scope_has() -> None:
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/中", "query_string": b""}
    environ = ours.build_environ(scope, b"")
    assert without_streams(environ) == without_streams(theirs.build_environ(scope, b""))
    assert environ["PATH_INFO"].encode("latin-1") == "/中".encode()


def echo(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [(" Content-Type", "text/plain "), ("X-Method", environ["REQUEST_METHOD"])])
    return [environ["wsgi.input"].read()]


def lazy(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""
    start_response("404 Not Found Here", [])
    yield b"one"
    start_response("200 OK", [])
    yield b"two"


def silent(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def failing(environ: Any, start_response: Any) -> Iterable[bytes]:
    raise RuntimeError("before the start")


def failing_later(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"one"
    raise RuntimeError("after the start")


def reporting(environ: Any, start_response: Any) -> list[bytes]:
    try:
        raise RuntimeError("handled")
    except RuntimeError:
        start_response("500 Internal Server Error", [("X-Error", "1")], sys.exc_info())
    return [b"sorry"]


def non_ascii(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-Name", "é")])
    return []


def no_number(environ: Any, start_response: Any) -> list[bytes]:
    start_response("fine thanks", [])
    return []


BODY: list[Message] = [
    {"type": "http.request", "body": b"one ", "more_body": True},
    {"type": "http.request", "more_body": True},
    {"type": "http.request", "body": b"two"},
]


@pytest.mark.parametrize(
    "app", [echo, lazy, silent, failing, failing_later, reporting, non_ascii, no_number], ids=lambda app: app.__name__
)
@pytest.mark.parametrize("incoming", [[], BODY, [BODY[0], {"type": "http.disconnect"}]])
def test_messages_are_those_of_the_reference(app: Any, incoming: list[Message]) -> None:
    scope = http_scope(method="POST")
    assert exchange(ours.WSGIMiddleware(app), scope, incoming) == exchange(theirs.WSGIMiddleware(app), scope, incoming)


def test_body_arrives_and_leaves() -> None:
    log = exchange(ours.WSGIMiddleware(echo), http_scope(method="PUT"), BODY)
    assert log == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"x-method", b"PUT")],
        },
        {"type": "http.response.body", "body": b"one two", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]


def test_error_of_the_application_is_raised_after_its_response() -> None:
    log = exchange(ours.WSGIMiddleware(reporting), http_scope())
    assert [entry["type"] for entry in log[:-1]] == ["http.response.start"] + ["http.response.body"] * 2
    assert log[-1] == ("RuntimeError", "handled")


def test_status_without_a_reason_is_accepted() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("202", [])
        return []

    assert exchange(ours.WSGIMiddleware(app), http_scope())[0]["status"] == 202


def test_only_http_is_served() -> None:
    assert exchange(ours.WSGIMiddleware(echo), {"type": "websocket"}) == [("AssertionError", "")]


def test_application_is_mounted(client_for: Any) -> None:
    def legacy(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|".encode(), environ["wsgi.input"].read()]

    app = TurboAPI()
    app.mount("/legacy", ours.WSGIMiddleware(legacy))

    answer = client_for(app).post("/legacy/orders", content=b"body")
    assert (answer.status_code, answer.text) == (200, "/legacy|/orders|body")
