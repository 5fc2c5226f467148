import asyncio
import copy
import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import starlette.requests
from hypothesis import given, settings
from hypothesis import strategies as st

from turboapi import requests
from turboapi.datastructures import URL, Address, FormData, Headers, QueryParams, State, URLPath
from turboapi.exceptions import MultiPartException, StarletteHTTPException
from turboapi.requests import ClientDisconnect, HTTPConnection, Request, cookie_parser

reference = starlette.requests
Message = dict[str, Any]


def http_scope(**changes: Any) -> dict[str, Any]:
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/items/1",
        "query_string": b"a=1&b=2&a=3",
        "headers": [(b"host", b"example.org"), (b"cookie", b"c=1"), (b"accept", b"x"), (b"cookie", b"d=2; c=3")],
        "client": ["10.0.0.1", 5000],
        "server": ("example.org", 80),
    }
    return {**scope, **changes}


def channel(*messages: Message) -> Callable[[], Awaitable[Message]]:
    """A receive channel that delivers `messages` and then waits for ever."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        return waiting.pop(0)

    return receive


def body_messages(*parts: bytes) -> list[Message]:
    return [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]] + [
        {"type": "http.request", "body": parts[-1]}
    ]


def run(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    return asyncio.run(function(*args))  # type: ignore[arg-type]


# --- cookies ---

COOKIE_TEXT = st.text('a b=;,"\\01237\n\xa0\x85é€', max_size=24)


@given(COOKIE_TEXT)
@settings(max_examples=500)
def test_cookies_are_the_references(text: str) -> None:
    assert cookie_parser(text) == reference.cookie_parser(text)
    quoted = 'a="' + text.replace(";", "\\") + '"'
    assert cookie_parser(quoted) == reference.cookie_parser(quoted)


@given(st.lists(COOKIE_TEXT.map(lambda text: text.replace("€", "").encode("latin-1")), max_size=3))
def test_cookies_of_a_connection_are_the_references(headers: list[bytes]) -> None:
    scope = http_scope(headers=[(b"cookie", value) for value in headers])
    assert Request(scope).cookies == reference.Request(copy.copy(scope)).cookies


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("a=b; c=d", {"a": "b", "c": "d"}),
        ("a=b; a=c", {"a": "c"}),
        ("a=b=c", {"a": "b=c"}),
        ("unnamed; a=b", {"": "unnamed", "a": "b"}),
        (' = ; ; a = "x;y" ', {"a": '"x', "": 'y"'}),
        (r'a="say \"hi\" \054 \\ \400"', {"a": 'say "hi" , \\ 400'}),
        (r"a=\054", {"a": r"\054"}),
        ('a="', {"a": '"'}),
    ],
)
def test_cookie_header_is_read_leniently(header: str, cookies: dict[str, str]) -> None:
    assert cookie_parser(header) == reference.cookie_parser(header) == cookies


def test_cookie_full_of_escapes_is_read_in_one_pass() -> None:
    # An algorithm that searches the rest of the text at every escape would be busy with this one for hours.
    assert cookie_parser('a="' + '\\"' * 1_000_000 + '"') == {"a": '"' * 1_000_000}


# --- the connection as a view on its scope ---

VIEWS = [
    "url",
    "base_url",
    "headers",
    "query_params",
    "path_params",
    "cookies",
    "client",
    "method",
    "app",
    "auth",
    "user",
]
SCOPES = [
    {},
    {"headers": [], "client": None},
    {"headers": ((b"host", b"a:99999"),), "server": None, "app": "the app", "auth": 1, "user": 2},
    {"root_path": "/root/mount", "app_root_path": "/root", "path_params": {"id": 1}},
    {"root_path": "/root/", "query_string": b""},
]


@pytest.mark.parametrize("changes", SCOPES)
@pytest.mark.parametrize("view", VIEWS)
def test_view_is_the_references(changes: dict[str, Any], view: str) -> None:
    def look(cls: Any) -> Any:
        try:
            return repr(getattr(cls(http_scope(**changes)), view))
        except Exception as error:
            return type(error), str(error)

    assert look(Request) == look(reference.Request)


def test_views_have_our_types_and_are_made_once() -> None:
    request = Request(http_scope())
    for view, cls in {
        "url": URL,
        "base_url": URL,
        "headers": Headers,
        "query_params": QueryParams,
        "state": State,
    }.items():
        assert type(getattr(request, view)) is cls
        assert getattr(request, view) is getattr(request, view)
    assert type(request.client) is Address
    assert request.cookies is request.cookies


def test_connection_is_a_mapping_of_its_scope_but_equals_only_itself() -> None:
    scope = http_scope()
    request, twin = Request(scope), Request(scope)
    assert (dict(request), len(request), request["method"]) == (scope, len(scope), "GET")
    assert request == request != twin
    assert len({request, twin}) == 2


@pytest.mark.parametrize(("cls", "kind"), [(HTTPConnection, "lifespan"), (Request, "websocket"), (Request, "lifespan")])
def test_scope_of_another_kind_is_refused(cls: Any, kind: str) -> None:
    with pytest.raises(AssertionError):
        cls({"type": kind})


def test_connection_may_be_a_websocket() -> None:
    connection: HTTPConnection = HTTPConnection(http_scope(type="websocket", scheme="ws"))
    assert str(connection.url) == "ws://example.org/items/1?a=1&b=2&a=3"


def test_state_lives_in_the_scope() -> None:
    scope = http_scope()
    Request(scope).state.user_id = 1
    assert scope["state"] == {"user_id": 1}
    assert Request(scope).state.user_id == 1


@pytest.mark.parametrize("name", ["session", "auth", "user"])
def test_what_a_middleware_provides_names_the_middleware_when_missing(name: str) -> None:
    with pytest.raises(AssertionError) as ours:
        getattr(Request(http_scope()), name)
    with pytest.raises(AssertionError) as expected:
        getattr(reference.Request(http_scope()), name)
    assert str(ours.value) == str(expected.value)


def test_session_notes_that_it_was_read() -> None:
    class Session(dict[str, Any]):
        accessed = False

        def mark_accessed(self) -> None:
            self.accessed = True

    session = Session()
    assert Request(http_scope(session=session)).session is session
    assert session.accessed
    assert Request(http_scope(session={"plain": 1})).session == {"plain": 1}


class Provider:
    """Stands in for a router."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        return URLPath(f"{self.prefix}/{name}/{path_params['name']}")


