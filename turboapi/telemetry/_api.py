"""What is known of the request at hand, where spans and logs find it, and the spans of its steps.

Everything hangs on one object, `_RequestTelemetry`, which is in the scope and in OpenTelemetry's context as long as the
request lasts. Whoever finds none has nothing to do. This module can be imported, and called, without opentelemetry-api.
"""

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from time import time_ns
from typing import TYPE_CHECKING, Any, TypedDict

from turboapi.exceptions import (
    RequestValidationError,
    StarletteHTTPException,
    StarletteWebSocketException,
    ValidationException,
    WebSocketDisconnect,
    WebSocketRequestValidationError,
)

try:
    from opentelemetry import context as otel_context
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.trace import StatusCode
except ModuleNotFoundError:
    AVAILABLE = False
else:
    AVAILABLE = True

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from turboapi.requests import Request
    from turboapi.websockets import WebSocket

__all__ = ["AVAILABLE", "SCOPE_KEY", "TelemetryConfig", "TelemetryData", "complete_config", "get_telemetry_data"]

SCOPE_KEY = "fastapi.telemetry"
"""Where the scope of a request has its `_RequestTelemetry`; None there means that the request was excluded."""


class TelemetryConfig(TypedDict, total=False):
    """The options of `TurboAPI(telemetry={...})`.

    tracer_provider, meter_provider, logger_provider: used in place of the global ones. They are never shut down.
    tracing: make spans of HTTP requests and WebSocket connections (on by default, as the next three).
    metrics: measure how long HTTP requests take and how many are active.
    logs: log requests that fail validation, and unhandled exceptions with message and traceback.
    operation_spans: make spans of a request's steps: dependencies, endpoint, serialization, background tasks.
    auto_configure: at start-up, export by OTLP to where the standard environment variables say. By default it is on if
        the variable FASTAPI_OTEL_AUTO_CONFIGURE is "true".
    exclude: `exclude(scope)` returns whether to leave a request or connection alone.
    """

    tracer_provider: "TracerProvider | None"
    meter_provider: "MeterProvider | None"
    logger_provider: "LoggerProvider | None"
    tracing: bool
    metrics: bool
    logs: bool
    operation_spans: bool
    auto_configure: bool
    exclude: Callable[[MutableMapping[str, Any]], bool] | None


def complete_config(given: Mapping[str, Any] | None) -> TelemetryConfig:
    """Return a new dictionary with all options: those given, and the defaults of the others."""
    config: TelemetryConfig = {
        "tracer_provider": None,
        "meter_provider": None,
        "logger_provider": None,
        "tracing": True,
        "metrics": True,
        "logs": True,
        "operation_spans": True,
        "auto_configure": os.environ.get("FASTAPI_OTEL_AUTO_CONFIGURE", "").lower() == "true",
        "exclude": None,
    }
    config.update(given or {})  # type: ignore[typeddict-item]
    return config


@dataclass(kw_only=True)
class TelemetryData:
    """A request or connection, for processors of spans and logs that run while it is being handled.

    It fills as the request goes on: `request` or `websocket` when its route begins, `body` when that has been parsed,
    `values`, the arguments, and `errors` when the dependencies have been solved. Nothing of this is exported, unless a
    processor does so: it should only read, and redact what must not be seen.
    """

    request: "Request | None" = None
    websocket: "WebSocket | None" = None
    body: Any = None
    values: dict[str, Any] | None = None
    errors: Sequence[Any] | None = None


@dataclass(kw_only=True)
class _RequestTelemetry:
    """What is observed of one request or connection; `tracer` and `logger` are None where these are off."""

    span: "Span | None"
    span_method: str
    tracer: "Tracer | None" = None
    logger: "Logger | None" = None
    route: str | None = None
    status_code: int | None = None
    data: TelemetryData | None = field(default_factory=TelemetryData)
    _mount_prefix: str = ""
    _exceptions: list[BaseException] = field(default_factory=list, repr=False)


_REQUEST_TELEMETRY_KEY = otel_context.create_key("fastapi.request") if AVAILABLE else ""
_NO_OPERATION = nullcontext()
_in_use = False  # whether any request has ever been observed; until then no context needs to be looked at


def mark_in_use() -> None:
    """Note that requests are observed in this process."""
    global _in_use
    _in_use = True


def _get_request_telemetry(context: "Context | None" = None) -> _RequestTelemetry | None:
    if not _in_use:
        return None
    found = otel_context.get_value(_REQUEST_TELEMETRY_KEY, context)
    return found if isinstance(found, _RequestTelemetry) else None


def is_observed(scope: MutableMapping[str, Any]) -> bool:
    """Say whether somebody wants to know the steps of a request."""
    return _in_use and (scope.get(SCOPE_KEY) is not None or _get_request_telemetry() is not None)


def get_telemetry_data(context: "Context | None" = None) -> TelemetryData | None:
    """Return what is known of the request that an OpenTelemetry context belongs to: the current one by default.

    A log processor passes `record.context`. When the request has ended this is None, for contexts that were kept, too.
    """
    found = _get_request_telemetry(context)
    return None if found is None else found.data


# --- what routing and endpoints report -------------------------------------------------------------------------------


def _route_selected(*, scope: MutableMapping[str, Any], path: str | None, mount: bool = False) -> None:
    """Note the template of the route that was taken; that of a mount is followed by one of the mounted application."""
    found = scope.get(SCOPE_KEY)
    if path is None or not isinstance(found, _RequestTelemetry):
        return
    if mount:
        found._mount_prefix += path.removesuffix("/{path}")
        path = "/{path}"
    found.route = found._mount_prefix + path
    if found.span is not None:
        found.span.set_attribute("http.route", found.route)
        found.span.update_name(f"{found.span_method} {found.route}")


