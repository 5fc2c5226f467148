"""A worker process, as it is from the inside: a `Server` that tells its supervisor how it is, and does what it is told.

They share a socket pair. The worker sends single bytes (see `Report`), among them one every `BEAT` seconds as long as
its event loop turns. The supervisor sends lines, `listen 0 2`, `drain` and `force`; where the pair ends it has died,
and so does the worker. SIGTERM stops a worker gracefully, however often it comes: `systemctl stop` sends it to every
process, and then the supervisor sends it once more.
"""

import asyncio
import atexit
import contextlib
import enum
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from turboapi._speedups import Hub
from turboapi.server.config import ServerConfig, ServerError
from turboapi.server.runner import report
from turboapi.server.worker import Server

logger = logging.getLogger("turboapi.error")

BEAT = 0.5  # seconds between two signs of life
LEAVE_GRACE = 5.0  # seconds a worker without a supervisor has in addition to its graceful shutdown
# What a terminal or a user sends to the supervisor may reach every process of its group.
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)

Group = Sequence[socket.socket]


class Report(bytes, enum.Enum):
    """What a worker says."""

    ALIVE = b"."
    READY = b"r"  # it accepts connections
    FULL = b"f"  # it has limit_connections, and accepts no more for now
    ROOM = b"o"  # it accepts more again
    USED_UP = b"u"  # it has answered limit_max_requests
    STOPPING = b"s"  # it accepts no more connections


class SupervisedServer(Server):
    """Serves `app` on those `groups` of sockets that `listening` and, later, the supervisor at the other end name."""

    def __init__(
        self,
        app: Any,
        config: ServerConfig,
        groups: Sequence[Group],
        listening: Iterable[int],
        supervisor: socket.socket,
    ) -> None:
        super().__init__(app, config)
        self.stop_signals = self.reload_signals = ()
        self._groups = groups
        self._listening = listening
        self._supervisor = supervisor
        self._loop: asyncio.AbstractEventLoop | None = None

    def obey(self) -> None:
        """Reads what the supervisor says, in a thread of its own. Ends the process if it has gone."""
        with contextlib.suppress(ConnectionError), self._supervisor.makefile() as lines:
            for line in lines:
                order, *numbers = line.split()
                if order == "force":
                    self.force_exit = True
                elif order == "drain":
                    self._health.draining = True
                elif self._loop is not None:
                    self._wanted = self._sockets_of(map(int, numbers))
                    with contextlib.suppress(RuntimeError):  # the loop has been closed
                        self._loop.call_soon_threadsafe(self._changed.set)
        logger.error("The supervisor of process [%d] has gone; stopping.", os.getpid())
        self.should_exit = True
        time.sleep(self.config.timeout_graceful_shutdown + LEAVE_GRACE)
        os._exit(1)

    def _sockets_of(self, groups: Iterable[int]) -> Sequence[socket.socket]:
        return [sock for number in groups for sock in self._groups[number]]

    def _first_sockets(self) -> Sequence[socket.socket]:
        return self._sockets_of(self._listening)

    def _bind_metrics(self) -> list[socket.socket]:
        """None: another process adds the metrics up."""
        return []

    def _announce(self, urls: list[str]) -> None:
        """Says nothing: the supervisor does."""

    def _announce_end(self) -> None:
        """Nor here."""

    async def _until_stopped(self, hub: Hub) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell(Report.READY)
        self._beat(self._loop)
        try:
            await super()._until_stopped(hub)
        finally:
            self._tell(Report.STOPPING)

    async def _delay_end(self) -> None:
        """Not by itself: the supervisor does so before it stops its workers, and one that is replaced need not wait."""

    def _on_full(self, full: bool) -> None:
        super()._on_full(full)
        self._tell(Report.FULL if full else Report.ROOM)

    def _on_limit(self, count: int) -> None:
        logger.info("Process [%d] has answered %d requests, as limit_max_requests says", os.getpid(), count)
        self._tell(Report.USED_UP)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tell(Report.ALIVE)
        timeout = self.config.timeout_worker_healthcheck
        loop.call_later(min(BEAT, timeout / 4) if timeout else BEAT, self._beat, loop)

    def _tell(self, what: Report) -> None:
        # NOTE: a supervisor that is stopped (by a debugger, say) reads nothing, and must not stop us.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._supervisor.send(what.value, socket.MSG_DONTWAIT)


def run_worker(
    load: Callable[[], Any],
    config: ServerConfig,
    groups: Sequence[Group],
    listening: Iterable[int],
    supervisor: socket.socket,
) -> None:
    """All that a worker process does: loads the application and serves it. Leaves by SystemExit with the exit code."""
    try:
        server = SupervisedServer(load(), config, groups, listening, supervisor)

        def stop(*_: Any) -> None:
            server.should_exit = True

        signal.signal(signal.SIGTERM, stop)
        threading.Thread(target=server.obey, name="turboapi-supervisor", daemon=True).start()
        code = server.run([sock for group in groups for sock in group])
    except ServerError as exc:
        report(exc)
        code = exc.exit_code
    finally:
        atexit._run_exitfuncs()  # a forked process does not do this by itself
    sys.exit(code)


def forget_supervisor() -> None:
    """Undoes what a supervisor has set up, in a process it has just forked with its signals blocked."""
    atexit._clear()  # what the supervisor's process does at its end is not for its workers to do
    signal.set_wakeup_fd(-1)
    for number in IGNORED:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs started by the application would inherit
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [*IGNORED, signal.SIGTERM, signal.SIGCHLD])
