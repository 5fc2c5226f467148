"""`Site` and the last resort for errors; what endpoints answer is compared with the reference in tests/compat."""

import gc
import sys

import pytest

from tests.wire.harness import Site, Wire, echo, request
from turboapi._speedups.endpoint import decode_json, log_and_answer_500, routes_epoch
from turboapi._speedups.router import Entry, Router
from turboapi.exceptions import HTTPException


@pytest.fixture
def answer():
    sites = []

    def ask(site, *messages):
        sites.append(Wire(site))
        return sites[-1].answer(*messages)

    yield ask
    for site in sites:
        site.close()


def test_site_needs_something_to_serve():
    with pytest.raises(TypeError, match="router or an ASGI application"):
        Site()


def test_site_shows_what_it_was_given():
    router = Router([])
    site = Site(router=router, unmatched=echo, not_allowed=print, add_to_scope=len, root_path="/api/")
    assert (site.router, site.unmatched, site.not_allowed, site.add_to_scope) == (router, echo, print, len)
    assert (site.asgi, site.root_path, site.on_error) == (None, "/api", log_and_answer_500)
    assert site.current() is site


def test_site_is_frozen_anew_when_routes_have_changed():
    new = Site(asgi=echo)
    old = Site(asgi=echo, refresh=lambda: new)
    assert old.current() is old
    routes_epoch.value += 1
    assert old.current() is new


def test_connections_take_over_the_new_site(answer):
    async def old(scope, receive, send):
        raise AssertionError

    site = Site(asgi=old, refresh=lambda: Site(asgi=echo))
    routes_epoch.value += 1
    assert [each.body for each in answer(site, request())] == [b"GET /\n"]


def named(name):
    async def app(scope, receive, send):
        text = name.encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text})

    return app


@pytest.mark.parametrize(
    ("root_path", "line", "expected"),
    [
        ("", "GET /opaque HTTP/1.1", b"found"),
        ("", "GET /opaque/x HTTP/1.1", b"unmatched"),
        ("", "POST /opaque HTTP/1.1", b"not allowed"),
        ("/api", "GET /api/opaque HTTP/1.1", b"found"),
        ("/api", "GET /opaque HTTP/1.1", b"found"),
        ("/api", "GET /apiopaque HTTP/1.1", b"unmatched"),
        ("/api", "GET /api HTTP/1.1", b"unmatched"),
    ],
)
def test_routes(answer, root_path, line, expected):
    def matches(exchange):
        path = exchange.path.removeprefix(root_path) if exchange.path.startswith(root_path + "/") else exchange.path
        return (exchange.method == "GET", "payload") if path == "/opaque" else None

    async def not_allowed(scope, receive, send):
        await named("not allowed")(scope, receive, send)

    def entry():
        return Entry.opaque(named("found"), matches)

    site = Site(router=Router([entry()]), unmatched=named("unmatched"), not_allowed=not_allowed, root_path=root_path)
    [found] = answer(site, request(line))
    assert found.body == (expected if expected != b"not allowed" else b"found")


@pytest.mark.parametrize(
    ("error", "status", "body", "logged"),
    [
        (ValueError("secret"), 500, b"Internal Server Error", True),
        (HTTPException(status_code=418), 418, b"I'm a Teapot", False),
        (HTTPException(status_code=413, detail={"max": 1}), 413, b"{'max': 1}", False),
    ],
)
def test_last_resort(answer, caplog, error, status, body, logged):
    async def app(scope, receive, send):
        raise error

    [found] = answer(Site(asgi=app), request())
    assert (found.status, found.body) == (status, body)
    assert ("secret" in caplog.text) is logged


def test_on_error_answers_in_its_place(answer):
    seen = []

    async def app(scope, receive, send):
        raise ValueError("mine")

    async def on_error(exchange, exc):
        seen.append((exchange.method, exchange.path, exchange.started, repr(exc), exchange.status))
        await named("handled")(exchange.scope(), exchange.receive, exchange.send)

    assert [each.body for each in answer(Site(asgi=app, on_error=on_error), request("GET /x HTTP/1.1"))] == [b"handled"]
    assert seen == [("GET", "/x", False, "ValueError('mine')", 0)]


def test_error_of_the_error_handler_cuts_the_connection_and_is_reported():
    async def app(scope, receive, send):
        raise ValueError("first")

    async def on_error(exchange, exc):
        raise OSError("second")

    site = Wire(Site(asgi=app, on_error=on_error))
    peer = site.connect().feed(request() * 2)
    assert (peer.output, peer.transport.aborted) == (b"", True)
    site.settle()
    reported = [repr(context["exception"]) for context in site.loop.errors]
    site.loop.errors.clear()
    site.close()
    assert reported == ["OSError('second')"]


def test_scope_is_completed_once(answer):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["mine"])
        await echo(scope, receive, send)

    def add_to_scope(scope, exchange):
        scope["mine"] = exchange.method

    answer(Site(asgi=app, add_to_scope=add_to_scope), request() + request("PUT / HTTP/1.1"))
    assert seen == ["GET", "PUT"]


@pytest.mark.parametrize(("size", "paused"), [(16383, False), (16384, sys.version_info < (3, 12))])
def test_garbage_collector_rests_while_a_large_document_is_decoded(size, paused):
    assert decode_json(lambda data: gc.isenabled(), b"x" * size) is not paused
    assert gc.isenabled()


def test_garbage_collector_is_on_again_when_a_document_is_refused():
    def refuse(data):
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        decode_json(refuse, b"x" * 100_000)
    assert gc.isenabled()


def test_garbage_collector_that_is_off_stays_off():
    gc.disable()
    try:
        assert decode_json(len, b"x" * 100_000) == 100_000
        assert not gc.isenabled()
    finally:
        gc.enable()
