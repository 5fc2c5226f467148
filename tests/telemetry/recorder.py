"""What an application reports, kept in memory, in a form in which two reports can be compared."""

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

PATIENCE = 20.0  # seconds


class Recorder:
    """Three providers, as `config` for an application, and what they have been told."""

    def __init__(self) -> None:
        self._spans, self._logs, self._metrics = (
            InMemorySpanExporter(),
            InMemoryLogRecordExporter(),
            InMemoryMetricReader(),
        )
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.meter_provider = MeterProvider(metric_readers=[self._metrics], shutdown_on_exit=False)

    @property
    def config(self) -> Any:
        return {
            "tracer_provider": self.tracer_provider,
            "logger_provider": self.logger_provider,
            "meter_provider": self.meter_provider,
        }

    def close(self) -> None:
        for provider in (self.tracer_provider, self.logger_provider, self.meter_provider):
            provider.shutdown()

    def spans(self) -> list[Any]:
        finished = self._spans.get_finished_spans()
        names = {span.context.span_id: span.name for span in finished}
        return sorted(
            (
                span.name,
                span.kind.name,
                names.get(span.parent.span_id, f"{span.parent.span_id:x}") if span.parent else None,
                span.status.status_code.name,
                sorted((span.attributes or {}).items()),
                len(span.events),
                (span.instrumentation_scope.name, span.instrumentation_scope.version),
            )
            for span in finished
        )

    def logs(self) -> list[Any]:
        return [
            (
                log.log_record.event_name,
                log.log_record.severity_text,
                log.log_record.body,
                sorted(item for item in (log.log_record.attributes or {}).items() if item[0] != "exception.stacktrace"),
                bool(log.log_record.trace_id),
                type(log.log_record.exception).__name__,
            )
            for log in self._logs.get_finished_logs()
        ]

    def metrics(self) -> list[Any]:
        data = self._metrics.get_metrics_data()
        return sorted(
            (metric.name, metric.unit, sorted(point.attributes.items()), getattr(point, "count", None),
             getattr(point, "value", None), getattr(point, "explicit_bounds", None))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        )  # fmt: skip

    def report(self) -> dict[str, Any]:
        return {"spans": self.spans(), "logs": self.logs(), "metrics": self.metrics()}


def eventually(look: Callable[[], Any], wanted: Any) -> Any:
    """Return what `look` gives when that is what is wanted, or else what it gives in the end."""
    deadline = time.monotonic() + PATIENCE
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen
