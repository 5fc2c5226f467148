"""Export to where the environment says: read as FastAPI reads it, and done around the server's life."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from fastapi.telemetry import _runtime as theirs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from turboapi import TurboAPI
from turboapi.telemetry import _runtime as ours
from turboapi.telemetry._api import complete_config

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def nothing_owned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ours, "_owned", [])
    monkeypatch.setattr(ours, "_configured", [])
    yield
    ours._shutdown()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that takes OTLP, its URL, and what it has received."""
    received: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as exc:
        return type(exc).__name__


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {BASE: ""},
        {BASE: "http://host"},
        {BASE: "https://host:1/path/"},
        {BASE: "host:1"},
        {BASE: "ftp://host"},
        {BASE: "http://"},
        {BASE: "http://host", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/x"},
        {BASE: "nonsense", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://other/x/"},
        {BASE: "http://host", "OTEL_TRACES_EXPORTER": " NONE ", "OTEL_LOGS_EXPORTER": "OTLP"},
        {BASE: "http://host", "OTEL_METRICS_EXPORTER": "console"},
        {"OTEL_METRICS_EXPORTER": "console"},
        {BASE: "http://host", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {
            BASE: "http://host",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
        },
        {BASE: "http://host", "OTEL_EXPORTER_OTLP_PROTOCOL": "", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
    ],
)
def test_the_environment_means_what_it_means_to_fastapi(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for signal in ("TRACES", "METRICS", "LOGS"):
        assert outcome(ours._export_endpoint, signal) == outcome(theirs._export_endpoint, signal)


def test_an_exporter_is_added_once_to_each_provider(collector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BASE, collector[0])
    first, second = TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    for provider in (first, second, first):
        ours._configure_from_environment(
            complete_config({"tracer_provider": provider, "metrics": False, "logs": False, "auto_configure": True})
        )
    assert [provider for _, provider in ours._configured] == [first, second]
    assert len(ours._owned) == 2
    for provider in (first, second):
        provider.shutdown()


@pytest.mark.parametrize(
    ("options", "variable"),
    [({}, ""), ({"auto_configure": False}, "true"), ({"auto_configure": True, "tracing": False}, "")],
)
def test_nothing_is_exported_unless_asked_for(options: Any, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", variable)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
    ours._configure_from_environment(complete_config(options))
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    ours._configure_from_environment(complete_config({"auto_configure": True}))
    assert ours._owned == []


def test_the_server_exports_before_it_ends(collector: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, received = collector
    monkeypatch.setenv(BASE, url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    provider = TracerProvider(shutdown_on_exit=False)
    app = TurboAPI(telemetry={"tracer_provider": provider, "metrics": False, "logs": False, "auto_configure": True})

    @app.get("/items/{number}")
    async def read(number: int) -> int:
        return number

    with serve(app) as served:
        assert httpx.get(f"{served.url}/items/1", trust_env=False).json() == 1
        assert received == []
    ((path, body),) = received
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (scope,) = resource.scope_spans
    assert path == "/v1/traces"
    assert {span.name for span in scope.spans} == {
        "GET /items/{number}",
        "fastapi.dependencies",
        "fastapi.endpoint",
        "fastapi.serialization",
    }
    provider.shutdown()


def test_what_cannot_be_set_up_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(BASE, "http://127.0.0.1:1")
    config = complete_config({"tracer_provider": NoOpTracerProvider(), "auto_configure": True})
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        await send({"type": "lifespan.startup.complete"})

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        seen.append(message)

    asyncio.run(ours.lifespan(config=config, app=app, scope={}, receive=receive, send=send))
    assert seen == [{"type": "lifespan.startup"}, {"type": "lifespan.startup.complete"}]
    assert "does not support adding an OTLP exporter" in caplog.text