def test_url_for_asks_the_router_before_the_application() -> None:
    scope = http_scope(root_path="/root/mount", app_root_path="/root", app=Provider("/app"))
    assert Request(scope).url_for("items", name=1) == "http://example.org/root/app/items/1"
    scope["router"] = Provider("/router")
    assert Request(scope).url_for("items", name=1) == "http://example.org/root/router/items/1"


def test_url_for_needs_a_router() -> None:
    with pytest.raises(RuntimeError, match="The `url_for` method can only be used inside a Starlette application"):
        Request(http_scope()).url_for("items")


# --- the body ---


@pytest.mark.parametrize("parts", [(b"",), (b"12", b"3"), (b"", b"123"), (b"123", b"", b"")])
def test_body_is_put_together_and_kept(parts: tuple[bytes, ...]) -> None:
    async def check() -> None:
        request = Request(http_scope(), channel(*body_messages(*parts)))
        assert await request.body() == b"".join(parts)
        assert await request.body() is await request.body()
        assert [chunk async for chunk in request.stream()] == [b"".join(parts), b""]

    run(check)


def test_stream_gives_the_chunks_once() -> None:
    async def check() -> None:
        request = Request(http_scope(), channel(*body_messages(b"1", b"", b"2")))
        assert [chunk async for chunk in request.stream()] == [b"1", b"2", b""]
        for read in (request.body, request.json):
            with pytest.raises(RuntimeError, match="Stream consumed"):
                await read()

    run(check)


def test_two_streams_share_the_messages() -> None:
    async def check() -> None:
        request = Request(http_scope(), channel(*body_messages(b"1", b"2", b"3")))
        first, second = request.stream(), request.stream()
        taken = [await anext(first), await anext(second), await anext(first), await anext(first), await anext(second)]
        assert taken == [b"1", b"2", b"3", b"", b""]
        for stream in (first, second):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(check)


@pytest.mark.parametrize("read", ["body", "json", "form"])
def test_lost_client_is_reported_by_whatever_reads(read: str) -> None:
    async def check() -> None:
        headers = [(b"content-type", b"application/x-www-form-urlencoded")]
        messages: list[Message] = [*body_messages(b"a", b"")[:1], {"type": "http.disconnect"}]
        request = Request(http_scope(headers=headers), channel(*messages))
        with pytest.raises(ClientDisconnect):
            await getattr(request, read)()
        assert await request.is_disconnected()

    run(check)


def test_unknown_message_is_skipped() -> None:
    async def check() -> None:
        request = Request(http_scope(), channel({"type": "http.other"}, *body_messages(b"1")))
        assert await request.body() == b"1"

    run(check)


def test_json_is_parsed_once_whatever_the_content_type() -> None:
    async def check() -> None:
        request = Request(http_scope(), channel(*body_messages(b'{"a": ', b"[1]}")))
        assert await request.json() == {"a": [1]}
        assert await request.json() is await request.json()

    run(check)


def test_bad_json_is_a_json_error() -> None:
    with pytest.raises(json.JSONDecodeError):
        run(Request(http_scope(), channel(*body_messages(b"{"))).json)


def test_middleware_may_replace_the_body() -> None:
    async def check() -> None:
        request = Request(http_scope())
        request._body = b"[1]"
        assert await request.json() == [1]
        request._json = "replaced"
        assert await request.json() == "replaced"

    run(check)


def test_without_channels_the_request_says_so() -> None:
    request = Request(http_scope(extensions={"http.response.push": {}, "http.response.early_hint": {}}))
    with pytest.raises(RuntimeError, match="Receive channel has not been made available"):
        run(request.body)
    for send in (request.send_push_promise, request.send_early_hints):
        with pytest.raises(RuntimeError, match="Send channel has not been made available"):
            run(send, "/a")


@pytest.mark.parametrize("cls", [Request, reference.Request])
def test_is_disconnected_looks_without_waiting(cls: Any) -> None:
    async def check() -> None:
        lost = cls(http_scope(), channel())
        assert not await lost.is_disconnected()

        async def gone() -> Message:
            return {"type": "http.disconnect"}

        lost._receive = gone
        assert await lost.is_disconnected()
        lost._receive = channel()
        assert await lost.is_disconnected()

    run(check)


def test_is_disconnected_leaves_an_outer_cancellation_alone() -> None:
    async def check() -> None:
        request = Request(http_scope(), channel())
        with anyio.move_on_after(5) as scope:
            assert not await request.is_disconnected()
            await anyio.sleep(0)
        assert not scope.cancelled_caught

    run(check)


# --- forms ---

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
MULTIPART_BODY = (
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\ncontent\r\n--b--\r\n'
)


def form_request(content_type: str | None, body: bytes, **changes: Any) -> Request:
    headers = [(b"content-type", content_type.encode())] if content_type is not None else []
    return Request(http_scope(headers=headers, **changes), channel(*body_messages(body)))


@pytest.mark.parametrize("content_type", [URLENCODED, URLENCODED.upper(), f"{URLENCODED}; charset=utf-8"])
def test_urlencoded_form_is_read(content_type: str) -> None:
    async def check() -> None:
        request = form_request(content_type, b"a=1&a=2")
        form = await request.form()
        assert form.multi_items() == [("a", "1"), ("a", "2")]
        assert await request.form() is form

    run(check)


def test_multipart_form_is_read_and_closed() -> None:
    async def check() -> None:
        request = form_request(MULTIPART, MULTIPART_BODY)
        async with request.form() as form:
            assert form["a"] == "1"
            assert await form["f"].read() == b"content"  # type: ignore[union-attr]
        assert form["f"].file.closed  # type: ignore[union-attr]

    run(check)


def test_close_closes_the_files_of_a_parsed_form() -> None:
    async def check() -> None:
        request = form_request(MULTIPART, MULTIPART_BODY)
        await request.close()
        form = await request.form()
        assert not form["f"].file.closed  # type: ignore[union-attr]
        await request.close()
        assert form["f"].file.closed  # type: ignore[union-attr]

    run(check)


def test_form_can_be_read_after_the_body() -> None:
    async def check() -> None:
        request = form_request(URLENCODED, b"a=1")
        assert await request.body() == b"a=1"
        assert (await request.form())["a"] == "1"

    run(check)


