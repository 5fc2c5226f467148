"""Requests and responses as messages: what is read from the bytes, and which bytes answer (RFC 9110, RFC 9112)."""

import asyncio
import contextvars
import email.utils
import time

import pytest

from tests.wire.harness import Settings, Site, chunked, echo, read_body, request, respond, splits
from turboapi import TurboAPI
from turboapi._speedups import AccessLog
from turboapi.server.health import Health

# --- keep-alive (RFC 9112 section 9.3) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "option", "kept"),
    [
        ("1.1", None, True),
        ("1.1", "keep-alive", True),
        ("1.1", "close", False),
        ("1.1", "Close", False),
        ("1.1", "keep-alive, close", False),
        ("1.1", "x-hop, close", False),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
        ("1.0", "Keep-Alive", True),
        ("1.0", "close", False),
    ],
)
@pytest.mark.parametrize("body", [b"", b"body"])
def test_keep_alive(wire, version, option, kept, body):
    headers = [f"Connection: {option}"] if option else []
    message = request(f"POST / HTTP/{version}", f"Content-Length: {len(body)}", *headers, body=body)
    peer = wire(echo).connect().feed(message)
    [answer] = peer.answers()
    assert answer.body == b"POST /\n" + body
    assert answer.keep_alive is kept
    assert answer.header("connection") == (("keep-alive" if version == "1.0" else None) if kept else "close")
    assert peer.open is kept
    if kept:
        assert peer.feed(message).statuses() == [200, 200]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_application_may_close(wire, version):
    async def app(scope, receive, send):
        await respond(send, b"bye", headers=[(b"connection", b"close")])

    peer = wire(app).connect().feed(request(f"GET / HTTP/{version}", "Connection: keep-alive") * 2)
    [answer] = peer.answers()
    assert (answer.body, answer.header("connection"), peer.open) == (b"bye", "close", False)


def test_nothing_is_read_after_close(wire):
    peer = wire(echo).connect().feed(request("GET /a HTTP/1.1", "Connection: close") + request("GET /b HTTP/1.1"))
    peer.feed(request("GET /c HTTP/1.1"))
    assert [answer.body for answer in peer.answers()] == [b"GET /a\n"]
    assert not peer.open


# --- pipelining (RFC 9112 section 9.3.2) ------------------------------------------------------------------------------


def test_answers_of_one_read_leave_in_one_write(wire):
    peer = wire(echo).connect().feed(b"".join(request(f"GET /{i} HTTP/1.1") for i in range(50)))
    assert len(peer.transport.writes) == 1
    assert [answer.body for answer in peer.answers()] == [b"GET /%d\n" % i for i in range(50)]


def test_answers_of_different_reads_leave_at_once(wire):
    peer = wire(echo).connect().feed(request(), request())
    assert len(peer.transport.writes) == 2


def test_many_answers_are_not_held_back_without_bound(wire):
    async def app(scope, receive, send):
        await respond(send, b"x" * 100_000)

    peer = wire(app).connect().feed(request() * 9)
    assert [len(answer.body) for answer in peer.answers()] == [100_000] * 9
    assert max(map(len, peer.transport.writes)) < 400_000


def test_order_of_answers_is_that_of_the_requests(wire):
    gates = {}

    async def app(scope, receive, send):
        name = scope["path"][1:]
        if name.startswith("slow"):
            gates[name] = asyncio.get_running_loop().create_future()
            await gates[name]
        elif name.startswith("turn"):
            await asyncio.sleep(0)
        await respond(send, name.encode())

    names = ["now", "turn1", "slow1", "now", "now", "slow2", "turn2", "now"]
    site = wire(app)
    peer = site.connect().feed(b"".join(request(f"GET /{name} HTTP/1.1") for name in names))
    assert [answer.body for answer in peer.answers()] == [b"now", b"turn1"]
    assert list(gates) == ["slow1"]  # one at a time
    site.call(gates["slow1"].set_result, None)
    assert len(peer.answers()) == 5
    site.call(gates["slow2"].set_result, None)
    assert [answer.body for answer in peer.answers()] == [name.encode() for name in names]
    assert site.hub.requests == 0
    assert site.hub.total_requests == len(names)


