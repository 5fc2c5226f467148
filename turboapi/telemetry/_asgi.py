"""The observer around an application: one span and two measurements for each request. Needs opentelemetry-api.

The attributes are those of the semantic conventions for HTTP servers:
https://opentelemetry.io/docs/specs/semconv/http/
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, UpDownCounter
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from turboapi._utils import FASTAPI_RELEASE
from turboapi.datastructures import Headers
from turboapi.telemetry._api import (
    _REQUEST_TELEMETRY_KEY,
    SCOPE_KEY,
    TelemetryConfig,
    _exception,
    _exception_type,
    _normal_websocket_disconnect,
    _RequestTelemetry,
    _unconfigured,
    mark_in_use,
)
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["NativeTelemetry", "has_otel_middleware"]

_INSTRUMENTATION = ("fastapi", FASTAPI_RELEASE)  # the name under which dashboards look for the reports
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# The convention's boundaries for `http.server.request.duration`, and the query parameters whose values it hides.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SECRETS = frozenset(
    {"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "X-Goog-Signature"},
)

Attributes = dict[str, Any]


class _HeadersGetter(Getter[Headers]):
    """How propagators read a request's headers."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        values = carrier.getlist(key)
        if key.lower() == "baggage" and values:
            return [",".join(values)]  # the propagator reads the first one only
        return values or None

    def keys(self, carrier: Headers) -> list[str]:
        return carrier.keys()


_HEADERS_GETTER = _HeadersGetter()


# --- is anybody interested -------------------------------------------------------------------------------------------

_NAMED_IN_ENVIRONMENT = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER", "OTEL_PYTHON_LOGGER_PROVIDER")
_GET_TRACER_PROVIDER = trace.get_tracer_provider
_GET_METER_PROVIDER = metrics.get_meter_provider
_GET_LOGGER_PROVIDER = _logs.get_logger_provider
_TRACES, _METRICS, _LOGS = vars(trace), vars(metrics_internal), vars(logs_internal)


def _can_peek() -> bool:
    """Say whether the global providers are where `_nothing_is_set` looks for them, and come from nowhere else."""
    return (
        "_TRACER_PROVIDER" in _TRACES
        and "_METER_PROVIDER" in _METRICS
        and "_LOGGER_PROVIDER" in _LOGS
        and not any(name in os.environ for name in _NAMED_IN_ENVIRONMENT)
    )


def _nothing_is_set() -> bool:
    """Say whether nobody has set a global provider, nor replaced the functions that return them."""
    return (
        _TRACES["_TRACER_PROVIDER"] is None
        and _METRICS["_METER_PROVIDER"] is None
        and _LOGS["_LOGGER_PROVIDER"] is None
        and trace.get_tracer_provider is _GET_TRACER_PROVIDER
        and metrics.get_meter_provider is _GET_METER_PROVIDER
        and _logs.get_logger_provider is _GET_LOGGER_PROVIDER
    )


def _usable(given: Any, get: Callable[[], Any], noop: type[Any]) -> Any:
    """Return the provider given, or else the global one; None for one that reports to nobody."""
    provider = get() if given is None else given
    is_idle = (given is None and _unconfigured(provider)) or isinstance(provider, noop)
    return None if is_idle else provider


def has_otel_middleware(stack: Any) -> bool:
    """Say whether OpenTelemetry's own ASGI middleware is in a stack: it reports what would be reported here.

    The built stack decides, since an instrumentation may come too late to get into it.
    """
    seen: set[int] = set()
    while stack is not None and id(stack) not in seen:
        seen.add(id(stack))
        kind = type(stack)
        if (kind.__module__, kind.__name__) == ("opentelemetry.instrumentation.asgi", "OpenTelemetryMiddleware"):
            return True
        stack = getattr(stack, "app", None)
    return False


# --- an application --------------------------------------------------------------------------------------------------

T = TypeVar("T")


