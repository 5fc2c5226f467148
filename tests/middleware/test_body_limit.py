import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import starlette.exceptions
import starlette.middleware.body_limit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turboapi.exceptions
import turboapi.middleware.body_limit
from turboapi.middleware.body_limit import (
    MAX_BODY_SIZE_SCOPE_KEY,
    RequestBodyLimitMiddleware,
    RequestBodyTooLarge,
)

Message = dict[str, Any]
OURS = SimpleNamespace(limit=turboapi.middleware.body_limit, error=turboapi.exceptions.StarletteHTTPException)
THEIRS = SimpleNamespace(limit=starlette.middleware.body_limit, error=starlette.exceptions.HTTPException)
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"done"}


def exchange(app: Any, chunks: list[bytes], content_length: str | None, **scope: Any) -> tuple[list[Any], Any]:
    """Run an application; return the messages it sends with its error if it raises one, and the scope afterwards."""
    log: list[Any] = []
    incoming = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages = iter([*incoming, {"type": "http.request"}])
    headers = [] if content_length is None else [(b"content-length", content_length.encode())]
    full_scope = {"type": "http", "method": "POST", "headers": headers, **scope}

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        log.append(message)

    try:
        asyncio.run(app(full_scope, receive, send))
    except Exception as exc:
        log.append((getattr(exc, "status_code", None), str(exc)))
    return log, full_scope


def application(script: list[str]) -> Any:
    """Receives the whole body, receives once, starts the response, ends it; in the order of the script."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in script:
            if step == "read":
                while (await receive()).get("more_body"):
                    pass
            elif step == "receive":
                await receive()
            else:
                await send(START if step == "start" else BODY)

    return app


def layers(lib: SimpleNamespace, app: Any, limits: list[int]) -> Any:
    """Wrap `app` in one middleware for each limit, the last one innermost; each inner one looks at the body first."""
    for number, limit in enumerate(reversed(limits)):
        inner = lib.limit.RequestBodyLimitMiddleware(app, max_body_size=limit)
        app = inner if number == len(limits) - 1 else after_one_message(inner)
    return app


def after_one_message(app: Any) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await app(scope, receive, send)

    return wrapped


@given(
    limits=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    chunks=st.lists(st.binary(max_size=6), max_size=4),
    content_length=st.none() | st.integers(0, 15).map(str) | st.sampled_from(["many", "", "-1"]),
    script=st.lists(st.sampled_from(["read", "receive", "start", "end"]), max_size=4),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_request_ends_like_in_the_reference(
    limits: list[int], chunks: list[bytes], content_length: str | None, script: list[str]
) -> None:
    def run(lib: SimpleNamespace) -> Any:
        return exchange(layers(lib, application(script), limits), chunks, content_length)

    assert run(OURS) == run(THEIRS)


GOOD = ["read", "start", "end"]


@pytest.mark.parametrize(
    ("chunks", "content_length", "script", "status"),
    [
        ([b"12345"], "5", GOOD, 200),
        ([b"123", b"45"], None, GOOD, 200),
        ([b"123", b"456"], None, GOOD, 413),
        ([b"123456"], "1", GOOD, 413),
        ([b""], "6", GOOD, 413),
        ([b"123456"], "6", ["start", "end"], 413),
        ([b"123456"], None, ["start", "end"], 200),
    ],
)
def test_bodies_above_the_limit_are_refused(
    chunks: list[bytes], content_length: str | None, script: list[str], status: int
) -> None:
    log, _ = exchange(RequestBodyLimitMiddleware(application(script), 5), chunks, content_length)
    assert log[0]["status"] == status
    if status == 413:
        assert [message.get("body") for message in log] == [None, b"Content Too Large"]


def test_error_propagates_when_the_response_has_begun() -> None:
    log, _ = exchange(RequestBodyLimitMiddleware(application(["start", "read"]), 5), [b"123456"], None)
    assert log == [START, (413, "413: Content Too Large")]


def test_inner_limits_replace_outer_ones() -> None:
    for inner, status in ((10, 200), (3, 413)):
        app = RequestBodyLimitMiddleware(RequestBodyLimitMiddleware(application(GOOD), inner), 5)
        log, _ = exchange(app, [b"123", b"45", b"6"] if inner == 10 else [b"1234"], None)
        assert log[0]["status"] == status


@pytest.mark.parametrize("outer", [{}, {MAX_BODY_SIZE_SCOPE_KEY: 99}])
def test_scope_holds_the_limit_inside_and_is_restored_outside(outer: dict[str, int]) -> None:
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[MAX_BODY_SIZE_SCOPE_KEY])

    _, scope = exchange(RequestBodyLimitMiddleware(RequestBodyLimitMiddleware(app, 7), 5), [], None, **outer)
    assert seen == [7]
    assert {key: value for key, value in scope.items() if key.startswith("starlette.")} == outer


def test_other_scopes_pass_unseen() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert MAX_BODY_SIZE_SCOPE_KEY not in scope
        await send(await receive())

    log, _ = exchange(RequestBodyLimitMiddleware(app, 1), [b"long"], "9", type="websocket")
    assert log[0]["body"] == b"long"


def test_error_can_be_handled_as_an_http_exception() -> None:
    assert issubclass(RequestBodyTooLarge, turboapi.exceptions.StarletteHTTPException)
    error = RequestBodyTooLarge()
    assert (error.status_code, error.detail) == (413, "Content Too Large")
