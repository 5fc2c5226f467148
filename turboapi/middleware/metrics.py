"""Metrics of requests for Prometheus: how many, how long, and how many at the moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from turboapi._scope import ROUTE_CONTEXT
from turboapi._speedups import Exchange
from turboapi._utils import path_matcher
from turboapi.exceptions import ClientDisconnect
from turboapi.middleware.hooks import HookMiddleware, ResponseHook
from turboapi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["BUCKETS", "UNMATCHED", "MetricsMiddleware"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper limits of the histogram's buckets, in seconds."""
UNMATCHED = "unmatched"
"""The route of a request that has come to none."""

_MISSING = (
    "The `prometheus-client` library must be installed to use MetricsMiddleware. "
    'It comes with `pip install "turboapi[metrics]"`.'
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_OTHER = "other"
_FAILED = 500
_DISCONNECTED = 499  # what nginx calls a request whose client has left before its answer


class MetricsMiddleware(HookMiddleware):
    """Counts requests and measures how long they take, for Prometheus.

    `http_requests_total` counts by method, route and status, `http_request_duration_seconds` is a histogram by method
    and route, `http_requests_in_progress` a gauge. The route is a template such as `/items/{item_id}`, or "unmatched";
    what clients make up never becomes a label. A request ends with its response: one that fails counts as 500, also if
    the response had begun, and one whose client leaves before it has begun as 499. WebSockets are not counted.

    Several applications in a process share the metrics.

    Args:
        app: the application inside.
        exclude_paths: paths that are not counted, all that begin alike if one ends with "*".
        buckets: upper limits of the histogram's buckets, in seconds.
        registry: of prometheus-client; by default its `REGISTRY`.

    Raises:
        ImportError: without prometheus-client.
        ValueError: for wrong arguments, and buckets that are not those of another instance with the same registry.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        exclude_paths: Sequence[str] = (),
        buckets: Sequence[float] = BUCKETS,
        registry: CollectorRegistry | None = None,
    ) -> None:
        super().__init__(app)
        self._is_excluded = path_matcher(exclude_paths)
        self._instruments = _instruments_of(registry, tuple(buckets))
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def before(self, exchange: Exchange) -> ResponseHook | None:
        """Note that the request has come."""
        return None if self._is_excluded(exchange.path) else _Request(self, exchange, self._instruments.in_progress)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = method, route, status
        found = self._children.get(key)
        if found is None:
            requests, durations, _ = self._instruments
            found = requests.labels(method, route, str(status)), durations.labels(method, route)
            self._children[key] = found
        requests_of, durations_of = found
        requests_of.inc()
        durations_of.observe(seconds)


class _Instruments(NamedTuple):
    requests: Counter
    durations: Histogram
    in_progress: Gauge


def _instruments_of(registry: CollectorRegistry | None, buckets: tuple[float, ...]) -> _Instruments:
    """Return the metrics in a registry, which can be put there only once, and which it keeps therefore."""
    try:
        client = import_module("prometheus_client")
    except ImportError as exc:
        raise ImportError(_MISSING) from exc
    home = client.REGISTRY if registry is None else registry
    kept: dict[tuple[float, ...], _Instruments] = vars(home).setdefault("_turboapi_instruments", {})
    if buckets not in kept:
        kept[buckets] = _make_instruments(client, home, buckets)
    return kept[buckets]


def _make_instruments(client: Any, registry: CollectorRegistry, buckets: tuple[float, ...]) -> _Instruments:
    given: dict[str, Any] = {"registry": registry}
    return _Instruments(
        client.Counter("http_requests", "Requests that were answered.", ["method", "route", "status"], **given),
        client.Histogram(
            "http_request_duration_seconds",
            "From the request's arrival to the end of its response.",
            ["method", "route"],
            buckets=buckets,
            **given,
        ),
        client.Gauge(
            "http_requests_in_progress", "Requests that are being answered.", multiprocess_mode="livesum", **given
        ),
    )


class _Request(ResponseHook):
    """One request, until it is counted."""

    __slots__ = ("begin", "exchange", "in_progress", "middleware", "status")

    def __init__(self, middleware: MetricsMiddleware, exchange: Exchange, in_progress: Gauge) -> None:
        self.middleware = middleware
        self.exchange: Exchange | None = exchange
        self.in_progress = in_progress
        self.status = 0
        self.begin = time.perf_counter()
        in_progress.inc()

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Note the status."""
        self.status = status

    def end(self, error: BaseException | None) -> None:
        """Count the request."""
        exchange, self.exchange = self.exchange, None  # which has this hook: a cycle
        self.in_progress.dec()
        if exchange is not None:
            method = exchange.method if exchange.method in _METHODS else _OTHER
            status = _status(self.status, error)
            self.middleware.count(method, _route_of(exchange.scope()), status, time.perf_counter() - self.begin)


def _status(sent: int, error: BaseException | None) -> int:
    if error is not None and not isinstance(error, ClientDisconnect):
        return _FAILED
    return sent or (_FAILED if error is None else _DISCONNECTED)


def _route_of(scope: Scope) -> str:
    """Return the template of the route that the request has come to, with what is mounted above it."""
    route = scope.get("fastapi", {}).get(ROUTE_CONTEXT) or scope.get("route") or _plain_route_of(scope)
    root_path: str = scope.get("root_path", "")
    mounted_at = root_path[len(scope.get("app_root_path", root_path)) :]
    if not hasattr(route, "methods"):  # a mount, or none
        return mounted_at or UNMATCHED
    template = getattr(route, "path_format", None)
    return mounted_at + template if isinstance(template, str) else UNMATCHED


def _plain_route_of(scope: Scope) -> Any:
    """Return the route of Starlette's, such as that of the documentation, which a router says only by its endpoint."""
    endpoint = scope.get("endpoint")
    routes = getattr(scope.get("router"), "routes", ())
    return None if endpoint is None else next((route for route in routes if _endpoint_of(route) is endpoint), None)


def _endpoint_of(route: Any) -> Any:
    return getattr(route, "endpoint", None)