@pytest.mark.parametrize("waits", [False, True])
def test_pipelined_requests_share_no_context(wire, waits):
    variable = contextvars.ContextVar("variable", default=b"untouched")

    async def app(scope, receive, send):
        seen = variable.get()
        variable.set(b"set by a request before")
        if waits:
            await asyncio.sleep(0)
        await respond(send, seen)

    peer = wire(app).connect().feed(request("GET /1 HTTP/1.1") + request("GET /2 HTTP/1.1"))
    assert [answer.body for answer in peer.answers()] == [b"untouched", b"untouched"]


def test_requests_are_counted(wire):
    async def app(scope, receive, send):
        await receive()

    site = wire(app)
    peer = site.connect()
    assert (site.hub.connections, site.hub.requests, site.hub.total_requests) == (1, 0, 0)
    peer.feed(request("POST / HTTP/1.1", "Content-Length: 5"))
    assert (site.hub.requests, site.hub.total_requests) == (1, 0)
    peer.leave()
    assert (site.hub.connections, site.hub.requests, site.hub.total_requests) == (0, 0, 0)


# --- split everywhere -------------------------------------------------------------------------------------------------

MESSAGES = {
    "plain": (request("GET /a?b=c HTTP/1.1"), b"GET /a?b=c\n"),
    "length": (request("POST /a HTTP/1.1", "Content-Length: 11", body=b"hello world"), b"POST /a\nhello world"),
    "chunked": (
        request("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=chunked(b"hello", b" ", b"world")),
        b"POST /a\nhello world",
    ),
    "extensions": (
        request(
            "PUT /a HTTP/1.1",
            "Transfer-Encoding: chunked",
            body=b'5;name=value;q="a;b"\r\nhello\r\n00A\r\n, my world\r\n0;last\r\nX-Trailer: 1\r\n\r\n',
        ),
        b"PUT /a\nhello, my world",
    ),
    "old": (request("POST / HTTP/1.0", "Content-Length: 3", "Connection: keep-alive", body=b"abc"), b"POST /\nabc"),
    "upgrade": (request("GET /up HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), b"GET /up\n"),
    "upgrade with a body": (
        request("POST /up HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 2", body=b"hi"),
        b"POST /up\nhi",
    ),
    "upgrade with a chunked body": (
        request(
            "POST /up HTTP/1.1", "Upgrade: x", "Transfer-Encoding: chunked", "Connection: upgrade", body=chunked(b"hi")
        ),
        b"POST /up\nhi",
    ),
    "leading line ends": (b"\r\n\r\n" + request("GET /a HTTP/1.1"), b"GET /a\n"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_same_answer_however_the_message_is_split(wire, name):
    message, expected = MESSAGES[name]
    site = wire(echo)
    for parts in splits(message + request("GET /next HTTP/1.1")):
        peer = site.connect().feed(*parts)
        answers = peer.answers()
        assert [answer.body for answer in answers] == [expected, b"GET /next\n"], parts
        assert all(answer.keep_alive for answer in answers)
        peer.leave()


def test_scope_is_the_same_however_the_head_is_split(wire):
    seen = []

    async def app(scope, receive, send):
        seen.append({key: value for key, value in scope.items() if key != "state"})
        await respond(send)

    message = request(
        "PATCH /a%20b/%C3%A9?x=%20y&z HTTP/1.1", "X-Long: " + "v" * 50, "X-Two: 1", "x-two: 2", "COOKIE: a=b", "Empty:"
    )
    site = wire(app, {"started": True}, root_path="/root")
    for parts in splits(message):
        site.connect().feed(*parts).leave()
    assert all(scope == seen[0] for scope in seen)
    assert seen[0] == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("6.7.8.9", 80),
        "client": ("1.2.3.4", 5),
        "scheme": "http",
        "method": "PATCH",
        "root_path": "/root",
        "path": "/root/a b/é",
        "raw_path": b"/root/a%20b/%C3%A9",
        "query_string": b"x=%20y&z",
        "headers": [
            (b"host", b"test"),
            (b"x-long", b"v" * 50),
            (b"x-two", b"1"),
            (b"x-two", b"2"),
            (b"cookie", b"a=b"),
            (b"empty", b""),
        ],
    }


def test_lifespan_state_is_copied_for_each_request(wire):
    states = []

    async def app(scope, receive, send):
        states.append(scope["state"])
        scope["state"]["mine"] = len(states)
        await respond(send)

    state = {"shared": object()}
    wire(app, state).connect().feed(request() * 2)
    assert states == [{**state, "mine": 1}, {**state, "mine": 2}]
    assert list(state) == ["shared"]


@pytest.mark.parametrize(
    ("extra", "scheme", "client", "server"),
    [
        ({"sslcontext": object()}, "https", ("1.2.3.4", 5), ("6.7.8.9", 80)),
        ({"peername": ("::1", 5, 0, 0), "sockname": ("::1", 80, 0, 0)}, "http", ("::1", 5), ("::1", 80)),
        ({"peername": "", "sockname": "/run/app.sock"}, "http", None, ("/run/app.sock", None)),
        ({"peername": None, "sockname": None}, "http", None, None),
    ],
)
def test_addresses(wire, extra, scheme, client, server):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["scheme"], scope["client"], scope["server"]))
        await respond(send)

    wire(app).connect(**extra).feed(request())
    assert seen == [(scheme, client, server)]


# --- request targets (RFC 9112 section 3.2) ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("/", "/", b"", b"test"),
        ("//a//b/", "//a//b/", b"", b"test"),
        ("/a/../b/./c", "/a/../b/./c", b"", b"test"),
        ("/a?b?c", "/a", b"b?c", b"test"),
        ("/a?", "/a", b"", b"test"),
        ("/a+b%2Fc", "/a+b/c", b"", b"test"),
        ("/%", "/%", b"", b"test"),
        ("/a?u=http://x/y", "/a", b"u=http://x/y", b"test"),
        ("*", "*", b"", b"test"),
        ("http://example.com/a/b?c=d", "/a/b", b"c=d", b"example.com"),
        ("http://example.com:8080", "/", b"", b"example.com:8080"),
        ("http://example.com?c=/d", "/", b"c=/d", b"example.com"),
        ("HTTPS://example.com/", "/", b"", b"example.com"),
    ],
)
def test_targets(wire, target, path, query, host):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["path"], scope["query_string"], dict(scope["headers"])[b"host"]))
        await respond(send)

    assert wire(app).answer(request(f"OPTIONS {target} HTTP/1.1"))[0].status == 200
    assert seen == [(path, query, host)]


# --- Expect: 100-continue (RFC 9110 section 10.1.1) -------------------------------------------------------------------

EXPECTING = request("POST / HTTP/1.1", "Content-Length: 4", "Expect: 100-continue")
GO_AHEAD = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_go_ahead_is_given_when_the_body_is_wanted(wire):
    gate = []

    async def app(scope, receive, send):
        gate.append(asyncio.get_running_loop().create_future())
        await gate[-1]
        await echo(scope, receive, send)

    site = wire(app)
    peer = site.connect().feed(EXPECTING)
    assert peer.output == b""
    site.call(gate[0].set_result, None)
    assert peer.output == GO_AHEAD
    peer.feed(b"bo", b"dy")
    assert [answer.body for answer in peer.answers()] == [b"POST /\nbody"]
    assert peer.output.count(GO_AHEAD) == 1
    assert peer.open


@pytest.mark.parametrize(
    "message",
    [
        EXPECTING + b"body",
        EXPECTING + b"b",
        EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"),
        EXPECTING.replace(b"100-continue", b"200-ok"),
    ],
    ids=["body is there", "body has begun", "HTTP/1.0", "unknown expectation"],
)
def test_no_go_ahead(wire, message):
    peer = wire(echo).connect().feed(message)
    assert GO_AHEAD not in peer.output


