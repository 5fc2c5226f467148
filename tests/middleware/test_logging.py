"""The access log: in process, over a socket, and as an ASGI application under any server."""

import asyncio
import json
import logging
import re
import time

import anyio
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.middleware.exchanges import exchange, headers_of, http_scope, response, sender, websocket_scope
from turboapi import HTTPException, Request, TurboAPI
from turboapi.exceptions import ClientDisconnect
from turboapi.middleware import BaseHTTPMiddleware, LoggingMiddleware, Middleware
from turboapi.middleware.logging import request_id
from turboapi.responses import PlainTextResponse, StreamingResponse

LOGGER = "turboapi.requests"
PATIENCE = 20
FRESH = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def records(caplog):
    """`records(count)`: the records so far, once there are so many: clients have their answer before it is logged."""
    caplog.set_level(logging.INFO, LOGGER)

    def wait(count=0):
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [record for record in caplog.records if record.name == LOGGER]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    return wait


@pytest.fixture
def log_of(records):
    """`log_of(app, scope, **options)`: the fields that are logged for one request."""

    def run(app, scope=None, **options):
        before = len(records())
        exchange(LoggingMiddleware(app, **options), scope or http_scope())
        found = records()[before:]
        return found[0].fields if found else None

    return run


def make_app(**options):
    app = TurboAPI(middleware=[Middleware(LoggingMiddleware, **options)])

    @app.get("/items/{item_id}")
    async def read(item_id: int, request: Request):
        return [request.state.request_id, request_id.get()]

    @app.get("/thread")
    def read_in_thread(request: Request):
        return [request.state.request_id, request_id.get()]

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["a", "b"]))

    @app.get("/refused")
    async def refuse():
        raise HTTPException(403)

    @app.get("/unwell", status_code=503)
    async def be_unwell():
        return "unwell"

    @app.get("/fails")
    async def fail():
        raise ValueError("s3cret")

    return app


# --- one record for each request -------------------------------------------------------------------------------------


def test_a_request_is_logged(client_for, records):
    client = client_for(make_app())
    found = client.get("/items/5?q=tea", headers={"User-Agent": "me", "X-Request-ID": "abc-1"})
    assert found.json() == ["abc-1", "abc-1"]
    [record] = records(1)
    fields = json.loads(record.getMessage())
    assert fields == record.fields
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", fields.pop("time"))
    assert fields.pop("duration_ms") >= 0
    assert fields.pop("client") in ("testclient", "127.0.0.1")
    assert fields == {
        "level": "info",
        "request_id": "abc-1",
        "method": "GET",
        "path": "/items/5",
        "query": "q=tea",
        "status": 200,
        "request_headers": {"user-agent": "me"},
    }


@pytest.mark.parametrize(
    ("path", "status", "level", "error"),
    [
        ("/items/5", 200, logging.INFO, None),
        ("/stream", 200, logging.INFO, None),
        ("/items/five", 422, logging.WARNING, None),
        ("/nowhere", 404, logging.WARNING, None),
        ("/refused", 403, logging.WARNING, None),
        ("/unwell", 503, logging.ERROR, None),
        ("/fails", 500, logging.ERROR, "ValueError"),
    ],
)
def test_levels(client_for, records, path, status, level, error):
    assert client_for(make_app()).get(path).status_code == status
    [record] = records(1)
    assert (record.levelno, record.fields["status"], record.fields.get("error")) == (level, status, error)
    assert record.fields["level"] == record.levelname.lower()
    assert "s3cret" not in record.getMessage()


def test_time_ends_with_the_response(log_of, monkeypatch):
    now = [5.0]
    monkeypatch.setattr("turboapi.middleware.logging.time.perf_counter", lambda: now[0])

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        now[0] += 1
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        now[0] += 1
        await send({"type": "http.response.body", "body": b"b"})
        now[0] += 1

    assert log_of(app)["duration_ms"] == 2000


def test_an_exception_in_a_stream_is_logged(log_of):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    fields = log_of(app)
    assert (fields["level"], fields["status"], fields["error"]) == ("error", 200, "ValueError")


def test_disconnects(log_of):
    async def leave(scope, receive, send):
        return

    async def notice(scope, receive, send):
        raise ClientDisconnect

    async def leave_late(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})

    for app in (leave, notice):
        fields = log_of(app)
        assert fields["disconnected"] is True
        assert (fields["level"], "status" in fields, "error" in fields) == ("warning", False, False)
    fields = log_of(leave_late)
    assert (fields["level"], fields["status"], fields["disconnected"]) == ("warning", 200, True)


async def dispatch(request, call_next):
    return await call_next(request)


