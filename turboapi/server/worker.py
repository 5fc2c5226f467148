"""One process, one event loop, one application: from its sockets to the last answer.

    bind -> application startup -> listen -> serve ... close -> drain -> wait -> abort -> application shutdown

Sockets are bound before the application starts, so that a taken port is noticed at once, and listen after it has
started, so that nobody waits for an application that never comes up.

Stopping loses nobody whom the kernel has told "connected". Closing a listening socket makes the kernel reset every
connection that waits in its backlog, and `Server.close()` of both uvloop and asyncio just closes it. So the loop
gets duplicates to listen on; when those are closed, the backlog is accepted off the originals by hand before they
are closed too. What is left is a handshake that completes in the microseconds between the last accept and the close.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from types import FrameType
from typing import Any

import uvloop

from turboapi._speedups import Hub, Settings, Site
from turboapi.server.config import ServerConfig, ServerError
from turboapi.server.health import Health
from turboapi.server.importer import summary
from turboapi.server.lifespan import Lifespan, StartupError
from turboapi.server.logging import AccessLog, configure_logging
from turboapi.server.metrics import announce, bind_port, reporting, showing
from turboapi.server.notify import READY, STOPPING, notify
from turboapi.server.proxies import ProxyHeaders
from turboapi.server.sockets import explained, name_of, open_sockets, port_of, urls_of
from turboapi.server.tls import open_tls, reload_certificate
from turboapi.server.websocket import open_websockets
from turboapi.types import ASGIApp

logger = logging.getLogger("turboapi.error")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL = 0.02  # seconds between two looks at what is still open
COUNT_POLL = 0.1  # seconds between two looks at how many requests there have been
HANDSHAKE_GRACE = 2.0  # seconds a client has for its TLS handshake when the server stops
TLS_SHUTDOWN = 86400.0  # seconds to send what is left and agree on the end of a TLS connection; the hub is stricter
SETTLE = 0.1  # seconds in which a request that is on its way, on a new or a kept connection, may still arrive
ABORT_GRACE = 2.0  # seconds cancelled handlers have for their clean-up
# From Python 3.13 on, a loop takes the file of a Unix socket away, which is for whoever has made it.
_KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
LEAVE_GRACE = 2.0  # seconds threads that cannot be cancelled have to end, when what runs has been cut off


class Server:
    """Serves `app`, an ASGI application, as `config` says. An instance serves once.

    From another thread: `started.wait()` until it accepts connections, then read `port`; `should_exit = True` ends it
    gracefully.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig | None = None) -> None:
        self.config = config if config is not None else ServerConfig()
        self.stop_signals: Sequence[signal.Signals] = STOP_SIGNALS
        self.reload_signals: Sequence[signal.Signals] = (signal.SIGHUP,)  # of certificates
        self.started = threading.Event()
        self.exit_code = 0
        self._app = app
        self._health = Health()
        self._stop = _Flag()
        self._force = _Flag()
        self._cut_off = False
        self._tls: ssl.SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._metrics_sockets: list[socket.socket] = []
        self._wanted: Sequence[socket.socket] = ()  # those of the sockets to listen on
        self._changed = asyncio.Event()  # that they are others now
        self._tends = False  # goes on looking after them
        self._listeners: dict[socket.socket, asyncio.AbstractServer] = {}

    @property
    def should_exit(self) -> bool:
        """Whether the server is to stop, or has stopped. Set it to True, from any thread, to stop it gracefully."""
        return self._stop.is_set

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if not value:
            raise ValueError("a server that stops cannot be told to go on")
        self._stop.set()

    @property
    def force_exit(self) -> bool:
        """Whether the server stops without waiting for anything. Can be set from any thread, too."""
        return self._force.is_set

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self.should_exit = value
        self._force.set()

    @property
    def port(self) -> int:
        """The port really listened on, once `started`. LookupError when there is none."""
        return port_of(self._sockets)

    @property
    def metrics_port(self) -> int:
        """The port that metrics are really shown on, once `started`. LookupError when there is none."""
        return port_of(self._metrics_sockets)

    def run(self, sockets: Sequence[socket.socket] | None = None) -> int:
        """Serves on an event loop of its own until a signal or `should_exit` stops it, and returns the exit code.

        Sets the server's loggers up. Raises StartupError when it cannot start. Ends the whole process when requests
        had to be cut off and a thread that works for them does not end: Python would wait for it for ever.
        """
        configure_logging(self.config)
        new_loop = uvloop.new_event_loop
        with self._signals(), contextlib.ExitStack() as closing, asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve(sockets))
            if self._cut_off and threading.current_thread() is threading.main_thread():
                closing.callback(_leave_after(LEAVE_GRACE).cancel)
        return self.exit_code

    async def serve(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serves on the running event loop, as part of a larger program, until it is stopped.

        `sockets`, if given, are bound sockets to use in place of `config.host` and `port`; the server closes them.
        In the main thread SIGINT and SIGTERM stop it and are raised again afterwards, for the program around it.
        Raises StartupError when it cannot start.
        """
        with self._signals() as caught:
            await self._serve(sockets)
        for number in caught:
            signal.raise_signal(number)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[list[int]]:
        """Within, the first stop signal stops the server, the second forces it, and a third has its usual effect."""
        caught: list[int] = []
        if threading.current_thread() is not threading.main_thread():
            yield caught
            return

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        def on_signal(number: int, frame: FrameType | None) -> None:
            caught.append(number)
            if len(caught) == 1:
                self.should_exit = True
            else:
                self.force_exit = True
                restore()

        handlers = dict.fromkeys(self.stop_signals, on_signal)
        if self.config.ssl_certfile is not None:
            handlers |= dict.fromkeys(self.reload_signals, self._on_hangup)
        # NOTE: signal.signal, not loop.add_signal_handler, works outside of the loop and while a handler blocks it.
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield caught
        finally:
            restore()

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._tls is not None:
            try:
                reload_certificate(self._tls, self.config)
                logger.info("Certificate loaded again")
            except ServerError as exc:
                logger.error("The old certificate stays: %s", exc)

    async def _serve(self, sockets: Sequence[socket.socket] | None) -> None:
        self._tls = open_tls(self.config)
        self._sockets = list(sockets) if sockets is not None else open_sockets(self.config)
        urls = urls_of(self._sockets, self.config, bound=sockets is None)
        lifespan = Lifespan(self._app, self.config.lifespan)
        logger.info("Started server process [%d]", os.getpid())
        try:
            self._metrics_sockets = self._bind_metrics()
            if await self._unless(self._startup_overdue(), lifespan.startup()):
                await self._serve_started(lifespan, urls)
            elif not self.force_exit:
                logger.error("Application startup cut off.")
                self.exit_code = 1
        finally:
            self._close_sockets()
            self._close_metrics_sockets()
            await self._end(lifespan)
            logger.info("Finished server process [%d]", os.getpid())

    async def _serve_started(self, lifespan: Lifespan, urls: list[str]) -> None:
        loop = asyncio.get_running_loop()
        access_log = AccessLog(loop, self.config.access_log_format)
        hub = self._make_hub(loop, lifespan, access_log)
        hub.start()
        try:
            async with reporting(self.config, hub), showing(self._metrics_sockets):
                try:
                    if not self.should_exit:
                        self._wanted = self._first_sockets()
                        await self._listen(self._wanted, loop, hub)
                        self._announce(urls)
                        self.started.set()
                        await self._until_stopped(hub)
                finally:
                    await self._close(loop, hub)
        finally:
            hub.stop()
            access_log.flush()

    def _bind_metrics(self) -> list[socket.socket]:
        """The sockets to show metrics on."""
        return bind_port(self.config)

    def _first_sockets(self) -> Sequence[socket.socket]:
        """Those to listen on from the beginning."""
        return self._sockets

    def _announce(self, urls: list[str]) -> None:
        for url in urls:
            logger.info("TurboAPI running on %s (Press CTRL+C to quit)", url)
        announce(self._metrics_sockets)
        docs = getattr(self._app, "docs_url", None)
        if isinstance(docs, str) and getattr(self._app, "openapi_url", None) and urls[0].startswith("http"):
            logger.info("Documentation at %s%s", urls[0], docs)
        notify(READY)

    def _announce_end(self) -> None:
        notify(STOPPING)

    async def _until_stopped(self, hub: Hub) -> None:
        """Returns when the server is to stop."""
        self._tends = True
        tending = asyncio.ensure_future(self._tend(asyncio.get_running_loop(), hub))
        try:
            await self._count_requests(hub)
            await self._stop.wait()
            await self._delay_end()
        finally:
            self._tends = False
            self._changed.set()
            await tending

    async def _delay_end(self) -> None:
        """Goes on serving for a while, so that nobody is sent here any more when nothing is accepted any more."""
        self._health.draining = True
        if self.config.shutdown_delay:
            logger.info("Going on for %g seconds, as shutdown_delay says", self.config.shutdown_delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._force.wait(), self.config.shutdown_delay)

    async def _tend(self, loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
        """Goes on listening on what is wanted, and while there is room for connections."""
        limit = self.config.limit_connections
        hub.call_when_full(limit, self._changed.set)
        full = False
        while self._tends:
            if full is not (0 < limit <= hub.connections):
                full = not full
                self._on_full(full)
            try:
                await self._listen(() if full else self._wanted, loop, hub)
            except ServerError as exc:
                logger.error("%s", exc)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), POLL if limit else None)
            self._changed.clear()

    async def _count_requests(self, hub: Hub) -> None:
        """Calls `_on_limit` whenever as many have been answered as `limit_max_requests` says."""
        limit = step = self.config.limit_max_requests
        limit += random.randint(0, self.config.limit_max_requests_jitter)
        while step and not self.should_exit:
            if hub.total_requests >= limit:
                self._on_limit(hub.total_requests)
                limit += step
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), COUNT_POLL)

    def _on_full(self, full: bool) -> None:
        logger.debug("%s connections: %s", self.config.limit_connections, "others wait" if full else "room for others")

    def _on_limit(self, count: int) -> None:
        logger.warning("Stopping after %d requests, as limit_max_requests says", count)
        self.should_exit = True

    def _make_hub(self, loop: asyncio.AbstractEventLoop, lifespan: Lifespan, access_log: AccessLog) -> Hub:
        config = self.config
        requests = access_log.requests if config.access_log and access_log.enabled else None
        try:
            proxies = ProxyHeaders(config.forwarded_allow_ips) if config.proxy_headers else None
            settings = Settings(**config.protocol_options(), access_log=requests, proxies=proxies)
            websockets = open_websockets(self._app, config)
            return Hub(loop, site_of(self._app), settings, lifespan.state, websockets, self._health)
        except Exception as exc:
            raise StartupError(f"the application cannot be served: {summary(exc)}") from exc

    async def _listen(self, sockets: Sequence[socket.socket], loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
        """Listens on these of the server's sockets, and no longer on others."""
        for sock in self._listeners.keys() - set(sockets):
            self._listeners.pop(sock).close()
        for sock in sockets:
            if sock not in self._listeners:
                self._listeners[sock] = await self._listener(sock, loop, hub)

    @property
    def _tls_options(self) -> dict[str, Any]:
        """What the event loop has to know about TLS."""
        if self._tls is None:
            return {}
        handshake = self.config.timeout_header or None
        return {"ssl": self._tls, "ssl_handshake_timeout": handshake, "ssl_shutdown_timeout": TLS_SHUTDOWN}

    async def _listener(self, sock: socket.socket, loop: asyncio.AbstractEventLoop, hub: Hub) -> asyncio.AbstractServer:
        backlog = self.config.backlog
        # NOTE: uvloop's create_server listens too, but says nothing when that fails.
        with explained(name_of(sock)):
            sock.listen(backlog)
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(
                hub.protocol, sock=sock.dup(), backlog=backlog, **_KEEP_FILE, **self._tls_options
            )
        return await loop.create_server(hub.protocol, sock=sock.dup(), backlog=backlog, **self._tls_options)

    async def _close(self, loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
        """Ends all connections: those that are owed an answer get it, within the time there is."""
        logger.info("Shutting down")
        self._announce_end()
        await self._close_listeners(loop, hub)
        timeout = self.config.timeout_graceful_shutdown if self.should_exit else 0.0  # else serve() was cancelled
        hub.drain()
        if (hub.connections or self._tls is not None) and not self.force_exit:  # a TLS handshake may be in progress
            await asyncio.sleep(min(SETTLE, timeout))
        hub.close_idle()
        if hub.connections:
            logger.info("Waiting for connections to close. (CTRL+C to force quit)")
        if not await _idle(hub, timeout, self._force):
            logger.error("Cutting off %d connections with %d running requests", hub.connections, hub.requests)
            self._cut_off = True
            hub.abort()
            await _idle(hub, ABORT_GRACE)

    async def _close_listeners(self, loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
        for listener in self._listeners.values():
            listener.close()
        waiting = [client for sock in self._sockets if self.started.is_set() for client in _backlog(sock)]
        self._close_sockets()
        accepting = [loop.connect_accepted_socket(hub.protocol, each, **self._tls_options) for each in waiting]
        if accepting:  # with TLS a client has to answer first; whether one fails or has gone is all the same
            tasks = [asyncio.ensure_future(each) for each in accepting]
            _, late = await asyncio.wait(tasks, timeout=HANDSHAKE_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    def _close_metrics_sockets(self) -> None:
        while self._metrics_sockets:
            self._metrics_sockets.pop().close()

    async def _end(self, lifespan: Lifespan) -> None:
        """The application's shutdown, which a second signal cuts short."""
        if self.force_exit or not await self._unless(self._force.wait(), self._shut_down(lifespan)):
            logger.error("Application shutdown skipped.")
            self.exit_code = 1
            await lifespan.cancel()

    async def _shut_down(self, lifespan: Lifespan) -> None:
        if not await lifespan.shutdown():
            self.exit_code = 1

    async def _startup_overdue(self) -> None:
        """Returns when the server is forced to stop, or should have stopped for as long as requests are waited for."""
        await self._stop.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._force.wait(), self.config.timeout_graceful_shutdown)

    async def _unless(self, event: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> bool:
        """Runs `work` to its end, or until the event happens: False then, and `work` is cancelled."""
        task = asyncio.ensure_future(work)
        happened = asyncio.ensure_future(event)
        try:
            await asyncio.wait({task, happened}, return_when=asyncio.FIRST_COMPLETED)
            return task.done() and task.result() is None
        finally:
            task.cancel()
            happened.cancel()


class _Flag:
    """A switch that any thread or signal handler turns on and one event loop waits for."""

    def __init__(self) -> None:
        self.is_set = False
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def set(self) -> None:
        """Turns it on."""
        self.is_set = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Returns once it is on."""
        self._loop = asyncio.get_running_loop()
        if not self.is_set:
            await self._event.wait()


def site_of(app: Any) -> Site:
    """What the protocol serves for `app`: its frozen routes if it is a TurboAPI, else any ASGI application whole."""
    freeze = getattr(type(app), "freeze", None)  # not of the object: a wrapper may pass on what it is asked for
    site = freeze(app) if callable(freeze) else None
    return site if isinstance(site, Site) else Site(asgi=app)


def _backlog(sock: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be accepted."""
    sock.setblocking(False)
    while True:
        try:
            client, _ = sock.accept()
        except ConnectionAbortedError:
            continue
        except OSError:  # none left, or no descriptor left for them
            return
        client.setblocking(False)
        yield client


def _leave_after(seconds: float) -> threading.Timer:
    """Ends the process in a while, unless cancelled."""
    timer = threading.Timer(seconds, _leave)
    timer.daemon = True
    timer.start()
    return timer


def _leave() -> None:
    logger.error("Threads of the application do not end; leaving without them.")
    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(1)


async def _idle(hub: Hub, timeout: float, interrupt: _Flag | None = None) -> bool:
    """Waits until nothing is open or running. False after `timeout` seconds, or as soon as `interrupt` is on."""
    deadline = time.monotonic() + timeout
    while hub.connections or hub.requests or hub.tasks:
        if time.monotonic() >= deadline or (interrupt is not None and interrupt.is_set):
            return False
        await asyncio.sleep(POLL)
    return True