class _PerProvider(Generic[T]):
    """What was made by a provider, kept until another provider takes its place."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._made: tuple[Any, T] | None = None

    def get(self, provider: Any) -> T | None:
        if provider is None:
            return None
        if self._made is None or self._made[0] is not provider:
            self._made = provider, self._make(provider)
        return self._made[1]


class _Providers(NamedTuple):
    """Where to report; None where nobody wants to know."""

    tracer: trace.TracerProvider | None
    meter: metrics.MeterProvider | None
    logger: _logs.LoggerProvider | None


_NOBODY = _Providers(None, None, None)


class _Instruments(NamedTuple):
    duration: Histogram
    active: UpDownCounter


def _make_tracer(provider: trace.TracerProvider) -> Tracer:
    return provider.get_tracer(*_INSTRUMENTATION, schema_url=_SCHEMA_URL)


def _make_logger(provider: _logs.LoggerProvider) -> _logs.Logger:
    return provider.get_logger(*_INSTRUMENTATION, schema_url=_SCHEMA_URL)


def _make_instruments(provider: metrics.MeterProvider) -> _Instruments:
    meter = provider.get_meter(*_INSTRUMENTATION, schema_url=_SCHEMA_URL)
    return _Instruments(
        duration=meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
        active=meter.create_up_down_counter(
            "http.server.active_requests", unit="{request}", description="Number of active HTTP server requests."
        ),
    )


class NativeTelemetry:
    """Observes the requests of one application. `config` has all options."""

    def __init__(self, config: TelemetryConfig) -> None:
        self.config = config
        named = os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "").strip()
        self._known_methods = frozenset(filter(None, map(str.strip, named.split(",")))) if named else _METHODS
        self._tracer = _PerProvider(_make_tracer)
        self._instruments = _PerProvider(_make_instruments)
        self._logger = _PerProvider(_make_logger)
        self._has_given = bool(
            (config["tracing"] and config["tracer_provider"] is not None)
            or (config["metrics"] and config["meter_provider"] is not None)
            or (config["logs"] and config["logger_provider"] is not None)
        )
        self._can_peek: bool | None = None

    def enabled(self) -> bool:
        """Say whether there is anything to observe requests for: a provider, given or set globally by now."""
        if self._has_given:
            return True
        if self._can_peek is None:
            self._can_peek = _can_peek()
        # PERF: asked for each request. OpenTelemetry's own functions take 4.6 µs to say that nothing is set.
        if self._can_peek and _nothing_is_set():
            return False
        config = self.config
        return (
            (config["tracing"] and not _unconfigured(trace.get_tracer_provider()))
            or (config["metrics"] and not _unconfigured(metrics.get_meter_provider()))
            or (config["logs"] and not _unconfigured(_logs.get_logger_provider()))
        )

    def has_effect(self) -> bool:
        """Say whether anybody would notice if requests were not observed: providers that report to nobody do not."""
        return self.enabled() and (self.config["exclude"] is not None or self._providers("http") != _NOBODY)

    async def __call__(
        self, *, app: ASGIApp, scope: Scope, receive: Receive, send: Send, legacy_otel: bool = False
    ) -> None:
        """Run an application under observation; `legacy_otel` says that another middleware observes it already."""
        config = self.config
        if config["exclude"] is not None and config["exclude"](scope):
            await _run_excluded(app, scope, receive, send)
            return
        providers = _NOBODY if legacy_otel else self._providers(scope["type"])
        if providers == _NOBODY:
            await app(scope, receive, send)
            return
        await _Observation(
            scope,
            method=self._method(scope),
            tracer=self._tracer.get(providers.tracer),
            instruments=self._instruments.get(providers.meter),
            logger=self._logger.get(providers.logger),
            with_steps=config["operation_spans"],
        ).run(app, receive, send)

    def _providers(self, scope_type: str) -> _Providers:
        config = self.config
        tracer = meter = logger = None
        if config["tracing"]:
            tracer = _usable(config["tracer_provider"], trace.get_tracer_provider, trace.NoOpTracerProvider)
        if config["metrics"] and scope_type != "websocket":
            meter = _usable(config["meter_provider"], metrics.get_meter_provider, metrics.NoOpMeterProvider)
        if config["logs"]:
            logger = _usable(config["logger_provider"], _logs.get_logger_provider, _logs.NoOpLoggerProvider)
        return _Providers(tracer, meter, logger)

    def _method(self, scope: Scope) -> str:
        """The method, if it is a known one: clients must not be able to make up names of metrics."""
        method: str = scope.get("method", "")
        return method if method in self._known_methods else "_OTHER"


async def _run_excluded(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an application unobserved, also by applications mounted in it and as part of an observed request."""
    scope[SCOPE_KEY] = None
    token = otel_context.attach(otel_context.set_value(_REQUEST_TELEMETRY_KEY, None))
    try:
        await app(scope, receive, send)
    finally:
        otel_context.detach(token)
        scope.pop(SCOPE_KEY, None)


# --- a request -------------------------------------------------------------------------------------------------------