@pytest.mark.parametrize(
    "middleware",
    [
        [Middleware(LoggingMiddleware)],
        [Middleware(LoggingMiddleware), Middleware(BaseHTTPMiddleware, dispatch=dispatch)],
        [Middleware(BaseHTTPMiddleware, dispatch=dispatch), Middleware(LoggingMiddleware)],
        [Middleware(lambda app: app), Middleware(LoggingMiddleware)],
    ],
    ids=["alone", "outside", "inside", "asgi"],
)
def test_a_client_that_leaves_a_stream_is_logged(serve, records, middleware):
    async def count():
        while True:
            yield b"more"
            await asyncio.sleep(0.01)

    app = TurboAPI(middleware=middleware)
    app.get("/")(lambda: StreamingResponse(count()))
    with serve(app) as served, httpx.stream("GET", served.url, trust_env=False, timeout=PATIENCE) as found:
        parts = found.iter_raw()
        assert next(parts)
        assert records() == []
        found.close()
        [record] = records(1)
    assert (record.levelno, record.fields["status"]) == (logging.WARNING, 200)
    assert (record.fields["disconnected"], "error" in record.fields) == (True, False)


def test_cancellation_is_logged(records):
    async def wait(scope, receive, send):
        await anyio.sleep_forever()

    async def run():
        with anyio.move_on_after(0.01):
            await LoggingMiddleware(wait)(http_scope(), None, None)

    asyncio.run(run())
    [record] = records()
    assert (record.levelno, record.fields["error"]) == (logging.WARNING, "CancelledError")


def test_websockets_and_the_lifespan_pass_untouched(records):
    for scope in (websocket_scope(), {"type": "lifespan"}):
        messages = [{"type": "something", "code": 1000}]
        assert exchange(LoggingMiddleware(sender(*messages)), scope) == messages
    assert records() == []


def test_nothing_is_logged_below_the_level_of_the_logger(caplog, log_of):
    caplog.set_level(logging.WARNING, LOGGER)
    assert log_of(response()) is None
    assert log_of(response(status=404)) is not None


def test_the_client_is_found_behind_proxies(log_of):
    scope = http_scope([("X-Forwarded-For", "1.1.1.1, 2001:db8::9")], client=("10.0.0.1", 1))
    assert log_of(response(), scope)["client"] == "10.0.0.1"
    assert log_of(response(), scope, trusted_proxies=["10.0.0.1"])["client"] == "2001:db8::9"


# --- request ids -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/items/5", "/thread"])
def test_ids_are_made_and_told(client_for, records, path):
    client = client_for(make_app())
    found = [client.get(path) for _ in range(2)]
    ids = [each.headers["x-request-id"] for each in found]
    assert all(FRESH.fullmatch(each) for each in ids) and ids[0] != ids[1]
    assert [each.json() for each in found] == [[each, each] for each in ids]
    assert [record.fields["request_id"] for record in records(2)] == ids


@pytest.mark.parametrize("options", [{}, {"debug": True}, {"handler": True}], ids=str)
def test_the_answer_to_an_exception_has_the_id(client_for, options):
    app = make_app()
    app.debug = "debug" in options
    if "handler" in options:
        app.exception_handler(Exception)(lambda request, exc: PlainTextResponse(str(exc), 500))
    found = client_for(app).get("/fails", headers={"X-Request-ID": "abc-1"})
    assert (found.status_code, found.headers.get_list("x-request-id")) == (500, ["abc-1"])


@pytest.mark.parametrize("value", ["abc", "a" * 128, "0b4f:9/+=@_-.Z"])
def test_ids_are_taken_over(log_of, value):
    assert log_of(response(), http_scope([("X-Request-ID", value)]))["request_id"] == value


@pytest.mark.parametrize("value", ["", "a" * 129, "a b", "a\nb", "a\r\nSet-Cookie: x=1", "\xe4", "a;b", 'a"b', "a\x00"])
def test_strange_ids_are_replaced(value):
    headers = headers_of(exchange(LoggingMiddleware(response()), http_scope([("X-Request-ID", value)])))
    assert [name for name, _ in headers] == ["x-request-id"]
    assert FRESH.fullmatch(headers[0][1])


def test_the_header_of_ids_can_be_another(log_of):
    scope = http_scope([("Trace", "t-1"), ("X-Request-ID", "r-1")])
    assert log_of(response(), scope, request_id_header="Trace")["request_id"] == "t-1"
    log = exchange(LoggingMiddleware(response([("Trace", "mine")]), request_id_header="Trace"), scope)
    assert headers_of(log) == [("trace", "t-1")]


def test_there_may_be_no_ids(log_of):
    assert "request_id" not in log_of(response(), request_id_header=None)
    log = exchange(LoggingMiddleware(response(), request_id_header=None), http_scope())
    assert headers_of(log) == []


# --- what is not logged ----------------------------------------------------------------------------------------------


def test_paths_can_be_excluded(client_for, records):
    client = client_for(make_app(exclude_paths=["/items/5", "/st*"]))
    found = [client.get(path) for path in ("/items/5", "/items/6", "/stream", "/items/5")]
    assert all("x-request-id" in each.headers for each in found)
    assert [record.fields["path"] for record in records(1)] == ["/items/6"]