def test_answer_without_go_ahead_closes(wire):
    async def app(scope, receive, send):
        await respond(send, b"no", 403)

    peer = wire(app).connect().feed(EXPECTING)
    [answer] = peer.answers()
    assert (answer.status, answer.header("connection"), peer.open) == (403, "close", False)
    peer.feed(b"body" + request())
    assert len(peer.answers()) == 1


def test_go_ahead_waits_for_earlier_answers(wire):
    peer = wire(echo).connect().feed(request("GET /first HTTP/1.1") + EXPECTING)
    head, found, rest = peer.output.partition(GO_AHEAD)
    assert head.endswith(b"GET /first\n")
    assert (found, rest) == (GO_AHEAD, b"")


# --- Upgrade and CONNECT ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3000])
def test_upgrades_in_a_row_are_answered_in_http_1(wire, count):
    peer = wire(echo).connect().feed(request("GET /u HTTP/1.1", "Connection: Upgrade", "Upgrade: x/1") * count)
    assert peer.statuses() == [200] * count
    assert "upgrade" not in dict(peer.answers()[0].headers)


def test_connect_is_not_implemented(wire):
    peer = wire(echo).connect().feed(request("CONNECT test:443 HTTP/1.1") + b"\x16\x03\x01")
    assert peer.statuses() == [501]
    assert not peer.open


# --- responses --------------------------------------------------------------------------------------------------------


def test_bytes_of_a_response(wire):
    async def app(scope, receive, send):
        await respond(send, b"hello", 201, [(b"X-Name", b"v\xe9"), (b"set-cookie", b"a"), (b"set-cookie", b"b")])

    peer = wire(app, date_header=False).connect().feed(request())
    assert peer.output == (
        b"HTTP/1.1 201 Created\r\nserver: turboapi\r\ncontent-length: 5\r\nx-name: v\xe9\r\nset-cookie: a\r\n"
        b"set-cookie: b\r\n\r\nhello"
    )


@pytest.mark.parametrize("switch", ["date", "server"])
def test_switches_of_the_standing_headers(wire, switch):
    [with_it] = wire(echo).answer(request())
    [without] = wire(echo, **{f"{switch}_header": False}).answer(request())
    assert with_it.header(switch)
    assert without.header(switch) is None


def test_application_replaces_the_standing_headers(wire):
    async def app(scope, receive, send):
        await respond(send, headers=[(b"Server", b"mine"), (b"Date", b"today")])

    [answer] = wire(app).answer(request())
    assert (answer.header("server"), answer.header("date")) == ("mine", "today")


def test_date_is_that_of_the_second(wire):
    before = int(time.time())
    [answer] = wire(echo).answer(request())
    date = answer.header("date")
    moment = email.utils.parsedate_to_datetime(date).timestamp()
    assert before <= moment <= time.time()
    assert date == email.utils.formatdate(moment, usegmt=True)  # IMF-fixdate, RFC 9110 section 5.6.7


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("length", [True, False])
def test_head_has_the_header_section_of_get_and_no_body(wire, version, length):
    async def app(scope, receive, send):
        await respond(send, b"hello", length=length)

    site = wire(app)
    get, head = (site.connect().feed(request(f"{method} / HTTP/{version}")) for method in ("GET", "HEAD"))
    assert get.output == head.output + b"hello"
    assert head.answers("HEAD")[0].header("content-length") == "5"
    assert head.open is (version == "1.1")


