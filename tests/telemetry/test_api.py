"""What processors see of a request, and the module where opentelemetry-api is missing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi.telemetry
import httpx
import pytest
from fastapi.testclient import TestClient as FastAPIClient
from opentelemetry.sdk.trace import SpanProcessor
from pydantic import BaseModel

import turboapi.telemetry
from tests.compat.framework import FASTAPI, TURBOAPI, Framework
from tests.telemetry.recorder import Recorder, eventually
from turboapi import exceptions
from turboapi.telemetry import _api

ROOT = Path(__file__).parents[2]


class Item(BaseModel):
    name: str


class Watcher(SpanProcessor):
    """Notes what is known of the request when a span begins and when it has ended."""

    def __init__(self, telemetry: Any, log: list[Any]) -> None:
        self.telemetry = telemetry
        self.log = log

    def note(self, when: str, span: Any) -> None:
        data = self.telemetry.get_telemetry_data()
        if data is None:
            self.log.append((when, span.name))
            return
        values = data.values and {
            name: value if isinstance(value, (int, str, BaseModel)) else type(value).__name__
            for name, value in data.values.items()
        }
        path = None if data.request is None else data.request.url.path
        errors = data.errors and [(error["loc"], error["type"], error["input"]) for error in data.errors]
        self.log.append((when, span.name, path, data.body, values, errors))

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.note("start", span)

    def on_end(self, span: Any) -> None:
        self.note("end", span)


def build(api: Framework, config: Any) -> Any:
    app = api.App(telemetry=config)

    def size(size: int = 1) -> int:
        return size

    @app.post("/items/{item_id}")
    async def add(
        item_id: int,
        item: Item,
        tasks: api.BackgroundTasks,
        request: api.Request,
        size: int = api.Depends(size),  # type: ignore[name-defined]
    ) -> str:
        return item.name

    @app.get("/items/{item_id}", response_class=api.PlainTextResponse)
    def read(item_id: int, q: list[str] | None = api.Query(default=None), limit: int = 3) -> str:  # noqa: B008
        return "text"

    return app


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/items/1", {"json": {"name": "x"}}),
        ("POST", "/items/1?size=x", {"json": {"name": "x"}}),
        ("POST", "/items/x?size=2", {"json": {"wrong": "x"}}),
        ("POST", "/items/1", {"content": "[", "headers": {"content-type": "application/json"}}),
        ("POST", "/items/1", {"content": "text", "headers": {"content-type": "text/plain"}}),
        ("GET", "/items/1?q=a&q=b", {}),
        ("GET", "/items/1?limit=x", {}),
    ],
)
def test_data_are_those_of_fastapi(
    method: str,
    path: str,
    options: dict[str, Any],
    client_for: Callable[..., httpx.Client],
    new_recorder: Callable[[], Recorder],
) -> None:
    theirs, ours = new_recorder(), new_recorder()
    expected: list[Any] = []
    seen: list[Any] = []
    theirs.tracer_provider.add_span_processor(Watcher(fastapi.telemetry, expected))
    ours.tracer_provider.add_span_processor(Watcher(turboapi.telemetry, seen))
    FastAPIClient(build(FASTAPI, theirs.config)).request(method, path, **options)
    client_for(build(TURBOAPI, ours.config)).request(method, path, **options)
    assert eventually(lambda: list(seen), expected) == expected
    assert len(expected) >= 2


def test_nothing_is_known_outside_of_requests() -> None:
    assert turboapi.telemetry.get_telemetry_data() is None
    assert turboapi.telemetry.TelemetryData() == turboapi.telemetry.TelemetryData(request=None, body=None, errors=None)


@pytest.mark.parametrize("given", [None, {}, {"tracing": False, "auto_configure": True}])
@pytest.mark.parametrize("variable", ["", "TRUE", "1"])
def test_options_and_their_defaults(given: Any, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", variable)
    assert _api.complete_config(given) == fastapi.FastAPI(telemetry=given)._telemetry


def test_options_are_those_of_fastapi() -> None:
    ours, theirs = turboapi.telemetry.TelemetryConfig, fastapi.telemetry.TelemetryConfig
    assert ours.__annotations__.keys() == theirs.__annotations__.keys()
    assert ours.__optional_keys__ == theirs.__optional_keys__


@pytest.mark.parametrize(
    ("exc", "name"),
    [
        (ValueError(), "ValueError"),
        (httpx.ReadError(""), "httpx.ReadError"),
        (exceptions.HTTPException(400), "fastapi.exceptions.HTTPException"),
        (exceptions.StarletteHTTPException(400), "starlette.exceptions.HTTPException"),
        (exceptions.WebSocketDisconnect(1006), "starlette.websockets.WebSocketDisconnect"),
    ],
)
def test_exceptions_have_the_names_that_fastapi_reports(exc: Exception, name: str) -> None:
    assert _api._exception_type(exc) == name


WITHOUT_OPENTELEMETRY = """
import logging, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
warned = []
class Keep(logging.Handler):
    def emit(self, record):
        warned.append(record.getMessage())
logging.getLogger("turboapi").addHandler(Keep())

from turboapi import BackgroundTasks, TurboAPI
from turboapi.telemetry import TelemetryConfig, get_telemetry_data
from turboapi.testclient import TestClient

app = TurboAPI(telemetry=TelemetryConfig(operation_spans=False, auto_configure=AUTO))
done = []

@app.get("/{number}")
def read(number: int, tasks: BackgroundTasks):
    tasks.add_task(done.append, get_telemetry_data())
    return number

assert app.freeze().asgi is None
with TestClient(app) as client:
    assert client.get("/1").json() == 1
    assert client.get("/x").status_code == 422
assert done == [None]
assert "opentelemetry" not in sys.modules
print(*warned)
"""


@pytest.mark.parametrize("auto", [False, True])
def test_without_opentelemetry_nothing_is_reported(auto: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_OPENTELEMETRY.replace("AUTO", str(auto))],
        cwd=ROOT,
        env=os.environ | {"PYDANTIC_DISABLE_PLUGINS": "__all__", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert ('pip install "turboapi[opentelemetry]"' in done.stdout) == auto