def test_excluded_paths_without_ids(log_of):
    options = {"exclude_paths": ["/"], "request_id_header": None}
    assert log_of(response(), **options) is None
    assert log_of(response(), http_scope(path="/a"), **options) is not None


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (0.01, 1), (0.25, 25), (0.5, 50), (0.99, 99), (1, 100)])
def test_a_share_is_logged(records, share, expected):
    app = LoggingMiddleware(response(), sample=share)
    for _ in range(100):
        exchange(app, http_scope([("X-Request-ID", "always-the-same")]))
    assert len(records()) == expected


@pytest.mark.parametrize("status", [400, 404, 500])
def test_errors_are_always_logged(log_of, status):
    assert log_of(response(status=status), sample=0)["status"] == status
    assert log_of(response(status=304), sample=0) is None


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_headers_are_redacted(log_of):
    headers = [("Authorization", "Bearer s3cret"), ("Cookie", "s3cret"), ("X-Mine", "s3cret"), ("Accept", "*/*")]
    sent = [("Set-Cookie", "s3cret=1"), ("Set-Cookie", "s3cret=2"), ("Location", "/?token=s3cret&a=1"), ("ETag", "7")]
    fields = log_of(
        response(sent),
        http_scope([*headers, ("Referer", "https://a/?a=1&password=s3cret"), ("Accept", "text/html")]),
        request_headers=["*"],
        response_headers=["set-cookie", "Location"],
        redact_headers=["X-MINE"],
    )
    assert fields["request_headers"] == {
        "authorization": "[redacted]",
        "cookie": "[redacted]",
        "x-mine": "[redacted]",
        "accept": "*/*, text/html",
        "referer": "https://a/?a=1&password=[redacted]",
    }
    assert fields["response_headers"] == {
        "set-cookie": "[redacted], [redacted]",
        "location": "/?token=[redacted]&a=1",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"a=1&token=s3cret&b=2", "a=1&token=[redacted]&b=2"),
        (b"Token=s3cret&mine=s3cret&mine=", "Token=[redacted]&mine=[redacted]&mine=[redacted]"),
        (b"%74oken=s3cret&access_token=s3cret=x", "%74oken=[redacted]&access_token=[redacted]"),
        (b"token&tokens=1&&=", "token&tokens=1&&="),
    ],
)
def test_queries_are_redacted(log_of, query, expected):
    assert log_of(response(), http_scope(query_string=query), redact_query=["Mine"])["query"] == expected


# --- text ------------------------------------------------------------------------------------------------------------


def test_text(records):
    app = LoggingMiddleware(response(), format="text", response_headers=["*"])
    headers = [("X-Request-ID", "abc"), ("User-Agent", 'me "too" \\ =')]
    exchange(app, http_scope(headers, path="/a b", query_string=b"x=1"))
    [record] = records()
    text = re.sub(r"time=\S+|duration_ms=[\d.]+", "#", record.getMessage())
    assert text == (
        '# level=info request_id=abc client=127.0.0.1 method=GET path="/a b" query="x=1" status=200 # '
        'request_headers.user-agent="me \\"too\\" \\\\ =" response_headers.x-request-id=abc'
    )


@pytest.mark.parametrize("format", ["json", "text"])
@given(
    path=st.text(),
    query=st.binary(),
    headers=st.lists(st.tuples(st.binary(), st.binary())),
    method=st.text(),
)
@example(path="/\x7f\x1b[2J\n\u2028\x85", query=b"\x7f\r\n", headers=[(b"a\x7f\n", b"\x7f\n")], method="\x7f")
def test_nothing_can_be_injected(format, path, query, headers, method):
    scope = {**http_scope(path=path, query_string=query, method=method), "headers": headers}
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        exchange(LoggingMiddleware(response(), format=format, request_headers=["*"]), scope)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    [line] = lines
    assert line.isascii() and line.isprintable()
    if format == "json":
        assert json.loads(line).get("path", "") == path
    else:
        parts = re.findall(r'(?:[^\s"=]+|"(?:[^"\\]|\\.)*")+=("(?:[^"\\]|\\.)*"|[^\s"=]+)(?: |$)', line)
        assert len(parts) == len(re.sub(r'"(?:[^"\\]|\\.)*"', "", line).split())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "xml"}, "format must be one of json, text"),
        ({"sample": 2}, "sample must be between 0 and 1"),
        ({"request_headers": "user-agent"}, "names must be a list"),
        ({"exclude_paths": "/health"}, "paths must be a list"),
        ({"trusted_proxies": ["proxy"]}, "does not appear to be"),
    ],
)
def test_wrong_arguments(options, error):
    with pytest.raises(ValueError, match=error):
        LoggingMiddleware(response(), **options)
