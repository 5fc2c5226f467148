"""`metrics_port`: the metrics of all processes of a server, for Prometheus, on a port of their own.

One process answers there itself, with a second hub on its loop. Several keep their values in files of one directory
(the multi-process mode of prometheus-client), and one more process, which the supervisor looks after, adds these up.
Each process says once a second how it is.
"""

import asyncio
import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio.to_thread

from turboapi._plan.dispatch import count_inline
from turboapi._speedups import Hub, Settings, Site
from turboapi.server.config import ServerConfig, ServerError
from turboapi.server.extras import import_extra
from turboapi.server.sockets import bind, explained, name_of
from turboapi.types import ASGIApp

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

logger = logging.getLogger("turboapi.error")

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # the variable by which prometheus-client keeps its values in files
INTERVAL = 1.0  # seconds between two looks


def load_library() -> Any:
    """The module `prometheus_client`. Raises ServerError if it is not installed."""
    return import_extra("prometheus_client", "metrics_port")


def bind_port(config: ServerConfig) -> list[socket.socket]:
    """The sockets to show the metrics on, none without `metrics_port`. Who connects early waits. Raises ServerError."""
    if config.metrics_port is None:
        return []
    load_library()
    with contextlib.ExitStack() as opened:
        sockets = bind(config.host, config.metrics_port)
        for sock in sockets:
            opened.enter_context(sock)
        for sock in sockets:
            with explained(name_of(sock)):
                sock.listen()
        opened.pop_all()
        return sockets


def announce(sockets: Sequence[socket.socket]) -> None:
    """Says where the metrics are."""
    if sockets:
        logger.info("Metrics on %s/metrics", name_of(sockets[0]))


@contextlib.contextmanager
def shared_values(config: ServerConfig) -> Iterator[None]:
    """Within, processes that are forked add their metrics up, if they have any to show.

    Raises ServerError without prometheus-client, or if it was imported too early to be told.
    """
    if config.metrics_port is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        if DIRECTORY not in os.environ:
            os.environ[DIRECTORY] = stack.enter_context(tempfile.TemporaryDirectory(prefix="turboapi-metrics-"))
            stack.callback(os.environ.pop, DIRECTORY)
        library = load_library()
        if not getattr(library.values.ValueClass, "_multiprocess", False):
            raise ServerError(f"metrics_port with several workers needs {DIRECTORY}, set before the program starts")
        yield


def forget_process(config: ServerConfig, pid: int) -> None:
    """Takes out of the sums what a process that has ended had open; what it has counted stays."""
    if config.metrics_port is not None:
        import_module("prometheus_client.multiprocess").mark_process_dead(pid)


def make_app() -> ASGIApp:
    """An ASGI application that shows the metrics of this process, or of all that share its directory."""
    library = load_library()
    registry = library.REGISTRY
    if DIRECTORY in os.environ:
        registry = library.CollectorRegistry()
        import_module("prometheus_client.multiprocess").MultiProcessCollector(registry)
    app: ASGIApp = library.make_asgi_app(registry)
    return app


class _Measurements(NamedTuple):
    starts: "Counter"
    connections: "Gauge"
    waiting: "Gauge"
    inline: "Gauge"


@cache
def _measurements() -> _Measurements:
    library = load_library()

    def gauge(name: str, help: str) -> Any:
        return library.Gauge(f"turboapi_{name}", help, multiprocess_mode="livesum")

    return _Measurements(
        library.Counter("turboapi_worker_starts", "Processes that have begun to serve, those in place of others too."),
        gauge("connections", "Open connections, WebSockets among them."),
        gauge("thread_queue", "Calls of plain functions that wait for a worker thread."),
        gauge("inline_functions", "Plain functions that have proved short and run on the event loop."),
    )


@contextlib.asynccontextmanager
async def reporting(config: ServerConfig, hub: Hub) -> AsyncIterator[None]:
    """Within, this process says how it is, if there is a `metrics_port`."""
    if config.metrics_port is None:
        yield
        return
    _measurements().starts.inc()
    looking = asyncio.ensure_future(_look_again_and_again(hub))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


@contextlib.asynccontextmanager
async def showing(sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Within, the metrics are to be had on `sockets`, if these are any."""
    if not sockets:
        yield
        return
    loop = asyncio.get_running_loop()
    hub = Hub(loop, Site(asgi=make_app()), Settings(), {})
    hub.start()
    listeners = [await loop.create_server(hub.protocol, sock=sock) for sock in sockets]
    try:
        yield
    finally:
        for listener in listeners:
            listener.close()
        hub.abort()
        hub.stop()


async def _look_again_and_again(hub: Hub) -> None:
    _, connections, waiting, inline = _measurements()
    while True:
        connections.set(hub.connections)
        waiting.set(anyio.to_thread.current_default_thread_limiter().statistics().tasks_waiting)
        inline.set(count_inline())
        await asyncio.sleep(INTERVAL)