def _validation_failed(exc: ValidationException) -> None:
    """Note, and log, that the current request is refused."""
    found = _get_request_telemetry()
    if found is None:
        return
    errors = exc.errors()
    if found.data is not None:
        found.data.errors = errors
        if isinstance(exc, RequestValidationError):
            found.data.body = exc.body
    if found.logger is not None:
        route = {} if found.route is None else {"http.route": found.route}
        found.logger.emit(
            event_name="fastapi.validation.failed",
            timestamp=time_ns(),
            severity_number=SeverityNumber.WARN,
            severity_text=SeverityNumber.WARN.name,
            body="Request validation failed",
            attributes={"fastapi.validation.error_count": len(errors), **route},
        )


def _exception(*, scope: MutableMapping[str, Any], exc: BaseException) -> None:
    """Note, and log, an exception that nobody has handled; further reports of the same one change nothing."""
    found = scope.get(SCOPE_KEY)
    is_websocket = scope["type"] == "websocket"
    if not isinstance(found, _RequestTelemetry) or (is_websocket and _normal_websocket_disconnect(exc)):
        return
    if any(known is exc for known in found._exceptions):
        return
    found._exceptions.append(exc)
    if found.logger is None or not isinstance(exc, Exception):
        return
    found.logger.emit(
        event_name="fastapi.websocket.exception" if is_websocket else "http.server.request.exception",
        timestamp=time_ns(),
        severity_number=SeverityNumber.ERROR,
        severity_text=SeverityNumber.ERROR.name,
        body=f"Unhandled exception in FastAPI {'WebSocket connection' if is_websocket else 'request'}",
        attributes=_exception_attributes(found.route, exc) or None,
        exception=exc,
    )


def _exception_attributes(route: str | None, exc: Exception) -> dict[str, str]:
    attributes = {"http.route": route} if route else {}
    if name := _known_name(type(exc)):
        attributes["exception.type"] = name  # for all others OpenTelemetry adds it
    return attributes


_OF_STARLETTE = {
    "ClientDisconnect": "starlette.requests.ClientDisconnect",
    "MultiPartException": "starlette.formparsers.MultiPartException",
    "StarletteHTTPException": "starlette.exceptions.HTTPException",
    "StarletteWebSocketException": "starlette.exceptions.WebSocketException",
    "WebSocketDisconnect": "starlette.websockets.WebSocketDisconnect",
}


def _known_name(kind: type[Any]) -> str | None:
    """Return the name under which dashboards know an exception of the framework; None for other exceptions."""
    if kind.__module__ != "turboapi.exceptions":
        return None
    return _OF_STARLETTE.get(kind.__qualname__, f"fastapi.exceptions.{kind.__qualname__}")


def _exception_type(exc: BaseException) -> str:
    """Return the name of an exception's class, for `error.type`."""
    kind = type(exc)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return _known_name(kind) or f"{kind.__module__}.{kind.__qualname__}"


def _normal_websocket_disconnect(exc: BaseException) -> bool:
    """Say whether a client has just left, which is no error (RFC 6455, section 7.4.1)."""
    return isinstance(exc, WebSocketDisconnect) and exc.code in (1000, 1001)


# --- the spans of a request's steps ----------------------------------------------------------------------------------

_ANSWERS = (
    StarletteHTTPException,
    StarletteWebSocketException,
    RequestValidationError,
    WebSocketRequestValidationError,
)
"""Exceptions that are a way to answer: a step that raises one has not failed."""


def _operation(*, name: str, function: Callable[..., Any] | None = None) -> AbstractContextManager[None]:
    """Return the context manager in which a step runs: a span of its own, if the current request is traced."""
    found = _get_request_telemetry()
    if found is None or found.tracer is None:
        return _NO_OPERATION
    return _traced_operation(found.tracer, name, function)


@contextmanager
def _traced_operation(tracer: "Tracer", name: str, function: Callable[..., Any] | None) -> Iterator[None]:
    attributes = {} if function is None else {"code.function.name": _full_name(function)}
    span_of_step = tracer.start_as_current_span(
        f"fastapi.{name}", attributes=attributes, record_exception=False, set_status_on_exception=False
    )
    with span_of_step as span:
        try:
            yield
        except Exception as exc:
            if name == "background_task" or not (isinstance(exc, _ANSWERS) or _normal_websocket_disconnect(exc)):
                span.set_attribute("error.type", _exception_type(exc))
                span.set_status(StatusCode.ERROR)
            raise


def _full_name(function: Callable[..., Any]) -> str:
    kind = type(function)
    module = getattr(function, "__module__", kind.__module__)
    return f"{module}.{getattr(function, '__qualname__', kind.__qualname__)}"


def _run_sync_endpoint(*, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a plain endpoint: in a worker thread, where its span belongs, too."""
    with _operation(name="endpoint", function=function):
        return function(**arguments)


# --- providers -------------------------------------------------------------------------------------------------------

_PLACEHOLDERS = frozenset(
    {
        ("opentelemetry.trace", "ProxyTracerProvider"),
        ("opentelemetry.metrics._internal", "_ProxyMeterProvider"),
        ("opentelemetry._logs._internal", "ProxyLoggerProvider"),
    }
)


def _unconfigured(provider: Any) -> bool:
    """Say whether a provider is the one that OpenTelemetry has until somebody sets one; it has no question for that."""
    kind = type(provider)
    return (kind.__module__, kind.__name__) in _PLACEHOLDERS