@pytest.mark.parametrize("parts", [[b"hello"], [b"he", b"llo"], [b"", b"hello"]])
def test_head_of_a_stream(wire, parts):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    peer = wire(app).connect().feed(request("HEAD / HTTP/1.1") + request("HEAD / HTTP/1.1"))
    answers = peer.answers("HEAD", "HEAD")
    assert [answer.body for answer in answers] == [b"", b""]
    assert peer.output.endswith(b"\r\n\r\n")
    assert [answer.header("transfer-encoding") for answer in answers] == ["chunked"] * 2


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")]], ids=["", "length"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_content(wire, status, headers, method):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    peer = wire(app).connect().feed(request(f"{method} / HTTP/1.1") * 2)
    for answer in peer.answers(method, method):
        assert (answer.status, answer.body) == (status, b"")
        assert answer.header("transfer-encoding") is None
        assert answer.header("content-length") == ("5" if status == 304 and headers else None)
    assert b"hello" not in peer.output


async def stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for part in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"three"})


def test_stream_to_http_1_1_is_chunked(wire):
    peer = wire(stream).connect().feed(request() * 2)
    first, second = peer.answers()
    assert (first.body, first.header("transfer-encoding")) == (b"onetwothree", "chunked")
    assert second.body == first.body
    assert peer.output.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")
    assert peer.open


@pytest.mark.parametrize("option", [[], ["Connection: keep-alive"]])
def test_stream_to_http_1_0_ends_with_the_connection(wire, option):
    peer = wire(stream).connect().feed(request("GET / HTTP/1.0", *option))
    [answer] = peer.answers()
    assert (answer.body, answer.header("transfer-encoding")) == (b"onetwothree", None)
    assert answer.header("connection") == "close"
    assert not peer.open


def test_stream_of_known_length_is_not_chunked(wire):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"6")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": memoryview(b"two")})

    [answer] = wire(app).answer(request())
    assert (answer.body, answer.header("transfer-encoding")) == (b"onetwo", None)


def test_head_of_a_response_does_not_wait_for_its_body(wire):
    gates = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gates.append(asyncio.get_running_loop().create_future())
        await gates[0]
        await send({"type": "http.response.body", "body": b"late"})

    site = wire(app)
    peer = site.connect().feed(request())
    assert peer.output.startswith(b"HTTP/1.1 200 OK\r\n")
    assert peer.output.endswith(b"\r\n\r\n")
    site.call(gates[0].set_result, None)
    assert peer.answers()[0].body == b"late"


def test_transfer_encoding_is_for_the_server_to_say(wire):
    async def app(scope, receive, send):
        await respond(send, b"hello", headers=[(b"transfer-encoding", b"chunked")], length=False)

    [answer] = wire(app).answer(request())
    assert (answer.body, answer.header("transfer-encoding"), answer.header("content-length")) == (b"hello", None, "5")


@pytest.mark.parametrize(("announced", "word"), [(4, "longer"), (6, "shorter")])
def test_wrong_content_length_in_one_part_is_an_error_page(wire, caplog, announced, word):
    async def app(scope, receive, send):
        await respond(send, b"hello", length=False, headers=[(b"content-length", b"%d" % announced)])

    peer = wire(app).connect().feed(request())
    assert [(answer.status, answer.body) for answer in peer.answers()] == [(500, b"Internal Server Error")]
    assert f"Response content {word} than Content-Length" in caplog.text
    assert peer.open


@pytest.mark.parametrize("parts", [[b"hel", b"lo"], [b"hel"], [b"", b"hello"]])
def test_wrong_content_length_of_a_stream_cuts_the_connection(wire, caplog, parts):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    peer = wire(app).connect().feed(request() * 2)
    _, _, body = peer.output.partition(b"\r\n\r\n")
    assert body in (b"hel", b"")  # never more than was announced, and nothing behind it
    assert "than Content-Length" in caplog.text
    assert peer.transport.closing


