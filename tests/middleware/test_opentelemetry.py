"""The spans are compared with those of the reference, attribute by attribute."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import fastapi
import pytest
import starlette.applications
import starlette.middleware.opentelemetry
import starlette.responses
import starlette.routing
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import turboapi
import turboapi._application
import turboapi._routes
import turboapi.middleware.opentelemetry
import turboapi.responses
from tests.middleware.exchanges import exchange, http_scope, response, sender, websocket_scope
from turboapi import TurboAPI
from turboapi.middleware import Middleware
from turboapi.middleware.opentelemetry import OpenTelemetryMiddleware

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Library(NamedTuple):
    """What the same application is made of."""

    middleware: Any
    application: Any
    routing: Any
    responses: Any
    fastapi: Any


OURS = Library(OpenTelemetryMiddleware, turboapi._application.Starlette, turboapi._routes, turboapi.responses, TurboAPI)
THEIRS = Library(
    starlette.middleware.opentelemetry.OpenTelemetryMiddleware,
    starlette.applications.Starlette,
    starlette.routing,
    starlette.responses,
    fastapi.FastAPI,
)


def facts(span: ReadableSpan) -> dict[str, Any]:
    """What a span says, without what is drawn by lot: its own id, and that of a trace which it begins."""
    events = [(event.name, dict(event.attributes or {})) for event in span.events]
    for _, attributes in events:
        attributes.pop("exception.stacktrace", None)
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "kind": span.kind,
        "attributes": dict(span.attributes or {}),
        "status": (span.status.status_code, span.status.description),
        "events": events,
        "parent": span.parent and (span.parent.trace_id, span.parent.span_id, span.parent.is_remote),
        "scope": scope and (scope.name, scope.version),
    }


def make_provider() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def spans_of(
    library: Library, make_app: Callable[[Library], Any], scope: dict[str, Any], **options: Any
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return what an application sends behind the middleware, and the spans."""
    provider, exporter = make_provider()
    log = exchange(library.middleware(make_app(library), tracer_provider=provider, **options), scope)
    return log, [facts(span) for span in exporter.get_finished_spans()]


def same(make_app: Callable[[Library], Any], scope: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    ours, theirs = (spans_of(library, make_app, scope, **options) for library in (OURS, THEIRS))
    assert ours == theirs
    return ours[1]


@given(
    scope=st.fixed_dictionaries(
        {},
        optional={
            "method": st.sampled_from(["GET", "get", "Query", ""]),
            "path": st.sampled_from(["/", "", "/a b", "/ü"]),
            "root_path": st.sampled_from(["", "/", "/root"]),
            "scheme": st.sampled_from(["http", "https"]),
            "query_string": st.sampled_from([b"", b"a=1&b=%20"]),
            "http_version": st.sampled_from(["", "1.1", "2"]),
            "server": st.sampled_from([None, ("example.org", 80), ("::1", 8000), ("/socket", None)]),
            "client": st.sampled_from([None, ("1.2.3.4", 5), ("", 0)]),
        },
    ),
    headers=st.lists(
        st.sampled_from(
            [
                *(("Host", "example.org"), ("host", "[::1]:81"), ("host", "a/b"), ("User-Agent", "first")),
                *(("user-agent", ""), ("traceparent", PARENT), ("TraceParent", "wrong")),
            ]
        ),
        max_size=3,
    ),
)
@settings(max_examples=300, deadline=None)
def test_spans_are_those_of_the_reference(scope: dict[str, Any], headers: list[tuple[str, str]]) -> None:
    whole = http_scope(headers)
    for name in {"method", "path", "root_path", "scheme", "query_string", "http_version", "server", "client"}:
        whole.pop(name)
    assert len(same(lambda library: response(), {**whole, "path": "/", "method": "GET", **scope})) == 1


def test_remote_parent() -> None:
    [span] = same(lambda library: response(), http_scope([("traceparent", PARENT)]))
    assert span["parent"] == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)


@pytest.mark.parametrize("status", [199, 404, 499, 500, 599])
def test_status(status: int) -> None:
    [span] = same(lambda library: response(status=status), http_scope())
    assert span["attributes"]["http.response.status_code"] == status
    assert (span["attributes"].get("error.type") == str(status)) is (status >= 500)


def test_errors() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("gone")

    [span] = same(lambda library: fail, http_scope())
    assert span["attributes"]["error.type"] == "KeyError"
    assert [name for name, _ in span["events"]] == ["exception"]


def make_starlette(library: Library) -> Any:
    routing = library.routing
    text = library.responses.PlainTextResponse("done")

    class Custom(routing.BaseRoute):  # type: ignore[misc, name-defined]
        def matches(self, scope: Any) -> Any:
            return (routing.Match.FULL if scope["path"] == "/custom" else routing.Match.NONE), {}

        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            await text(scope, receive, send)

    def endpoint(request: Any) -> Any:
        return text

    inner = [routing.Route("/", endpoint), routing.Route("/{item:int}", endpoint)]
    routes = [
        Custom(),
        routing.Route("/users/{name}", endpoint),
        routing.Host("other.example", app=routing.Router(inner)),
        routing.Mount("/mount/{key}", routes=inner),
        routing.Mount("/raw", app=text),
        routing.Mount("/sub", app=library.application(routes=inner)),
        routing.Mount("", routes=[routing.Route("/last", endpoint)]),
    ]
    return library.application(routes=routes)


