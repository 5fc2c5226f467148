"""Export by OTLP to where the environment says: set up before the application starts, flushed when it stops.

What is set up belongs to this module, for the whole process, and is shut down when the process ends. Providers and
exporters of others are left alone; there an exporter is added.
"""

import atexit
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from turboapi.concurrency import run_in_threadpool
from turboapi.exceptions import FastAPIError
from turboapi.logger import logger
from turboapi.telemetry._api import TelemetryConfig, _unconfigured
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["lifespan"]

_OPT_OUT = "Set up what you need yourself and pass telemetry={'auto_configure': False} to the application."

_lock = threading.RLock()
_owned: list[Any] = []  # what this module made and has to shut down: providers, processors, readers
_configured: list[tuple[str, Any]] = []  # (signal, provider) that export already


# --- the end ---------------------------------------------------------------------------------------------------------


def _flush() -> None:
    for component in list(_owned):
        _quietly(component.force_flush)


def _shutdown() -> None:
    with _lock:
        components = list(_owned)
        _owned.clear()
    for component in components:
        _quietly(component.shutdown)


def _quietly(clean_up: Callable[[], Any]) -> None:
    try:
        clean_up()
    except Exception:
        logger.exception("FastAPI telemetry cleanup failed")


atexit.register(_shutdown)


# --- the environment -------------------------------------------------------------------------------------------------


def _export_endpoint(signal: str) -> str | None:
    """Return the URL for "TRACES", "METRICS" or "LOGS"; None if the environment names none.

    Raises FastAPIError for an exporter or a protocol that is not supported, and for what is no URL.
    """
    exporter = (os.environ.get(f"OTEL_{signal}_EXPORTER") or "otlp").strip().lower()
    endpoint = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    if not endpoint and (base := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")):
        endpoint = f"{base.removesuffix('/')}/v1/{signal.lower()}"
    if not endpoint or exporter == "none":
        return None
    if exporter != "otlp":
        raise FastAPIError(f"OTEL_{signal}_EXPORTER must be otlp or none for automatic telemetry. {_OPT_OUT}")
    if _protocol(signal) != "http/protobuf":
        raise FastAPIError(f"Automatic telemetry speaks no OTLP protocol but http/protobuf. {_OPT_OUT}")
    url = urlsplit(endpoint)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise FastAPIError(f"The OTLP endpoint of {signal.lower()} must be an absolute HTTP or HTTPS URL.")
    return endpoint


def _protocol(signal: str) -> str:
    names = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    return next(filter(None, map(os.environ.get, names)), None) or "http/protobuf"


# --- the beginning ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Signal:
    """How one kind of report is set up: its global provider, its SDK provider, and the exporter in a component."""

    name: str
    get_provider: Callable[[], Any]
    set_provider: Callable[[Any], None]
    make_component: Callable[[str], Any]
    make_provider: Callable[[Any], Any]
    register: str
    """The provider's method that takes a component."""


def _configure_from_environment(config: TelemetryConfig) -> None:
    """Add the exporters that the environment asks for to the providers, unless that is off or has been done.

    Raises FastAPIError if the environment asks for what cannot be, or packages are missing.
    """
    if not config["auto_configure"] or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    wanted = {
        "TRACES": (config["tracing"], config["tracer_provider"]),
        "METRICS": (config["metrics"], config["meter_provider"]),
        "LOGS": (config["logs"], config["logger_provider"]),
    }
    with _lock:
        endpoints = {name: _export_endpoint(name) for name, (is_on, _) in wanted.items() if is_on}
        if not any(endpoints.values()):
            return
        signals = _signals()
        for name, endpoint in endpoints.items():
            if endpoint is not None:
                _add_exporter(signals[name], wanted[name][1], endpoint)


def _signals() -> dict[str, _Signal]:
    # The SDK is imported only by those who asked for it: it takes long, and needs not be installed.
    try:
        from opentelemetry import _logs, metrics, trace
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise FastAPIError(
            "Automatic telemetry needs what fastapi[opentelemetry] installs: "
            f'pip install "turboapi[opentelemetry]". {_OPT_OUT}'
        ) from exc

    def make_tracer_provider(processor: Any) -> TracerProvider:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        return provider

    def make_logger_provider(processor: Any) -> LoggerProvider:
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(processor)
        return provider

    return {
        "TRACES": _Signal(
            "tracer",
            trace.get_tracer_provider,
            trace.set_tracer_provider,
            lambda endpoint: BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)),
            make_tracer_provider,
            "add_span_processor",
        ),
        "METRICS": _Signal(
            "meter",
            metrics.get_meter_provider,
            metrics.set_meter_provider,
            lambda endpoint: PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint)),
            lambda reader: MeterProvider(metric_readers=[reader], shutdown_on_exit=False),
            "add_metric_reader",
        ),
        "LOGS": _Signal(
            "logger",
            _logs.get_logger_provider,
            _logs.set_logger_provider,
            lambda endpoint: BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint)),
            make_logger_provider,
            "add_log_record_processor",
        ),
    }


def _add_exporter(signal: _Signal, given: Any, endpoint: str) -> None:
    provider = _registration_provider(signal.get_provider() if given is None else given)
    if _is_configured(signal, provider):
        return
    if given is None and _unconfigured(provider):
        if _install_provider(signal, endpoint):
            return
        provider = _registration_provider(signal.get_provider())  # somebody else was faster
    _register(signal, provider, endpoint)


def _is_configured(signal: _Signal, provider: Any) -> bool:
    return any(name == signal.name and known is provider for name, known in _configured)


def _install_provider(signal: _Signal, endpoint: str) -> bool:
    """Set a global provider with an exporter; return False, and shut it down, if another one is there meanwhile."""
    provider = signal.make_provider(signal.make_component(endpoint))
    signal.set_provider(provider)
    if signal.get_provider() is not provider:
        provider.shutdown()
        return False
    _configured.append((signal.name, provider))
    _owned.append(provider)
    return True


def _register(signal: _Signal, provider: Any, endpoint: str) -> None:
    """Add an exporter to a provider of somebody else; vendors' wrappers have the SDK's methods, too."""
    register = getattr(provider, signal.register, None)
    if not callable(register):
        raise FastAPIError(
            f"The OpenTelemetry {signal.name} provider does not support adding an OTLP exporter. {_OPT_OUT}"
        )
    component = signal.make_component(endpoint)
    try:
        register(component)
    except Exception:
        component.shutdown()
        raise
    _configured.append((signal.name, provider))
    _owned.append(component)


def _registration_provider(provider: Any) -> Any:
    """Return the provider that takes components: Logfire's older wrapper of a meter provider hides the method."""
    kind = type(provider)
    is_wrapper = (kind.__module__, kind.__name__) == ("logfire._internal.metrics", "ProxyMeterProvider")
    return provider.provider if is_wrapper and not hasattr(provider, "add_metric_reader") else provider


# --- the application's lifespan --------------------------------------------------------------------------------------

_ENDS = ("lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed")


async def lifespan(*, config: TelemetryConfig, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application's lifespan: exporters are set up before it starts, and flushed before it has ended."""

    async def receive_configured() -> Message:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                _configure_from_environment(config)
            except Exception as exc:  # no reason not to start
                logger.warning("FastAPI automatic telemetry configuration failed: %s", exc)
        return message

    async def send_flushed(message: Message) -> None:
        if message["type"] in _ENDS and _owned:
            await run_in_threadpool(_flush)
        await send(message)

    await app(scope, receive_configured, send_flushed)