def test_head_and_no_content_need_not_fit_their_content_length(wire):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body"})

    [answer] = wire(app).answer(request("HEAD / HTTP/1.1"), methods=["HEAD"])
    peer = wire(app).connect().feed(request("HEAD / HTTP/1.1"))
    assert peer.answers("HEAD")[0].header("content-length") == "1000"
    assert peer.open


@pytest.mark.parametrize(
    "header",
    [
        (b"x-name", b"a\r\nset-cookie: b"),
        (b"x-name", b"a\nb"),
        (b"x-name", b"a\rb"),
        (b"x-name", b"a\x00b"),
        (b"x-name", b"\x7f"),
        (b"x\r\ny", b"a"),
        (b"x y", b"a"),
        (b"x:y", b"a"),
        (b"", b"a"),
        (b"x\xe9", b"a"),
        (b"content-length", b"-1"),
        (b"content-length", b"+5"),
        (b"content-length", b"5, 5"),
        (b"content-length", b"1_0"),
        (b"content-length", b""),
        ("text", b"a"),
        (b"x-name", "text"),
        (b"x-name",),
    ],
    ids=repr,
)
def test_bad_response_headers_are_an_error_page(wire, caplog, header):
    async def app(scope, receive, send):
        await respond(send, b"hello", headers=[header], length=False)

    peer = wire(app).connect().feed(request() * 2)
    assert [(answer.status, answer.body) for answer in peer.answers()] == [(500, b"Internal Server Error")] * 2
    assert "set-cookie" not in dict(peer.answers()[0].headers)
    assert "Exception in ASGI application" in caplog.text


# --- the application's mistakes ---------------------------------------------------------------------------------------


def test_exception_before_the_response(wire, caplog):
    async def app(scope, receive, send):
        raise ValueError("mine")

    peer = wire(app).connect().feed(request() * 2)
    assert peer.statuses() == [500, 500]
    assert "ValueError: mine" in caplog.text
    assert peer.open


def test_exception_after_the_start_cuts_the_connection(wire, caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(0)
        raise ValueError("mine")

    peer = wire(app).connect().feed(request() * 2)
    assert peer.output.endswith(b"4\r\npart\r\n")  # no last chunk, nothing behind it
    assert peer.transport.aborted
    assert "ValueError: mine" in caplog.text


def test_requests_behind_a_cut_are_not_begun(wire):
    calls = []

    async def app(scope, receive, send):
        calls.append(scope["path"])
        if scope["path"] == "/good":
            await respond(send, b"good")
        return scope["path"] == "/cut" or None  # an application that returns something is cut off

    peer = wire(app).connect().feed(request("GET /good HTTP/1.1") + request("GET /cut HTTP/1.1") + request() * 2)
    assert [answer.body for answer in peer.answers()] == [b"good"]
    assert calls == ["/good", "/cut"]
    assert peer.transport.aborted


def test_no_response_is_answered_with_500(wire, caplog):
    async def app(scope, receive, send):
        await read_body(receive)

    [answer] = wire(app).answer(request())
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert caplog.messages == ["ASGI callable returned without starting response."]


def test_a_client_that_left_is_owed_no_response(wire, caplog):
    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"

    wire(app).connect().feed(request()).leave()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([{"type": "http.response.body", "body": b""}], "Expected ASGI message 'http.response.start'"),
        ([{"type": "http.response.start", "status": 200}] * 2, "Expected ASGI message 'http.response.body'"),
    ],
)
def test_messages_out_of_order(wire, caplog, messages, complaint):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    wire(app).connect().feed(request())
    assert complaint in caplog.text


def test_message_after_the_end(wire):
    seen = []

    async def app(scope, receive, send):
        await respond(send, b"once")
        try:
            await send({"type": "http.response.body", "body": b"twice"})
        except RuntimeError as exc:
            seen.append(str(exc))

    peer = wire(app).connect().feed(request())
    assert peer.answers()[0].body == b"once"
    assert "after response already completed" in seen[0]