@pytest.mark.parametrize("root_path", ["", "/proxy"])
@pytest.mark.parametrize("host", ["testserver", "other.example"])
@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/custom", None),
        ("/users/a", "/users/{name}"),
        ("/users/a/", "/"),
        ("/mount/x/1", "/mount/x/{item}"),
        ("/mount/x/a", "/mount/x"),
        ("/mount/x/", "/mount/x/"),
        ("/raw/a", "/raw"),
        ("/sub/2", "/sub/{item}"),
        ("/sub/a", "/sub"),
        ("/last", "/last"),
        ("/nothing", "/"),
    ],
)
def test_routes(path: str, route: str | None, host: str, root_path: str) -> None:
    scope = http_scope([("host", host)], path=root_path + path, root_path=root_path)
    [span] = same(make_starlette, scope)
    if (host, root_path) == ("testserver", ""):
        assert span["attributes"].get("http.route") == route
        assert span["name"] == ("GET" if route is None else f"GET {route}")


def make_fastapi(library: Library) -> Any:
    # FastAPI answers 405 to HEAD, and says so in Allow.
    app = library.fastapi(auto_head=False) if library is OURS else library.fastapi()
    router = turboapi.APIRouter(auto_head=False) if library is OURS else fastapi.APIRouter()

    @app.get("/plain")
    async def plain() -> int:
        return 1

    @router.get("/{item}")
    def read(item: int) -> int:
        if item == 0:
            raise LookupError
        return item

    app.include_router(router, prefix="/items/{kind}")
    app.mount("/mount", library.responses.PlainTextResponse("done"))
    return app


@pytest.mark.parametrize(
    "path", ["/plain", "/plain/", "/items/a/1", "/items/a/b", "/items/a/0", "/mount/x", "/nothing", "/openapi.json"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_routes_of_fastapi_applications(path: str, method: str) -> None:
    same(make_fastapi, http_scope([("host", "testserver")], path=path, method=method))


@pytest.mark.parametrize(
    ("excluded", "path", "traced"),
    [
        ((), "/health", True),
        ("", "/health", True),
        ("/health", "/health", False),
        ("/health$", "/health", True),
        (" /a$ , ^http://testserver/health[?]full=1$", "/health", False),
        (["/a,b", "x"], "/a,b", False),
        (["/A"], "/a", True),
    ],
)
def test_excluded_urls(excluded: Any, path: str, traced: bool) -> None:
    scope = http_scope([("host", "testserver")], path=path, query_string=b"full=1")
    assert bool(same(lambda library: response(), scope, excluded_urls=excluded)) is traced


@pytest.mark.parametrize("excluded", [(), "/"])
def test_only_the_outermost_traces(excluded: Any) -> None:
    provider, exporter = make_provider()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await library.middleware(response(), tracer_provider=provider)(scope, receive, send)

    for library in (OURS, THEIRS):
        log, spans = spans_of(library, lambda _: app, http_scope(), excluded_urls=excluded)
        assert (len(log), len(spans)) == (2, 0 if excluded else 1)
        assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("app", [response(), sender({"type": "x"})])
def test_the_scope_is_left_as_it_was(app: Any) -> None:
    scopes: list[Any] = []

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await OpenTelemetryMiddleware(app, tracer_provider=make_provider()[0])(scope, receive, send)
        scopes.append(scope)

    exchange(outer, http_scope())
    assert scopes == [http_scope()]


def test_the_span_is_the_current_one_inside() -> None:
    provider, exporter = make_provider()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with provider.get_tracer("inner").start_as_current_span("inner"):
            await response()(scope, receive, send)

    exchange(OpenTelemetryMiddleware(app, tracer_provider=provider), http_scope())
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("inner", "GET")
    assert inner.parent == outer.context


def test_the_process_wide_provider_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, exporter = make_provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    exchange(OpenTelemetryMiddleware(response()), http_scope())
    assert len(exporter.get_finished_spans()) == 1


@pytest.mark.parametrize("scope", [websocket_scope(), {"type": "lifespan"}])
def test_other_scopes_pass(scope: Any) -> None:
    assert same(lambda library: response(), scope) == []


def test_a_provider_without_spans_costs_nothing() -> None:
    broken = {**http_scope(), "headers": None}  # nobody looks
    middleware = OpenTelemetryMiddleware(response(), tracer_provider=trace.NoOpTracerProvider())
    assert len(exchange(middleware, broken)) == 2


def test_over_both_entrances(client_for: Callable[..., Any]) -> None:
    provider, exporter = make_provider()
    app = TurboAPI(middleware=[Middleware(OpenTelemetryMiddleware, tracer_provider=provider)])
    app.get("/items/{item}")(lambda item: item)
    client = client_for(app)
    assert client.get("/items/a?b=c").json() == "a"
    assert client.get("/nothing").status_code == 404
    first, second = (facts(span) for span in exporter.get_finished_spans())
    assert (first["name"], second["name"]) == ("GET /items/{item}", "GET")
    assert first["attributes"].items() >= {"url.query": "b=c", "http.route": "/items/{item}"}.items()


def test_missing_library_is_explained() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None\nimport turboapi.middleware.opentelemetry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "The `opentelemetry-api` library must be installed to use OpenTelemetryMiddleware." in done.stderr
    assert 'pip install "turboapi[opentelemetry]"' in done.stderr