class _Observation:
    """A request or connection under observation, from its first to its last message.

    Its span and its measurement end with the response, though the application may run on, in background tasks.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        method: str,
        tracer: Tracer | None,
        instruments: _Instruments | None,
        logger: _logs.Logger | None,
        with_steps: bool,
    ) -> None:
        self._scope = scope
        self._is_websocket = scope["type"] == "websocket"
        self._instruments = instruments
        self._attributes = _common_attributes(scope, method)
        self._of_active = {
            name: value for name, value in self._attributes.items() if name != "network.protocol.version"
        }
        if instruments is not None:
            instruments.active.add(1, self._of_active)
        self._started = perf_counter()
        self._finished = self._has_trailers = self._disconnected = False
        span_method = "WS" if self._is_websocket else "HTTP" if method == "_OTHER" else method
        self._parent, self._span = _start_span(tracer, span_method, scope, self._attributes)
        self._known = _RequestTelemetry(
            span=self._span,
            span_method=span_method,
            tracer=tracer if with_steps else None,
            logger=logger,
            _mount_prefix=scope.get("app_root_path", scope.get("root_path", "")).rstrip("/"),
        )

    async def run(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        """Run the application; whatever it raises is raised on."""
        self._receive_on, self._send_on = receive, send
        mark_in_use()
        self._scope[SCOPE_KEY] = self._known
        token = otel_context.attach(otel_context.set_value(_REQUEST_TELEMETRY_KEY, self._known, self._parent))
        try:
            with _current(self._span):
                await self._run(app)
        finally:
            self._known.data = None  # contexts may be kept; what they lead to must not be
            self._known._exceptions.clear()
            otel_context.detach(token)
            self._scope.pop(SCOPE_KEY, None)

    async def _run(self, app: ASGIApp) -> None:
        try:
            if self._is_websocket:
                await app(self._scope, self._receive_on, self._send_on)
            else:
                await app(self._scope, self._receive, self._send)
        except BaseException as exc:
            _exception(scope=self._scope, exc=exc)
            self._finish(None if self._is_websocket and _normal_websocket_disconnect(exc) else exc)
            raise
        else:
            self._finish(self._incompleteness())

    def _incompleteness(self) -> Exception | None:
        """What is wrong with an application that returns before its response is complete; nothing, if it is."""
        if self._is_websocket:
            return None
        if self._disconnected:
            return ConnectionError("Client disconnected")
        return RuntimeError("Incomplete ASGI response")

    async def _receive(self) -> Message:
        message = await self._receive_on()
        if message["type"] == "http.disconnect":
            self._disconnected = True
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._known.status_code = message["status"]
            self._has_trailers = message.get("trailers", False)
        await self._send_on(message)
        if self._is_last(message):
            self._finish(None)

    def _is_last(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.body":
            return not (message.get("more_body", False) or self._has_trailers)
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        return bool(kind == "http.response.pathsend")

    def _finish(self, error: BaseException | None) -> None:
        """End span and measurement, unless that has been done."""
        if self._finished:
            return
        self._finished = True
        failure = self._add_result(error)
        if self._span is not None:
            self._span.set_attributes(self._attributes)
            if failure:
                self._span.set_status(StatusCode.ERROR)
        if self._instruments is not None:  # while the span is current, for the exemplars
            self._instruments.duration.record(max(0, perf_counter() - self._started), self._attributes)
            self._instruments.active.add(-1, self._of_active)
        if self._span is not None:
            self._span.end()

    def _add_result(self, error: BaseException | None) -> bool:
        """Add route, status and error type to the attributes; return whether the request counts as failed."""
        known = self._known
        if known.route is not None:
            self._attributes["http.route"] = known.route
        if known.status_code is not None:
            self._attributes["http.response.status_code"] = known.status_code
        answered = self._is_websocket or (known.status_code is not None and known.status_code < 500)
        if error is None and answered:
            return False
        cause = error or (known._exceptions[-1] if known._exceptions else None)
        self._attributes["error.type"] = (
            str(known.status_code or "incomplete_response") if cause is None else _exception_type(cause)
        )
        return True


def _current(span: Span | None) -> AbstractContextManager[Any]:
    if span is None:
        return nullcontext()
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def _start_span(
    tracer: Tracer | None, method: str, scope: Scope, attributes: Attributes
) -> tuple[Context | None, Span | None]:
    """Return the context that the client has sent, and a span in it; None and None without a tracer."""
    if tracer is None:
        return None, None
    parent = propagate.extract(Headers(scope=scope), getter=_HEADERS_GETTER)
    all_attributes = {**attributes, **_server_attributes(scope), **_target_attributes(scope, attributes)}
    return parent, tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes=all_attributes)


# --- attributes ------------------------------------------------------------------------------------------------------


def _common_attributes(scope: Scope, method: str) -> Attributes:
    """Return those of spans and of measurements: few values each."""
    if scope["type"] == "websocket":
        return {"url.scheme": scope.get("scheme", "ws"), "network.protocol.name": "websocket"}
    attributes = {"url.scheme": scope.get("scheme", "http"), "http.request.method": method}
    if scope.get("http_version"):
        attributes["network.protocol.version"] = scope["http_version"]
    return attributes


def _target_attributes(scope: Scope, attributes: Attributes) -> Attributes:
    """Return what only spans tell of an HTTP request: path, query, and the method if it is an unknown one."""
    if scope["type"] == "websocket":
        return {}
    target = {"url.path": scope["path"]}
    if query := scope.get("query_string"):
        target["url.query"] = _without_secrets(query.decode("latin-1"))
    method = scope.get("method", "")
    if method != attributes["http.request.method"]:
        target["http.request.method_original"] = method
    return target


def _without_secrets(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, "REDACTED" if name in _SECRETS else value) for name, value in pairs])


def _server_attributes(scope: Scope) -> Attributes:
    """Return name and port of the server as the client knows them, or nothing if its Host header is no authority."""
    host = Headers(scope=scope).get("host")
    if host is None:
        address, port = scope.get("server") or (None, None)
    else:
        try:
            url = urlsplit("//" + host)
            address, port = url.hostname, url.port
        except ValueError:
            return {}
        if url.username is not None or url.path or url.query or url.fragment:
            return {}
        port = _PORTS.get(scope.get("scheme", "http")) if port is None else port
    if address is None:
        return {}
    return {"server.address": address} | ({} if port is None else {"server.port": port})