def test_receive_hands_over_the_end_once_and_then_waits(wire):
    seen = []

    async def app(scope, receive, send):
        seen.append(await receive())
        await respond(send)
        seen.append(await receive())

    wire(app).connect().feed(request("POST / HTTP/1.1", "Content-Length: 2", body=b"ab"))
    assert seen == [{"type": "http.request", "body": b"ab", "more_body": False}, {"type": "http.disconnect"}]


def test_body_arrives_part_by_part(wire):
    seen = []

    async def app(scope, receive, send):
        while not seen or seen[-1][1]:
            message = await receive()
            seen.append((message["body"], message["more_body"]))
        await respond(send)

    head = request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    wire(app).connect().feed(head, b"3\r\nabc\r\n", b"2\r\nde\r\n1\r\nf\r\n", b"0\r\n\r\n")
    assert seen == [(b"abc", True), (b"def", True), (b"", False)]


def test_early_answer_lets_the_rest_of_the_body_pass(wire):
    async def app(scope, receive, send):
        await respond(send, b"early")

    peer = wire(app).connect().feed(request("POST / HTTP/1.1", "Content-Length: 200000"))
    assert peer.statuses() == [200]
    for _ in range(20):
        peer.feed(b"x" * 10_000)
    peer.feed(request())
    assert peer.statuses() == [200, 200]
    assert peer.open


def test_code_after_the_answer_does_not_keep_the_next_request_waiting(wire):
    gates = []

    async def app(scope, receive, send):
        await respond(send, scope["path"].encode())
        gates.append(asyncio.get_running_loop().create_future())
        await gates[-1]

    site = wire(app)
    peer = site.connect().feed(request("GET /1 HTTP/1.1") + request("GET /2 HTTP/1.1"))
    assert [answer.body for answer in peer.answers()] == [b"/1", b"/2"]
    assert len(site.hub.runner.suspended) == 2
    for gate in gates:
        site.call(gate.set_result, None)


def test_access_log(wire):
    beginnings = []
    log = AccessLog(lambda: beginnings.append(True))
    site = wire(echo, access_log=log)
    site.connect().feed(request("GET /a%20b?c HTTP/1.1") + request("POST http://x/y HTTP/1.0"))
    assert [line[:5] for line in log.take()] == [
        (("1.2.3.4", 5), "GET", b"/a%20b?c", "1.1", 200),
        (("1.2.3.4", 5), "POST", b"http://x/y", "1.0", 200),
    ]
    assert log.take() == [] and beginnings == [True]
    site.connect().feed(request())
    assert beginnings == [True] * 2


def test_a_detailed_access_log(wire):
    """The duration is that from the end of the head to the end of the answer; an id may come with the request."""
    gates = []

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            gates.append(asyncio.get_running_loop().create_future())
            await gates[-1]
        await respond(send, b"")

    log = AccessLog(lambda: None, detailed=True)
    site = wire(app, access_log=log)
    site.connect().feed(request("GET /slow HTTP/1.1") + request("GET / HTTP/1.1", "X-Request-ID: a-1"))
    began = time.monotonic()
    site.call(gates[0].set_result, None)
    (*_, end, duration, slow_id), (*_, queued, fast_id) = log.take()
    assert 0 < end - duration <= began and queued > 0
    assert (slow_id, fast_id) == (None, b"a-1")
    site.connect().feed(request("GET / HTTP/1.1", "X-Request-ID: " + 128 * "a"))
    site.connect().feed(request("GET / HTTP/1.1", "X-Request-ID: " + 129 * "a"))
    assert [line[-1] for line in log.take()] == [b"a" * 128, None]


# --- the health path --------------------------------------------------------------------------------------------------


def health_of(wire, **settings):
    health, log = Health(), AccessLog(lambda: None)
    return wire(echo, health=health, health_path="/health", access_log=log, **settings), health, log


def test_the_health_path_is_answered_in_turn_and_not_logged(wire):
    site, health, log = health_of(wire)
    peer = site.connect()
    peer.feed(b"".join(request(f"GET {target} HTTP/1.1") for target in ("/", "/health?x", "/healthy")))
    first, ready, last = peer.answers()
    assert (ready.status, ready.body) == (200, b'{"status":"ready"}')
    assert (ready.header("content-type"), ready.header("cache-control")) == ("application/json", "no-store")
    assert (first.body, last.body) == (b"GET /\n", b"GET /healthy\n") and peer.open
    assert [line[2] for line in log.take()] == [b"/", b"/healthy"]
    health.draining = True
    assert site.connect().feed(request("GET /health HTTP/1.1")).statuses() == [503]


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("OPTIONS", 405)])
def test_methods_of_the_health_path(wire, method, status):
    site, _, _ = health_of(wire)
    peer = site.connect().feed(request(f"{method} /health HTTP/1.1") + request("GET / HTTP/1.1"))
    [answer, other] = peer.answers(method, "GET")
    assert answer.status == status and (answer.body == b"") is (method == "HEAD")
    assert answer.header("allow") == ("GET, HEAD" if status == 405 else None)
    assert other.body == b"GET /\n"


def test_the_health_path_is_answered_to_those_who_are_too_many(wire):
    site, _, _ = health_of(wire, limit_concurrency=1)
    site.connect()
    assert site.connect().feed(request("GET /health HTTP/1.1")).statuses() == [200]
    assert site.connect().feed(request("GET / HTTP/1.1")).statuses() == [503]


def test_site_that_cannot_find_a_route(wire, caplog):
    class Fails:
        def __call__(self):
            raise ValueError("routes")

    from turboapi._speedups.endpoint import routes_epoch

    site = Site(asgi=echo, refresh=Fails())
    routes_epoch.value += 1
    peer = wire(site).connect().feed(request() * 2)
    assert peer.statuses() == [500, 500]
    assert "ValueError: routes" in caplog.text


# --- headers of the server --------------------------------------------------------------------------------------------

OWN = [(b"x-frame-options", b"DENY"), (b"x-served-by", b"tea")]


def own_headers(answer):
    return [(name, value) for name, value in answer.headers if name.startswith("x-")]


@pytest.mark.parametrize("status", [200, 204, 304, 500])
def test_the_headers_of_the_server_are_sent_with_every_answer(wire, status):
    async def app(scope, receive, send):
        await respond(send, b"", status, headers=[(b"x-app", b"1")], length=False)

    good, refused = wire(app, headers=OWN).answer(request(), b"?\r\n\r\n")
    assert own_headers(good) == [("x-frame-options", "DENY"), ("x-served-by", "tea"), ("x-app", "1")]
    assert (refused.status, own_headers(refused)) == (400, own_headers(good)[:2])


def test_the_headers_of_the_server_are_sent_with_native_answers(wire):
    app = TurboAPI()

    @app.get("/tea")
    async def tea():
        return {"tea": 1}

    plain, own = (wire(app.freeze(), headers=given).answer(request("GET /tea HTTP/1.1"))[0] for given in (None, OWN))
    assert own.body == plain.body == b'{"tea":1}'
    assert {name for name, _ in own.headers} == {"x-frame-options", "x-served-by", *dict(plain.headers)}
    assert own_headers(own) == [("x-frame-options", "DENY"), ("x-served-by", "tea")]


@pytest.mark.parametrize("refused", [False, True])
def test_a_header_of_the_server_replaces_its_own(wire, refused):
    headers = [(b"server", b"tea"), (b"date", b"today")]
    message = b"?\r\n\r\n" if refused else request()
    [answer] = wire(echo, headers=headers).answer(message)
    assert (answer.header("server"), answer.header("date")) == ("tea", "today")


def test_headers_that_would_break_the_message():
    with pytest.raises(ValueError, match="header"):
        Settings(headers=[(b"x", b"1\r\ny: 2")])
