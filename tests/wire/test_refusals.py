"""What is not accepted: malformed messages and messages over a limit (RFC 9112 section 2.2 and what it refers to)."""

import asyncio

import pytest

from tests.wire.harness import chunked, echo, read_body, request, respond, splits

GOOD = request("GET /good HTTP/1.1")
CHUNKED = ("Transfer-Encoding: chunked",)

MALFORMED = {
    # request line (RFC 9112 section 3)
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: test\r\n\r\n",
    "method in lower case": request("get / HTTP/1.1"),
    "unknown method": request("FETCH / HTTP/1.1"),
    "no slash": request("GET index HTTP/1.1"),
    "raw byte above 127": request("GET /\xe9 HTTP/1.1"),
    "control character in the target": request("GET /\x01 HTTP/1.1"),
    "word behind the version": request("GET / HTTP/1.1 x"),
    "bad version": request("GET / HTTP/1.x"),
    "other protocol": request("GET / HTTQ/1.1"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "authority form": request("GET test:80 HTTP/1.1"),
    # header section (RFC 9112 section 5)
    "space before the colon": request("GET / HTTP/1.1", "X-Name : 1"),
    "space in a name": request("GET / HTTP/1.1", "X Name: 1"),
    "no colon": request("GET / HTTP/1.1", "X-Name"),
    "no name": request("GET / HTTP/1.1", ": 1"),
    "line folding": request("GET / HTTP/1.1", "X-Name: 1", " 2"),
    "folding of the first line": request("GET / HTTP/1.1", host=False).replace(b"\r\n", b"\r\n X: 1\r\n", 1),
    "NUL in a value": request("GET / HTTP/1.1", "X-Name: a\x00b"),
    "CR in a value": request("GET / HTTP/1.1", "X-Name: a\rb"),
    "bare LF behind a header": b"GET / HTTP/1.1\r\nHost: test\nX: 1\r\n\r\n",
    "bare LF behind the request line": b"GET / HTTP/1.1\nHost: test\r\n\r\n",
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: test\n\n",
    "bare LF at the end": b"GET / HTTP/1.1\r\nHost: test\r\n\n",
    # Host (RFC 9112 section 3.2)
    "no Host": request("GET / HTTP/1.1", host=False),
    "two Hosts": request("GET / HTTP/1.1", "Host: test"),
    "two Hosts in HTTP/1.0": request("GET / HTTP/1.0", "Host: test"),
    "two names in Host": request("GET / HTTP/1.1", "Host: a, b", host=False),
    "path in Host": request("GET / HTTP/1.1", "Host: a/b", host=False),
    "user in Host": request("GET / HTTP/1.1", "Host: a@b", host=False),
    "bad port in Host": request("GET / HTTP/1.1", "Host: a:b", host=False),
    "bad escape in Host": request("GET / HTTP/1.1", "Host: a%zz", host=False),
    "no Host beside an absolute target": request("GET http://test/ HTTP/1.1", host=False),
    "user in an absolute target": request("GET http://me@test/ HTTP/1.1"),
    # framing (RFC 9112 section 6)
    "both framings": request("POST / HTTP/1.1", *CHUNKED, "Content-Length: 5", body=chunked(b"hello")),
    "both framings, the other way": request("POST / HTTP/1.1", "Content-Length: 5", *CHUNKED, body=chunked(b"hello")),
    "two lengths": request("POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 6", body=b"hello"),
    "the same length twice": request("POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 5", body=b"hello"),
    "list of lengths": request("POST / HTTP/1.1", "Content-Length: 5, 5", body=b"hello"),
    "negative length": request("POST / HTTP/1.1", "Content-Length: -5", body=b"hello"),
    "signed length": request("POST / HTTP/1.1", "Content-Length: +5", body=b"hello"),
    "length in hex": request("POST / HTTP/1.1", "Content-Length: 0x5", body=b"hello"),
    "empty length": request("POST / HTTP/1.1", "Content-Length:"),
    "length of more than 64 bits": request("POST / HTTP/1.1", "Content-Length: 18446744073709551617"),
    "empty coding": request("POST / HTTP/1.1", "Transfer-Encoding:"),
    "chunked is not last": request("POST / HTTP/1.1", "Transfer-Encoding: chunked, gzip", body=chunked()),
    "chunked twice": request("POST / HTTP/1.1", "Transfer-Encoding: chunked, chunked", body=chunked()),
    "chunked in two headers": request("POST / HTTP/1.1", *CHUNKED, *CHUNKED, body=chunked()),
    "not chunked": request("POST / HTTP/1.1", "Transfer-Encoding: gzip"),
    "identity": request("POST / HTTP/1.1", "Transfer-Encoding: identity"),
    "coding with a parameter": request("POST / HTTP/1.1", "Transfer-Encoding: chunked;a=b", body=chunked()),
    # chunks (RFC 9112 section 7.1)
    "size is no number": request("POST / HTTP/1.1", *CHUNKED, body=b"xyz\r\nhello\r\n0\r\n\r\n"),
    "no size": request("POST / HTTP/1.1", *CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n"),
    "negative size": request("POST / HTTP/1.1", *CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "size with a prefix": request("POST / HTTP/1.1", *CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "size of more than 64 bits": request("POST / HTTP/1.1", *CHUNKED, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "space behind the size": request("POST / HTTP/1.1", *CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"),
    "too few bytes": request("POST / HTTP/1.1", *CHUNKED, body=b"6\r\nhello\r\n0\r\n\r\n"),
    "too many bytes": request("POST / HTTP/1.1", *CHUNKED, body=b"4\r\nhello\r\n0\r\n\r\n"),
    "bare LF behind the size": request("POST / HTTP/1.1", *CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"),
    "bare LF behind the data": request("POST / HTTP/1.1", *CHUNKED, body=b"5\r\nhello\n0\r\n\r\n"),
    "bare LF behind the trailer": request("POST / HTTP/1.1", *CHUNKED, body=b"0\r\nX: 1\n\r\n"),
    "malformed trailer": request("POST / HTTP/1.1", *CHUNKED, body=b"0\r\nno colon\r\n\r\n"),
}


def refused(peer, *statuses):
    """Whether these are the answers, the last one closes the connection, and nothing behind it is answered."""
    answers = peer.answers()
    assert [answer.status for answer in answers] == list(statuses)
    assert answers[-1].header("connection") == "close"
    assert answers[-1].header("content-type").startswith("text/plain")
    assert not peer.open
    return not peer.feed(GOOD).answers()[len(statuses) :]


def refused_by_the_application(peer):
    [answer] = peer.answers()
    assert (answer.status, answer.body, answer.header("connection"), peer.open) == (422, b"mine", "close", False)
    return len(peer.feed(GOOD).answers()) == 1


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused(wire, name):
    site = wire(echo)
    assert refused(site.connect().feed(MALFORMED[name]), 400)
    assert site.hub.requests == 0


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused_byte_by_byte(wire, name):
    message = MALFORMED[name]
    peer = wire(echo).connect().feed(*(message[i : i + 1] for i in range(len(message))))
    assert refused(peer, 400)


@pytest.mark.parametrize("name", MALFORMED)
def test_good_requests_before_a_malformed_one_are_answered_first(wire, name):
    gates = []

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            gates.append(asyncio.get_running_loop().create_future())
            await gates[-1]
        await echo(scope, receive, send)

    site = wire(app)
    peer = site.connect().feed(GOOD + request("GET /slow HTTP/1.1") + GOOD + MALFORMED[name])
    assert peer.statuses() == [200]
    site.call(gates[0].set_result, None)
    assert refused(peer, 200, 200, 200, 400)


@pytest.mark.parametrize(
    "host", ["test", "TEST.example", "test:80", "test:", "127.0.0.1:8000", "[::1]", "[::1]:80", "a_b-c.d~e", "x%41", ""]
)
def test_good_hosts(wire, host):
    assert wire(echo).answer(request("GET / HTTP/1.1", f"Host: {host}", host=False))[0].status == 200


def test_http_1_0_needs_no_host(wire):
    assert wire(echo).answer(request("GET / HTTP/1.0", host=False))[0].status == 200


@pytest.mark.parametrize("version", ["2.0", "0.9"])
def test_other_versions(wire, version):
    assert refused(wire(echo).connect().feed(request(f"GET / HTTP/{version}")), 505)


def test_http_0_9(wire):
    assert refused(wire(echo).connect().feed(b"GET /\r\n\r\n"), 505)


def test_other_codings(wire):
    message = request("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked", body=chunked(b"hello"))
    assert refused(wire(echo).connect().feed(message), 501)


def test_chunked_from_http_1_0_closes(wire):
    message = request("POST / HTTP/1.0", *CHUNKED, "Connection: keep-alive", body=chunked(b"hello"))
    peer = wire(echo).connect().feed(message + GOOD)
    assert [answer.body for answer in peer.answers()] == [b"POST /\nhello"]
    assert not peer.open


# --- limits: at the limit, and one over -------------------------------------------------------------------------------


def line(size):
    return request("GET /" + "a" * (size - 1) + " HTTP/1.1")


def head(size):
    """A request whose target, names and values, four more for each header, are `size` in sum."""
    return request("GET / HTTP/1.1", "X: " + "v" * (size - len("/") - len("Hosttest") - 4 - len("X") - 4))


def fields(count):
    return request("GET / HTTP/1.1", *(f"X-{i}: 1" for i in range(count - 1)))


def body(size):
    return request("POST / HTTP/1.1", f"Content-Length: {size}", body=b"x" * size)


def chunks(size):
    return request("POST / HTTP/1.1", *CHUNKED, body=chunked(*[b"x" * 10] * (size // 10), b"x" * (size % 10 or 10)))


LIMITS = [
    ("limit_request_line", line, 100, 414),
    ("limit_header_size", head, 200, 431),
    ("limit_header_count", fields, 10, 431),
    ("limit_body", body, 99, 413),
    ("limit_body", chunks, 99, 413),
]


@pytest.mark.parametrize(("name", "build", "limit", "status"), LIMITS)
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte by byte"])
def test_limits(wire, name, build, limit, status, bytewise):
    site = wire(echo, **{name: limit})
    for size, expected in ((limit, 200), (limit + 1, status)):
        message = build(size)
        if build is chunks and size > limit:
            message = request("POST / HTTP/1.1", *CHUNKED, body=chunked(*[b"x" * 10] * 10))
        peer = site.connect().feed(*(message[i : i + 1] for i in range(len(message))) if bytewise else [message])
        assert peer.statuses() == [expected]
        assert peer.open is (expected == 200)
    assert site.hub.requests == 0


def test_every_limit_is_kept_behind_good_requests(wire):
    for name, build, limit, status in LIMITS[:4]:
        site = wire(echo, **{name: limit})
        assert refused(site.connect().feed(GOOD.replace(b"/good", b"/") + build(limit + 1)), 200, status)


def test_announced_body_over_the_limit_never_reaches_the_application(wire):
    calls = []

    async def app(scope, receive, send):
        calls.append(scope)

    peer = wire(app, limit_body=10).connect().feed(request("POST / HTTP/1.1", "Content-Length: 11"))
    assert refused(peer, 413)
    assert calls == []


def test_no_go_ahead_for_a_body_over_the_limit(wire):
    peer = wire(echo, limit_body=10).connect()
    peer.feed(request("POST / HTTP/1.1", "Content-Length: 11", "Expect: 100-continue"))
    assert refused(peer, 413)


def test_no_limit_of_the_body(wire):
    assert wire(echo, limit_body=0).answer(body(200_000), chunks(200_000))[1].status == 200


@pytest.mark.parametrize(("rest", "status"), [(chunked(b"x" * 51), 413), (b"5\r\nhello\r\nxyz\r\n", 400)])
def test_body_at_fault_is_an_exception_of_receive(wire, rest, status):
    """The running application is told, and answers; one that has not begun is not asked."""
    seen = []

    async def app(scope, receive, send):
        try:
            await read_body(receive)
        except Exception as exc:
            seen.append(exc.status_code)
            await respond(send, b"mine", 422, [(b"content-type", b"text/plain")])

    head = request("POST / HTTP/1.1", *CHUNKED)
    assert refused(wire(app, limit_body=50).connect().feed(head + rest), status)
    assert seen == []
    assert refused(wire(echo, limit_body=50).connect().feed(head, rest), status)
    assert refused_by_the_application(wire(app, limit_body=50).connect().feed(head, rest))
    assert refused_by_the_application(wire(app, limit_body=50).connect().feed(head, rest[:3], rest[3:]))
    assert seen == [status] * 2


def test_body_at_fault_of_a_request_that_streams_its_answer(wire):
    seen = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while True:
            seen.append((await receive())["type"])
            if seen[-1] == "http.disconnect":
                break
        await send({"type": "http.response.body", "body": b"end"})

    peer = wire(app, limit_body=50).connect().feed(request("POST / HTTP/1.1", *CHUNKED))
    peer.feed(b"5\r\nhello\r\n", b"xyz\r\n")
    assert peer.answers()[0].body == b"begunend"
    assert seen == ["http.request", "http.disconnect"]
    assert not peer.open


@pytest.mark.parametrize("rest", [b"5\r\nhello\r\nxyz\r\n", b"1000000\r\n" + b"x" * 300], ids=["malformed", "too long"])
def test_body_at_fault_after_the_answer_is_no_second_answer(wire, rest):
    async def app(scope, receive, send):
        await respond(send, b"early")

    peer = wire(app, limit_body=200).connect().feed(request("POST / HTTP/1.1", *CHUNKED), rest, GOOD)
    assert peer.statuses() == [200]
    assert not peer.open


def test_body_at_fault_behind_a_slow_request(wire):
    gates = []

    async def app(scope, receive, send):
        gates.append(asyncio.get_running_loop().create_future())
        await gates[-1]
        await respond(send, b"slow")

    site = wire(app, limit_body=50)
    peer = site.connect().feed(GOOD + chunks(100))
    assert (peer.output, site.hub.requests) == (b"", 1)
    site.call(gates[0].set_result, None)
    assert refused(peer, 200, 413)
    assert len(gates) == 1


# --- nothing grows without bound --------------------------------------------------------------------------------------

ENDLESS = {
    "request line": (b"GET /", b"a" * 16384, 414),
    "method": (b"", b"A" * 16384, 400),
    "line ends": (b"", b"\r\n" * 8192, 431),
    "one value": (b"GET / HTTP/1.1\r\nX: ", b"v" * 16384, 431),
    "spaces of a value": (b"GET / HTTP/1.1\r\nX: ", b" " * 16384, 431),
    "one name": (b"GET / HTTP/1.1\r\n", b"n" * 16384, 431),
    "headers": (b"GET / HTTP/1.1\r\n", b"X: 1\r\n" * 2000, 431),
    "chunk extension": (request("POST / HTTP/1.1", *CHUNKED, body=b"5;"), b"e" * 16384, 400),
    "chunk extensions": (request("POST / HTTP/1.1", *CHUNKED), b"1;" + b"e" * 1000 + b"\r\nx\r\n", 400),
    "trailers": (request("POST / HTTP/1.1", *CHUNKED, body=b"0\r\n"), b"X: 1\r\n" * 2000, 431),
    "one trailer": (request("POST / HTTP/1.1", *CHUNKED, body=b"0\r\nX: "), b"v" * 16384, 400),
    "zeros of a chunk size": (request("POST / HTTP/1.1", *CHUNKED), b"0" * 16384, 400),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("before", [b"", GOOD], ids=["", "behind a good request"])
def test_endless_messages_are_refused(wire, name, before):
    start, more, status = ENDLESS[name]
    peer = wire(echo).connect().feed(before + start)
    taken = 0
    while peer.open and taken < 1_000_000:
        peer.feed(more)
        taken += len(more)
    assert taken < 250_000
    assert peer.statuses()[bool(before) :] == [status]


@pytest.mark.parametrize("trailer", [b"X-Trailer: 1\r\n", b"Host: other\r\nAuthorization: me\r\nCookie: a=b\r\n"])
def test_trailers_never_become_headers(wire, trailer):
    seen = []

    async def app(scope, receive, send):
        await read_body(receive)
        seen.append(scope["headers"])
        await respond(send)

    site = wire(app)
    message = request("POST / HTTP/1.1", *CHUNKED, body=chunked(b"x", trailer=trailer))
    for parts in splits(message):
        assert site.connect().feed(*parts, GOOD).statuses() == [200, 200]
    expected = [[(b"host", b"test"), (b"transfer-encoding", b"chunked")], [(b"host", b"test")]]
    assert seen == expected * (len(seen) // 2)


def test_flood_of_small_chunks_is_a_body_like_any_other(wire):
    data = chunked(*[b"x"] * 30_000)
    peer = wire(echo).connect().feed(request("POST / HTTP/1.1", *CHUNKED))
    for at in range(0, len(data), 16384):
        peer.feed(data[at : at + 16384])
    assert len(peer.answers()[0].body) == len(b"POST /\n") + 30_000


def test_refused_client_is_given_time_to_read_the_answer(wire):
    """Closing while there is unread data would reset the connection, and with it the answer (RFC 9112 section 9.6)."""
    site = wire(echo)
    peer = site.connect().feed(MALFORMED["garbage"])
    assert (peer.transport.eof, peer.transport.closing) == (True, False)
    peer.feed(b"x" * 100_000)
    assert not peer.transport.closing
    site.pass_time(5)
    assert peer.transport.closing


def test_tls_has_no_half_close(wire):
    peer = wire(echo).connect(sslcontext=object()).feed(MALFORMED["garbage"])
    assert peer.statuses() == [400]
    assert peer.transport.closing


# --- the log ----------------------------------------------------------------------------------------------------------


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "turboapi.error"]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (b"nonsense\r\n\r\n", "1.2.3.4:5 - 400 Invalid HTTP request received."),
        (line(200), "1.2.3.4:5 - 414 URI Too Long"),
        (fields(20), "1.2.3.4:5 - 431 Request Header Fields Too Large"),
        (request("POST / HTTP/1.1", "Content-Length: 1000"), "1.2.3.4:5 - 413 Content Too Large"),
    ],
)
def test_refusals_are_logged(wire, caplog, message, line):
    site = wire(echo, limit_request_line=100, limit_header_count=10, limit_body=999)
    site.connect().feed(GOOD + message)
    assert warnings_of(caplog) == [line]
    assert caplog.records[0].levelname == "WARNING"


def test_surplus_clients_and_those_that_are_late_are_logged(wire, caplog):
    site = wire(echo, limit_concurrency=1)
    first = site.connect(peername=None)
    site.connect().feed(GOOD)
    assert warnings_of(caplog) == ["1.2.3.4:5 - 503 Service Unavailable"]
    first.feed(b"GET / HT")
    site.pass_time(30)
    assert warnings_of(caplog)[1:] == ["- - 408 Request Timeout"]


def test_a_flood_of_refusals_is_summed_up(wire, caplog):
    site = wire(echo)
    for _ in range(2):
        caplog.clear()
        for _ in range(25):
            site.connect().feed(b"nonsense\r\n\r\n")
        site.pass_time(0)
        assert len(warnings_of(caplog)) == 11
        assert warnings_of(caplog)[-1] == "15 more requests were refused"
    caplog.clear()
    site.pass_time(0)
    assert warnings_of(caplog) == []
