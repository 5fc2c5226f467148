import asyncio
import os
import string
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import CookieError
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import anyio
import fastapi.responses
import pytest
import starlette.background
import starlette.responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turboapi.background
from turboapi import responses
from turboapi.datastructures import URL
from turboapi.exceptions import ClientDisconnect, FastAPIDeprecationWarning
from turboapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

Message = dict[str, Any]
GET = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.4"}}


# Time says nothing here: the machine may be busy, and the first text drawn builds a table of all characters.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def never() -> Any:
    await asyncio.get_running_loop().create_future()


def sent_by(app: Any, receive: Callable[[], Awaitable[Any]] = never, **scope: Any) -> list[Message]:
    """Run an ASGI application and return the messages it sends."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def run() -> None:
        await app({**GET, **scope}, receive, send)

    asyncio.run(run())
    return messages


def body_of(messages: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages)


def outcome(make: Callable[[], Any]) -> Any:
    """Return the head of the response that `make` returns, or what went wrong."""
    try:
        response = make()
    except Exception as exc:
        return type(exc).__name__, str(exc)
    return response.status_code, response.raw_headers, response.body


def assert_same(make: Callable[[ModuleType], Any]) -> None:
    assert outcome(lambda: make(responses)) == outcome(lambda: make(starlette.responses))


@pytest.mark.parametrize("name", ["Response", "PlainTextResponse", "HTMLResponse"])
@pytest.mark.parametrize("content", [None, "", "text", "naïve ☃", b"\xff\x00", memoryview(b"abcd")[::2], 7], ids=repr)
def test_plain_responses_render_like_the_reference(name: str, content: Any) -> None:
    assert_same(lambda lib: getattr(lib, name)(content))


@pytest.mark.parametrize("status_code", [100, 101, 199, 200, 204, 205, 301, 304, 404, 500])
@pytest.mark.parametrize("content", [None, "body"])
def test_content_length_depends_on_the_status_like_in_the_reference(status_code: int, content: str | None) -> None:
    assert_same(lambda lib: lib.PlainTextResponse(content, status_code))


@pytest.mark.parametrize("media_type", [None, "text/csv", "text/csv; Charset=latin-1", "image/png", "TEXT/plain", ""])
def test_charset_is_added_like_in_the_reference(media_type: str | None) -> None:
    assert_same(lambda lib: lib.Response("x", media_type=media_type))
    assert_same(lambda lib: lib.HTMLResponse("x", media_type=media_type))


header_names = st.sampled_from(["X-Custom", "x-custom", "Content-Type", "content-length", "Content-Length", "ETag"])
header_values = st.text(st.characters(max_codepoint=0x17F, exclude_characters="\r\n"), max_size=8)


@relaxed
@given(headers=st.none() | st.dictionaries(header_names, header_values))
def test_given_headers_win_over_derived_ones(headers: dict[str, str] | None) -> None:
    assert_same(lambda lib: lib.PlainTextResponse("x", headers=headers))


def test_memoryview_counts_bytes_not_items() -> None:
    response = Response(memoryview(b"abcdefgh").cast("I"))
    assert response.headers["content-length"] == "8"
    assert bytes(response.body) == b"abcdefgh"


def test_headers_write_through_to_the_raw_headers() -> None:
    response = PlainTextResponse("x")
    response.headers["X-Later"] = "1"
    del response.headers["content-type"]
    assert response.raw_headers == [(b"content-length", b"1"), (b"x-later", b"1")]
    assert response.headers is response.headers


def test_subclass_overrides_render_and_media_type() -> None:
    class Doubled(Response):
        media_type = "text/doubled"
        charset = "utf-16-le"

        def render(self, content: Any) -> bytes | memoryview:
            return super().render(content * 2)

    response = Doubled("ab")
    assert response.body == "abab".encode("utf-16-le")
    assert response.headers["content-type"] == "text/doubled; charset=utf-16-le"
    assert response.headers["content-length"] == "8"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.integers(), children),
    max_leaves=6,
)


@given(json_values)
@settings(relaxed, max_examples=60)
def test_json_is_that_of_the_reference(value: Any) -> None:
    assert_same(lambda lib: lib.JSONResponse(value))


def test_json_needs_content_and_refuses_what_is_not_json() -> None:
    with pytest.raises(TypeError):
        JSONResponse()  # type: ignore[call-arg]
    with pytest.raises(ValueError):
        JSONResponse(float("nan"))
    with pytest.raises(TypeError):
        JSONResponse(object())
    assert JSONResponse(None).body == b"null"


@relaxed
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_redirects_quote_like_the_reference(url: str) -> None:
    assert_same(lambda lib: lib.RedirectResponse(url))


def test_redirect_takes_url_objects_status_and_headers() -> None:
    response = RedirectResponse(URL("/a b"), 303, headers={"x-reason": "moved"})
    assert response.status_code == 303
    assert dict(response.headers) == {"x-reason": "moved", "content-length": "0", "location": "/a%20b"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"value": "with space; and ümlaut"},
        {"max_age": 0, "expires": 10, "path": "/sub", "domain": "example.org", "secure": True, "httponly": True},
        {"max_age": 3600, "path": None, "samesite": None},
        {"samesite": "Strict"},
        {"samesite": "none", "secure": True},
        {"samesite": "invalid"},
        {"expires": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"expires": datetime(2037, 1, 22, 12, 0, tzinfo=UTC)},
        {"expires": datetime(2037, 1, 22, 12, 0)},
        {"key": "bad key"},
        {"partitioned": True},
        {"domain": "", "path": ""},
    ],
    ids=repr,
)
def test_cookies_are_those_of_the_reference(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)

    def make(lib: ModuleType) -> Any:
        response = lib.Response()
        response.set_cookie(**{"key": "name", "value": "value"} | arguments)
        response.set_cookie("second")
        return response

    assert_same(make)


def test_illegal_cookie_names_raise() -> None:
    with pytest.raises(CookieError):
        Response().set_cookie("bad key")


def test_deleted_cookies_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)

    def make(lib: ModuleType) -> Any:
        response = lib.Response()
        response.delete_cookie("name")
        response.delete_cookie("other", path="/x", domain="example.org", secure=True, httponly=True, samesite="none")
        return response

    assert_same(make)


@pytest.mark.parametrize("scope_type", ["http", "websocket"])
def test_sent_messages_are_those_of_the_reference(scope_type: str) -> None:
    ours = sent_by(HTMLResponse("<p>", 201), type=scope_type)
    assert ours == sent_by(starlette.responses.HTMLResponse("<p>", 201), type=scope_type)
    assert [message["type"].startswith("websocket.") for message in ours] == [scope_type == "websocket"] * 2


def response_with(background: turboapi.background.BackgroundTask, kind: str, path: Path) -> Response:
    if kind == "plain":
        return Response("x", background=background)
    if kind == "stream":
        return StreamingResponse(iter(["x"]), background=background)
    path.write_text("x")
    return FileResponse(path, background=background)


@pytest.mark.parametrize("kind", ["plain", "stream", "file"])
@pytest.mark.parametrize("scope", [{}, {"asgi": {}}, {"type": "websocket"}], ids=["2.4", "2.0", "websocket"])
def test_background_runs_after_the_response_is_sent(kind: str, scope: dict[str, Any], tmp_path: Path) -> None:
    events: list[str] = []
    background = turboapi.background.BackgroundTask(events.append, "background")
    response = response_with(background, kind, tmp_path / "file.txt")

    async def send(message: Message) -> None:
        events.append(message["type"].removeprefix("websocket."))

    asyncio.run(response({**GET, **scope}, never, send))
    assert events[0] == "http.response.start"
    assert events[-2:] == ["http.response.body", "background"]


def chunks_of(kind: str) -> Any:
    items: list[Any] = ["text ☃", b"bytes", memoryview(b"view"), ""]

    async def generate() -> AsyncIterator[Any]:
        for item in items:
            yield item

    return {"list": items, "generator": (item for item in items), "async": generate()}[kind]


@pytest.mark.parametrize("kind", ["list", "generator", "async"])
@pytest.mark.parametrize("scope", [{}, {"asgi": {}}, {"type": "websocket"}], ids=["2.4", "2.0", "websocket"])
def test_streams_send_what_the_reference_sends(kind: str, scope: dict[str, Any]) -> None:
    def run(lib: ModuleType) -> list[Message]:
        stream = lib.StreamingResponse(chunks_of(kind), 202, {"x-a": "b"}, "text/x")
        return sent_by(stream, **scope)

    assert run(responses) == run(starlette.responses)


def test_streams_have_no_length_unless_it_is_given() -> None:
    assert "content-length" not in StreamingResponse([]).headers
    assert StreamingResponse([b"ab"], headers={"content-length": "2"}).headers["content-length"] == "2"


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0)


def test_stream_raises_client_disconnect_where_send_reports_it() -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise BrokenPipeError

    with pytest.raises(ClientDisconnect):
        asyncio.run(StreamingResponse(endless())(GET, never, send))


@pytest.mark.parametrize("asgi", [{}, {"spec_version": "2.3"}])
def test_stream_is_cancelled_by_a_disconnect_where_send_does_not_report_it(asgi: dict[str, str]) -> None:
    started = asyncio.Event()
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        await started.wait()
        return next(messages)

    async def send(message: Message) -> None:
        started.set()

    asyncio.run(asyncio.wait_for(StreamingResponse(endless())({**GET, "asgi": asgi}, receive, send), 10))
    assert list(messages) == []


@pytest.mark.parametrize("scope", [{}, {"asgi": {}}], ids=["2.4", "2.0"])
def test_errors_of_a_stream_propagate_bare(scope: dict[str, Any]) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        sent_by(StreamingResponse(failing()), **scope)


CONTENT = string.printable.encode() * 4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_bytes(CONTENT)
    return path


def sent_for_file(lib: ModuleType, path: Path, headers: dict[str, str], options: dict[str, Any], **scope: Any) -> Any:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    chunk_size = patch.object(lib.FileResponse, "chunk_size", 64)
    with chunk_size, patch.object(lib, "token_hex", lambda size: "0" * 2 * size):
        try:
            return sent_by(lib.FileResponse(path, **options), **{"headers": raw, **scope})
        except RuntimeError as exc:
            return str(exc)


ETAG_OF_FILE = object()
DATE_OF_FILE = object()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes=0-0"},
        {"range": "bytes=10-200"},
        {"range": "bytes=-7"},
        {"range": "bytes=390-999"},
        {"range": "Bytes = 3 - 4"},
        {"range": "bytes=0-1,2-3,100-299,250-310"},
        {"range": "bytes=200-210, junk, 0-4"},
        {"range": "bytes=400-"},
        {"range": "bytes=5-4"},
        {"range": "bytes=-"},
        {"range": "bytes"},
        {"range": "items=0-1"},
        {"range": "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 200, 2))},
        {"range": "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 202, 2))},
        {"range": "bytes=0-1", "if-range": ETAG_OF_FILE},
        {"range": "bytes=0-1", "if-range": DATE_OF_FILE},
        {"range": "bytes=0-1", "if-range": '"other"'},
        {"range": "bytes=0-1", "if-range": 'W/"weak"'},
    ],
    ids=lambda headers: "; ".join(f"{name}: {str(value)[:24]}" for name, value in headers.items()) or "none",
)
@pytest.mark.parametrize(
    ("scope", "options"),
    [
        ({}, {}),
        ({"asgi": {}}, {}),
        ({"method": "head"}, {}),
        ({"method": "POST"}, {}),
        ({"type": "websocket"}, {}),
        ({"extensions": {"http.response.pathsend": {}}}, {}),
        ({}, {"status_code": 404}),
        ({}, {"headers": {"etag": 'W/"weak"', "content-type": "x/y"}}),
    ],
    ids=["get", "asgi-2.0", "head", "post", "websocket", "pathsend", "404", "own-headers"],
)
def test_files_are_sent_like_by_the_reference(
    headers: dict[str, Any], scope: dict[str, Any], options: dict[str, Any], file: Path
) -> None:
    known = FileResponse(file, stat_result=file.stat()).headers
    validators = {ETAG_OF_FILE: known["etag"], DATE_OF_FILE: known["last-modified"]}
    headers = {name: validators.get(value, value) for name, value in headers.items()}
    ours = sent_for_file(responses, file, headers, options, **scope)
    assert ours == sent_for_file(starlette.responses, file, headers, options, **scope)


numbers = st.integers(-3, 30).map(str) | st.sampled_from(["", " ", "x", "1_0", "٣"])
specs = st.tuples(numbers, st.sampled_from(["-", " - ", "--", ""]), numbers).map("".join)
range_headers = st.lists(specs, max_size=5).map(lambda parts: "bytes=" + ",".join(parts)) | st.text("bytes=0-9, ")


@given(range_headers, st.integers(0, 25))
@settings(relaxed, max_examples=200)
def test_range_headers_mean_what_they_mean_to_the_reference(header: str, size: int) -> None:
    stat_result = os.stat_result((0o100644, 0, 0, 0, 0, 0, size, 0, 0, 0))

    def run(lib: ModuleType) -> Any:
        return sent_for_file(lib, Path("data.txt"), {"range": header}, {"stat_result": stat_result}, method="HEAD")

    assert run(responses) == run(starlette.responses)


@relaxed
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), min_size=1), st.text("ab/", min_size=1))
def test_multipart_length_is_that_of_the_parts(spans: list[tuple[int, int]], content_type: str) -> None:
    ranges = [(start, start + size) for start, size in spans]
    length, part_head = FileResponse("x").generate_multipart(ranges, "boundary", 10**7, content_type)
    theirs = starlette.responses.FileResponse("x").generate_multipart(ranges, "boundary", 10**7, content_type)
    assert length == theirs[0]
    assert [part_head(*span) for span in ranges] == [theirs[1](*span) for span in ranges]


@pytest.mark.parametrize(
    "options",
    [
        {"filename": "plain.txt"},
        {"filename": "ümlaut name.txt"},
        {"filename": "image.png", "content_disposition_type": "inline"},
        {"media_type": "x/y"},
        {"media_type": ""},
        {"headers": {"content-disposition": "mine", "accept-ranges": "none", "content-length": "1"}, "filename": "x"},
    ],
    ids=repr,
)
def test_file_headers_are_those_of_the_reference(options: dict[str, Any], file: Path) -> None:
    options["stat_result"] = file.stat()
    assert FileResponse(file, **options).raw_headers == starlette.responses.FileResponse(file, **options).raw_headers


@pytest.mark.parametrize(("name", "error"), [("missing", "does not exist"), ("", "is not a file")])
def test_sending_what_is_no_file_raises(name: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"^File at path .* {error}.$"):
        sent_by(FileResponse(tmp_path / name))


def test_file_that_shrinks_while_parts_are_sent_raises(file: Path) -> None:
    response = FileResponse(file, stat_result=file.stat())
    file.write_bytes(b"short")
    with pytest.raises(RuntimeError, match="is shorter than expected"):
        sent_by(response, headers=[(b"range", b"bytes=0-1,10-20")])


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"headers": [(b"range", b"bytes=0-99")], "extensions": {"http.response.pathsend": {}}},
        {"headers": [(b"range", b"bytes=0-99,200-299")]},
    ],
    ids=["whole", "range", "ranges"],
)
def test_disconnect_stops_the_transfer_and_closes_the_file(
    scope: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileResponse, "chunk_size", 16)
    opened: list[Any] = []
    open_file = anyio.open_file
    sending, bodies = asyncio.Event(), 0

    async def tracked_open(*args: Any, **kwargs: Any) -> Any:
        opened.append(await open_file(*args, **kwargs))
        return opened[-1]

    async def receive() -> Message:
        await sending.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal bodies
        if message["type"] == "http.response.body":
            bodies += 1
            sending.set()
            await never()

    monkeypatch.setattr(anyio, "open_file", tracked_open)
    asyncio.run(asyncio.wait_for(FileResponse(file)({**GET, "asgi": {}, **scope}, receive, send), 10))
    assert bodies == 1
    assert [opened_file.wrapped.closed for opened_file in opened] == [True]


def test_whole_file_arrives_in_chunks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileResponse, "chunk_size", 100)
    start, *bodies = sent_by(FileResponse(file))
    assert body_of(bodies) == CONTENT
    assert [message["more_body"] for message in bodies] == [True] * 4 + [False]
    assert dict(start["headers"])[b"content-length"] == b"400"


def test_last_modified_is_the_time_of_the_file(file: Path) -> None:
    when = datetime(2020, 2, 29, 12, 30, tzinfo=UTC)
    os.utime(file, (0, when.timestamp()))
    response = FileResponse(file, stat_result=file.stat())
    os.utime(file, (0, (when + timedelta(seconds=1)).timestamp()))
    later = FileResponse(file, stat_result=file.stat())
    assert response.headers["last-modified"] == "Sat, 29 Feb 2020 12:30:00 GMT"
    assert response.headers["etag"] != later.headers["etag"]


@pytest.fixture
def deprecated_dumps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class FakeJSON:
        OPT_NON_STR_KEYS, OPT_SERIALIZE_NUMPY = 4, 16

        @staticmethod
        def dumps(content: Any, **options: Any) -> Any:
            text = f"{content} {options}"
            return text.encode() if "option" in options else text

    monkeypatch.setattr(responses, "ujson", FakeJSON)
    monkeypatch.setattr(responses, "orjson", FakeJSON)
    yield


@pytest.mark.parametrize(
    ("name", "body"),
    [("UJSONResponse", b"data {'ensure_ascii': False}"), ("ORJSONResponse", b"data {'option': 20}")],
)
@pytest.mark.usefixtures("deprecated_dumps")
def test_deprecated_json_classes_warn_and_use_their_library(name: str, body: bytes) -> None:
    with pytest.warns(FastAPIDeprecationWarning, match=f"^{name} is deprecated"):
        response = getattr(responses, name)("data")
    assert response.body == body
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["UJSONResponse", "ORJSONResponse"])
def test_deprecated_json_classes_say_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = name.removesuffix("Response").lower()
    monkeypatch.setattr(responses, module, None)
    with warnings.catch_warnings(), pytest.raises(AssertionError, match=f"{module} must be installed to use {name}"):
        warnings.simplefilter("ignore", FastAPIDeprecationWarning)
        getattr(responses, name)("data")


def test_every_response_class_of_the_reference_exists() -> None:
    for reference in (starlette.responses, fastapi.responses):
        names = {name for name, value in vars(reference).items() if isinstance(value, type) and "Re" in name}
        assert {name for name in names if not name.startswith("_")} <= set(dir(responses))


def test_only_classes_that_are_sent_whole_keep_the_base_call() -> None:
    classes = [cls for cls in vars(responses).values() if isinstance(cls, type) and issubclass(cls, Response)]
    kept = {cls.__name__ for cls in classes if cls.__call__ is Response.__call__}
    expected = {"Response", "HTMLResponse", "PlainTextResponse", "JSONResponse", "RedirectResponse"}
    assert kept == expected | {"UJSONResponse", "ORJSONResponse"}
