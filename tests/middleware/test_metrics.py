"""`MetricsMiddleware` over both entrances: what is counted, under which labels, and when."""

import asyncio
import socket
import sys
import threading
import time

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import PATIENCE
from tests.middleware.exchanges import exchange, http_scope, response, websocket_scope
from turboapi import APIRouter, Depends, HTTPException, Request, TurboAPI
from turboapi.middleware import BaseHTTPMiddleware, MetricsMiddleware, TrustedHostMiddleware
from turboapi.responses import PlainTextResponse, StreamingResponse


@pytest.fixture
def registry():
    return CollectorRegistry()


def samples(registry, name):
    """The values of a metric by the values of its labels, in the order of their names."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    found = (sample for family in families for sample in family.samples if sample.name == name)
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in found}


def requests(registry):
    return samples(registry, "http_requests_total")


def wait_for(registry, count):
    """Returns when so many requests have ended: a client may have its answer a moment before."""
    deadline = time.monotonic() + PATIENCE
    while sum(requests(registry).values()) < count:
        assert time.monotonic() < deadline, requests(registry)
        time.sleep(0.001)


def make_app(registry, **options):
    app = TurboAPI()
    router = APIRouter(prefix="/shop")
    below = TurboAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int):
        return item_id

    @app.get("/plain")
    def plain():
        return []

    @router.get("/{name:path}")
    async def shop(name: str):
        return name

    @app.get("/gone")
    async def gone():
        raise HTTPException(410)

    @app.get("/fails")
    async def fails():
        raise ValueError("fails")

    @app.get("/parts")
    async def parts(fail: bool = False):
        async def body():
            yield b"one"
            if fail:
                raise ValueError("late")
            yield b"two"

        return StreamingResponse(body())

    @below.get("/deep/{name}")
    async def deep(name: str):
        return name

    async def raw(request):
        return PlainTextResponse(request.path_params["name"])

    app.add_route("/raw/{name}", raw)
    app.include_router(router)
    app.mount("/sub", below)
    app.add_middleware(MetricsMiddleware, registry=registry, **options)
    return app


REQUESTS = [
    ("GET", "/items/5", ("GET", "/items/{item_id}", "200")),
    ("GET", "/items/word", ("GET", "/items/{item_id}", "422")),
    ("GET", "/plain", ("GET", "/plain", "200")),
    ("GET", "/shop/a/b", ("GET", "/shop/{name}", "200")),
    ("GET", "/gone", ("GET", "/gone", "410")),
    ("GET", "/fails", ("GET", "/fails", "500")),
    ("GET", "/parts", ("GET", "/parts", "200")),
    ("GET", "/sub/deep/1", ("GET", "/sub/deep/{name}", "200")),
    ("GET", "/raw/1", ("GET", "/raw/{name}", "200")),
    ("GET", "/openapi.json", ("GET", "/openapi.json", "200")),
    ("GET", "/sub/deeper", ("GET", "/sub", "404")),
    ("DELETE", "/plain", ("DELETE", "/plain", "405")),
    ("GET", "/nowhere/1", ("GET", "unmatched", "404")),
    ("GET", "/nowhere/2", ("GET", "unmatched", "404")),
    ("REPORT", "/nowhere/2", ("other", "unmatched", "404")),
]


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize(("method", "path", "labels"), REQUESTS)
def test_what_is_counted(client_for, registry, method, path, labels, inner):
    app = make_app(registry)
    if inner:  # a function around it, and another one inside of it

        async def dispatch(request, call_next):
            return await call_next(request)

        app.user_middleware.append(app.user_middleware[0].__class__(BaseHTTPMiddleware, dispatch=dispatch))
        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    client = client_for(app)
    client.request(method, path)
    wait_for(registry, 1)
    method_label, route, status = labels
    assert requests(registry) == {(method_label, route, status): 1}
    assert samples(registry, "http_request_duration_seconds_count") == {(method_label, route): 1}
    assert samples(registry, "http_requests_in_progress") == {(): 0}


def test_the_prefix_of_a_proxy_is_no_label(client_for, registry):
    client = client_for(make_app(registry), root_path="/api")
    client.get("/items/5")
    wait_for(registry, 1)
    assert requests(registry) == {("GET", "/items/{item_id}", "200"): 1}


def test_what_other_middleware_answers_is_counted(client_for, registry):
    app = TurboAPI()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["elsewhere"])
    app.add_middleware(MetricsMiddleware, registry=registry)
    assert client_for(app).get("/items/5").status_code == 400
    wait_for(registry, 1)
    assert requests(registry) == {("GET", "unmatched", "400"): 1}


def test_a_response_that_breaks_off_counts_as_500(serve, registry):
    with serve(make_app(registry)) as served, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(served.url + "/parts?fail=1", trust_env=False)
    assert requests(registry) == {("GET", "/parts", "500"): 1}


def test_a_request_is_in_progress_until_its_response_has_ended(serve, registry):
    app = make_app(registry)
    begun, gate = threading.Event(), asyncio.Event()

    @app.get("/gate")
    async def wait():
        async def body():
            yield b"one"
            app.state.loop = asyncio.get_running_loop()
            begun.set()
            await gate.wait()

        return StreamingResponse(body())

    with serve(app) as served, socket.create_connection(("127.0.0.1", served.port)) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(b"GET /gate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert begun.wait(PATIENCE)
        assert samples(registry, "http_requests_in_progress") == {(): 1} and requests(registry) == {}
        app.state.loop.call_soon_threadsafe(gate.set)
        while sock.recv(65536):
            pass
    assert samples(registry, "http_requests_in_progress") == {(): 0}
    assert requests(registry) == {("GET", "/gate", "200"): 1}


def test_a_client_that_leaves_before_the_response(serve, registry):
    app = make_app(registry)
    begun = threading.Event()

    @app.post("/body")
    async def wait(request: Request):
        begun.set()
        await request.body()

    with serve(app) as served, socket.create_connection(("127.0.0.1", served.port)) as sock:
        sock.sendall(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx")
        assert begun.wait(PATIENCE)
    assert samples(registry, "http_requests_in_progress") == {(): 0}
    assert requests(registry) == {("POST", "/body", "499"): 1}


def test_around_any_application(registry):
    app = MetricsMiddleware(response(status=204), registry=registry)
    exchange(app, http_scope(path="/a"))
    exchange(app, http_scope(path="/b"))
    exchange(app, websocket_scope(path="/ws"))
    exchange(MetricsMiddleware(None, registry=registry), http_scope())
    assert requests(registry) == {("GET", "unmatched", "204"): 2, ("GET", "unmatched", "500"): 1}
    assert samples(registry, "http_requests_in_progress") == {(): 0}


def test_the_histogram(registry):
    app = MetricsMiddleware(response(), registry=registry, buckets=(1e-9, 60))
    exchange(app, http_scope())
    buckets = samples(registry, "http_request_duration_seconds_bucket")
    assert {labels[0]: value for labels, value in buckets.items()} == {"1e-09": 0, "60.0": 1, "+Inf": 1}


def test_paths_can_be_left_out(client_for, registry):
    client = client_for(make_app(registry, exclude_paths=["/plain", "/shop/*"]))
    for path in ("/plain", "/shop/a", "/gone"):
        client.get(path)
    wait_for(registry, 1)
    assert requests(registry) == {("GET", "/gone", "410"): 1}


def test_it_runs_natively(registry):
    app = make_app(registry)
    app.freeze()
    found = app.middleware_stack
    while not isinstance(found, MetricsMiddleware):
        found = getattr(found, "inside", None) or found.app
    assert found.layer() is not None


def test_dependencies_do_not_matter(client_for, registry):
    app = make_app(registry)

    def refuse():
        raise HTTPException(403)

    @app.get("/secret", dependencies=[Depends(refuse)])
    async def secret(): ...

    client_for(app).get("/secret")
    wait_for(registry, 1)
    assert requests(registry) == {("GET", "/secret", "403"): 1}


def test_without_the_library(monkeypatch, registry):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r'pip install "turboapi\[metrics\]"'):
        MetricsMiddleware(response(), registry=registry)


def test_the_default_registry_can_be_named(registry, monkeypatch):
    monkeypatch.setattr("prometheus_client.REGISTRY", registry)
    for given in (None, registry):
        exchange(MetricsMiddleware(response(), registry=given), http_scope())
    assert requests(registry) == {("GET", "unmatched", "200"): 2}


def test_buckets_are_those_of_the_registry(registry):
    MetricsMiddleware(response(), registry=registry)
    with pytest.raises(ValueError, match="http_request"):
        MetricsMiddleware(response(), registry=registry, buckets=(1, 2))
