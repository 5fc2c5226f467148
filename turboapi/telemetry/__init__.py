"""OpenTelemetry: traces, metrics and logs of requests, made as FastAPI makes them.

An application reports as soon as somebody has set a provider, for the whole process or by `TurboAPI(telemetry={...})`.
Without opentelemetry-api (`pip install "turboapi[telemetry]"`), or without a provider, nothing is observed and nothing
is paid.
"""

from turboapi.telemetry._api import TelemetryConfig, TelemetryData, get_telemetry_data

__all__ = ["TelemetryConfig", "TelemetryData", "get_telemetry_data"]