@pytest.mark.parametrize("content_type", [None, "application/json", "multipart/mixed; boundary=b"])
def test_other_content_is_an_empty_form_and_stays_unread(content_type: str | None) -> None:
    async def check() -> None:
        request = form_request(content_type, b"a=1")
        assert await request.form() == FormData()
        assert await request.body() == b"a=1"

    run(check)


@pytest.mark.parametrize(
    ("content_type", "body", "limits", "message"),
    [
        (URLENCODED, b"a=1&b=2", {"max_fields": 1}, "Too many fields. Maximum number of fields is 1."),
        (URLENCODED, b"a=" + b"x" * 1024, {"max_part_size": 1024}, "Field exceeded maximum size of 1KB."),
        (MULTIPART, MULTIPART_BODY, {"max_files": 0}, "Too many files. Maximum number of files is 0."),
        (MULTIPART, MULTIPART_BODY, {"max_fields": 0}, "Too many fields. Maximum number of fields is 0."),
        (MULTIPART, MULTIPART_BODY, {"max_part_size": 0}, "Part exceeded maximum size of 0KB."),
        ("multipart/form-data", b"", {}, "Missing boundary in multipart."),
    ],
)
def test_bad_form_is_a_400_inside_an_application_only(
    content_type: str, body: bytes, limits: dict[str, int], message: str
) -> None:
    async def read(**changes: Any) -> Any:
        return await form_request(content_type, body, **changes).form(**limits)

    with pytest.raises(MultiPartException) as outside:
        asyncio.run(read())
    assert outside.value.message == message
    with pytest.raises(StarletteHTTPException) as inside:
        asyncio.run(read(app=object()))
    assert type(inside.value) is StarletteHTTPException
    assert (inside.value.status_code, inside.value.detail) == (400, message)


def test_form_without_python_multipart_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "parse_options_header", None)

    async def read() -> Any:
        return await form_request(URLENCODED, b"a=1").form()

    with pytest.raises(AssertionError, match=r"`python-multipart` library must be installed.*turboapi\[forms\]"):
        asyncio.run(read())


# --- what goes out ahead of the response ---


def sent(cls: Any, method: str, *args: str, **changes: Any) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def check() -> None:
        await getattr(cls(http_scope(**changes), channel(), send), method)(*args)

    asyncio.run(check())
    return messages


@pytest.mark.parametrize("extensions", [{}, {"http.response.push": {}, "http.response.early_hint": {}}])
@pytest.mark.parametrize(
    ("method", "args"), [("send_push_promise", ("/style.css",)), ("send_early_hints", ("</a>; rel=preload", "</b>"))]
)
def test_hints_are_the_references_and_only_sent_if_the_server_can(
    method: str, args: tuple[str, ...], extensions: dict[str, Any]
) -> None:
    changes = {"headers": [(b"accept", b"x"), (b"host", b"h"), (b"accept", b"y")], "extensions": extensions}
    messages = sent(Request, method, *args, **changes)
    assert messages == sent(reference.Request, method, *args, **changes)
    assert len(messages) == (1 if extensions else 0)
    assert sent(Request, method, *args) == []


# --- the module ---


@pytest.mark.parametrize("name", ["HTTPConnection", "Request"])
def test_members_and_signatures_are_the_references(name: str) -> None:
    ours, expected = getattr(requests, name), getattr(reference, name)
    for member, value in inspect.getmembers(expected):
        if inspect.isfunction(value) and member in vars(expected):
            assert shape(getattr(ours, member)) == shape(value), member
        elif not member.startswith("__"):
            assert hasattr(ours, member), member
    assert vars(Request(http_scope())).keys() == vars(reference.Request(http_scope())).keys()


def shape(function: Any) -> list[Any]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, getattr(p.default, "__name__", p.default)) for p in parameters]


def test_request_is_generic_in_its_state() -> None:
    assert Request[State].__origin__ is Request  # type: ignore[attr-defined]
    assert requests.SERVER_PUSH_HEADERS_TO_COPY == reference.SERVER_PUSH_HEADERS_TO_COPY
    assert issubclass(ClientDisconnect, Exception)
