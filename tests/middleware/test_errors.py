import asyncio
import sys
from typing import Any

import pytest
import starlette.middleware.errors

from turboapi.middleware.errors import ServerErrorMiddleware
from turboapi.requests import Request
from turboapi.responses import JSONResponse, PlainTextResponse, Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"body"}


def failing(*messages: Message, error: Exception | None = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise error or KeyError("broken <b>")

    return app


def sent_by(app: ASGIApp, accept: str = "*/*", expected: type[Exception] = KeyError, **scope: Any) -> list[Message]:
    """Run an application that must raise; return the messages it sent before."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def run() -> None:
        headers = [(b"accept", accept.encode())]
        await app({"type": "http", "method": "GET", "headers": headers, **scope}, None, send)  # type: ignore[arg-type]

    with pytest.raises(expected):
        asyncio.run(run())
    return messages


def test_answer_is_that_of_the_reference_and_the_error_is_raised_again() -> None:
    messages = sent_by(ServerErrorMiddleware(failing()))
    assert messages == sent_by(starlette.middleware.errors.ServerErrorMiddleware(failing()))
    assert (messages[0]["status"], messages[1]["body"]) == (500, b"Internal Server Error")


@pytest.mark.parametrize("is_async", [True, False])
def test_handler_makes_the_answer(is_async: bool) -> None:
    def handle(request: Request, exc: Exception) -> Response:
        return JSONResponse([request.headers["accept"], repr(exc)], 503)

    async def handle_async(request: Request, exc: Exception) -> Response:
        return handle(request, exc)

    messages = sent_by(ServerErrorMiddleware(failing(), handler=handle_async if is_async else handle))
    assert messages[0]["status"] == 503
    assert messages[1]["body"] == b'["*/*","KeyError(\'broken <b>\')"]'


def test_handler_is_called_but_not_answered_when_the_response_has_begun() -> None:
    handled: list[Exception] = []

    def handle(request: Request, exc: Exception) -> Response:
        handled.append(exc)
        return PlainTextResponse("too late")

    assert sent_by(ServerErrorMiddleware(failing(START, BODY), handler=handle)) == [START, BODY]
    assert len(handled) == 1


@pytest.mark.parametrize("scope_type", ["websocket", "lifespan"])
def test_other_scopes_are_left_alone(scope_type: str) -> None:
    assert sent_by(ServerErrorMiddleware(failing(), debug=True), type=scope_type) == []


def test_without_an_error_nothing_is_changed() -> None:
    for scope_type in ("http", "lifespan"):
        messages: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)

        async def send(message: Message, messages: list[Message] = messages) -> None:
            messages.append(message)

        asyncio.run(ServerErrorMiddleware(app)({"type": scope_type}, None, send))  # type: ignore[arg-type]
        assert messages == [START]


def test_debug_answers_with_the_traceback() -> None:
    start, body = sent_by(ServerErrorMiddleware(failing(), debug=True))
    assert dict(start["headers"])[b"content-type"] == b"text/plain; charset=utf-8"
    text = body["body"].decode()
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("KeyError: 'broken <b>'\n")


def test_debug_page_shows_the_error_and_the_code_without_letting_either_be_markup() -> None:
    start, body = sent_by(ServerErrorMiddleware(failing(), debug=True), accept="text/html, */*")
    page = body["body"].decode()
    assert start["status"] == 500
    assert dict(start["headers"])[b"content-type"] == b"text/html; charset=utf-8"
    assert "KeyError: &#x27;broken &lt;b&gt;&#x27;" in page
    assert "<b>&#x27;" not in page
    assert '<li class="current">        raise error or KeyError(&quot;broken &lt;b&gt;&quot;)</li>' in page


def test_debug_page_opens_only_the_innermost_call() -> None:
    _, body = sent_by(ServerErrorMiddleware(failing(), debug=True), accept="text/html")
    page = body["body"].decode()
    assert page.count("<details open>") == 1
    assert page.count("<details>") == 1
    assert page.index("<details open>") < page.index("<details>")


def test_debug_page_needs_neither_source_nor_traceback_nor_message() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message")

    exec(compile("def fail(error): raise error", "<no file>", "exec"), names := {})
    middleware = ServerErrorMiddleware(failing(), debug=True)
    assert "Mute: " in middleware.generate_html(Mute())
    try:
        names["fail"](Mute())
    except Mute as exc:
        page = middleware.generate_html(exc)
    assert "File <code>&lt;no file&gt;</code>, line <b>1</b>, in <b>fail</b>" in page


def test_debug_page_shows_as_many_lines_as_asked_for() -> None:
    middleware = ServerErrorMiddleware(failing())
    try:
        raise KeyError
    except KeyError as exc:
        line = sys._getframe().f_lineno - 2
        page = middleware.generate_html(exc, limit=3)
    assert page.count("<li") == 3
    assert f'<ol start="{line - 1}">' in page
