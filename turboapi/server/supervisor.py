"""Several processes that serve one application, and the supervisor that starts, watches and replaces them.

    supervisor: sockets, signals  --- socket pair --->  workers (see `supervised`): application, Server on the sockets

**Workers are forked** from the supervisor, which has imported TurboAPI but not the application. So they share the
memory of the framework and start quickly, and yet each imports the application for itself: nothing that it opens while
it is imported (threads, connections to a database) is shared by accident, and new workers run new code. An
application that is given as an object, or with `preload`, is in the supervisor already and shared as well; the price
is that its code stays the same until the supervisor ends.

**The supervisor keeps the listening sockets open**, for closing one resets the connections that wait in its queue.
There is one group of sockets (one per address) for each worker, all on the same port, and the kernel spreads
connections over them (SO_REUSEPORT). A worker listens on the group of its own number, and its successor on the same.
A group whose worker is not there, is full or does not answer, is listened on by all the others, so that nobody waits in
the queue of a worker that has been killed. Workers that have no group of their own listen on all: those added later,
and every one but the first where sockets cannot be multiplied.

**One loop, `Supervisor._step`,** looks at what is and does what is missing; signals only change what is wanted.
"""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import connection
from typing import Any

from turboapi.server.config import ServerConfig
from turboapi.server.discovery import locate
from turboapi.server.environment import check_environment
from turboapi.server.logging import configure_logging
from turboapi.server.metrics import announce, bind_port, forget_process, make_app, shared_values
from turboapi.server.notify import READY, STOPPING, notify
from turboapi.server.runner import load
from turboapi.server.sockets import open_groups, urls_of
from turboapi.server.supervised import IGNORED, Report, forget_supervisor, run_worker
from turboapi.server.tls import open_tls
from turboapi.types import ASGIApp

logger = logging.getLogger("turboapi.error")

TICK = 0.5  # seconds between two looks when nothing happens
PAUSE = 2.0  # seconds between two looks that show that the supervisor itself was stopped for a while
SILENCE = 2.0  # seconds after which a worker that says nothing is helped out by the others
STABLE = 10.0  # seconds that a worker has to live for its end not to count as another failure in a row
METRICS_DELAY = 1.0  # seconds until the process that shows the metrics is started anew
MAX_DELAY = 30.0  # seconds between two attempts to start a worker that dies at once
SIGNALS = (*IGNORED, signal.SIGTERM, signal.SIGCHLD)

_fork = multiprocessing.get_context("fork")


def run_workers(app: Any, config: ServerConfig) -> int:
    """Serves `app`, an application or its name, by `config.workers` processes, and returns the exit code.

    Raises ServerError for what prevents the start and can be known without the application.
    """
    configure_logging(config)
    check_environment(config)
    open_tls(config)
    with shared_values(config):
        return _run(app, config)


def _run(app: Any, config: ServerConfig) -> int:
    loading = partial(load, app, config)
    if config.preload or not (app is None or isinstance(app, str)):
        loading = partial(_given, loading())
        if threading.active_count() > 1:
            logger.warning("The application has started threads while it was imported; workers will lack them.")
    else:
        locate(app, config)
    with contextlib.ExitStack() as stack:
        groups = open_groups(config)
        metrics = bind_port(config)
        for group in (*groups, metrics):
            for sock in group:
                stack.enter_context(sock)
        return Supervisor(loading, config, groups, metrics).run()


def _given(app: ASGIApp) -> ASGIApp:
    return app


class Worker:
    """A worker process as its supervisor sees it."""

    def __init__(self, process: Any, link: socket.socket, listening: frozenset[int]) -> None:
        self.ready_since: float | None = None
        self.stopping = False
        self.outdated = False  # it is to be replaced
        self.full = False  # it has as many connections as it may
        self.silent = False  # its end of the link is closed
        self.listening = listening
        self._process = process
        self._link = link
        self._heard = time.monotonic()

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self._process.pid)

    @property
    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return self.ready_since is not None and not self.stopping

    @property
    def exit_code(self) -> int | None:
        """None while it runs; the negative number of the signal that has killed it."""
        code: int | None = self._process.exitcode
        return code

    def fileno(self) -> int:
        """What has something to read when it reports."""
        return self._link.fileno()

    def read(self, now: float) -> None:
        """Takes note of what it has reported."""
        try:
            reports = self._link.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            reports = b""
        self.silent = not reports
        self._heard = now
        for each in map(Report, (reports[place : place + 1] for place in range(len(reports)))):
            if each is Report.READY:
                self.ready_since = now
            elif each in (Report.FULL, Report.ROOM):
                self.full = each is Report.FULL
            elif each is Report.USED_UP:
                self.outdated = True
            elif each is Report.STOPPING:
                self.stopping = True

    def silence(self, now: float) -> float:
        """For how many seconds its event loop has not turned; 0 until it is ready."""
        return now - self._heard if self.ready_since is not None else 0.0

    def excuse(self, now: float) -> None:
        """Forgets about its silence, which was not its fault."""
        self._heard = now

    def listen(self, groups: frozenset[int]) -> None:
        """Tells it the groups of sockets to listen on."""
        self.listening = groups
        self._tell(f"listen {' '.join(map(str, sorted(groups)))}\n")

    def stop(self) -> None:
        """Stops it gracefully."""
        self.stopping = True
        self._process.terminate()

    def drain(self) -> None:
        """Lets its health path say that it will stop soon."""
        self._tell("drain\n")

    def force(self) -> None:
        """Stops it without waiting for requests."""
        if self.ready_since is None:
            self.kill()
        else:
            self._tell("force\n")

    def kill(self) -> None:
        """Ends it on the spot."""
        self._process.kill()

    def close(self) -> None:
        """Gives the link back."""
        self._link.close()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):  # it hangs or has died, which will be noticed
            self._link.send(line.encode())


class Slot:
    """The place of one worker, and of the one that is to take it over."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.worker: Worker | None = None
        self.successor: Worker | None = None
        self.failures = 0  # in a row
        self.due = 0.0  # when a worker that is missing may be started

    def workers(self) -> Iterator[Worker]:
        """Those there are."""
        return filter(None, (self.worker, self.successor))

    def age(self) -> float:
        """When its worker became ready."""
        return (self.worker and self.worker.ready_since) or 0.0

    def is_covered(self, now: float) -> bool:
        """Whether somebody accepts the connections of its sockets."""
        return any(worker.is_ready and not worker.full and worker.silence(now) < SILENCE for worker in self.workers())


class Supervisor:
    """Keeps `config.workers` processes serving what `load` returns on `groups` of sockets.

    One more shows the metrics of all on the sockets in `metrics`, if these are any.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        config: ServerConfig,
        groups: Sequence[Sequence[socket.socket]],
        metrics: Sequence[socket.socket] = (),
    ) -> None:
        self._load = load
        self._config = config
        self._groups = groups
        self._metrics_sockets = metrics
        self._metrics: Worker | None = None
        self._metrics_due = 0.0  # when it may be started
        self._slots = [Slot(index) for index in range(config.workers)]
        self._retiring: list[Worker] = []
        self._signals: list[int] = []
        self._stops = 0  # how often it has been told to stop
        self._end: float | None = None  # when it will, if it has been told to and goes on for a while
        self._served = False
        self._looked = time.monotonic()
        self._code = 0

    def run(self) -> int:
        """Serves until a signal says to stop, or the first worker cannot start; returns the exit code."""
        logger.info("Started parent process [%d]", os.getpid())
        with self._handled_signals() as alarm:
            try:
                while self._step():
                    self._wait(alarm)
            finally:
                gc.unfreeze()
                if self._metrics is not None:
                    self._metrics.kill()
        logger.info("Stopped parent process [%d]", os.getpid())
        return self._code

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[socket.socket]:
        """Within, signals are gathered; the socket can be read when one has come."""
        alarm, trigger = socket.socketpair()
        with alarm, trigger:
            alarm.setblocking(False)
            trigger.setblocking(False)
            previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
            wakeup = signal.set_wakeup_fd(trigger.fileno(), warn_on_full_buffer=False)
            try:
                yield alarm
            finally:
                signal.set_wakeup_fd(wakeup)
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signals.append(number)

    def _wait(self, alarm: socket.socket) -> None:
        """Returns when a signal or a report has come, or something is due."""
        now = time.monotonic()
        due = [slot.due - now for slot in self._slots if slot.worker is None and slot.due > now]
        if self._end is not None and not self._stops:
            due.append(max(self._end - now, 0.0))
        links = [worker.fileno() for worker in self._workers() if not worker.silent]
        connection.wait([alarm.fileno(), *links], min([TICK, *due]))
        with contextlib.suppress(BlockingIOError):
            alarm.recv(4096)

    def _workers(self) -> Iterator[Worker]:
        for slot in self._slots:
            yield from slot.workers()
        yield from self._retiring

    def _step(self) -> bool:
        """Does what is to be done now. False when nothing is left to do."""
        now = time.monotonic()
        for worker in self._workers():
            if not worker.silent:
                worker.read(now)
            if now - self._looked > PAUSE:
                worker.excuse(now)
        self._looked = now
        self._look_for_first()
        while self._signals:
            self._obey(self._signals.pop(0))
        if self._end is not None and self._end <= now and not self._stops:
            self._stop()
        self._kill_stuck(now)
        self._bury(now)
        self._look_after_metrics(now)
        if not self._stops:
            self._fill(now)
            self._replace()
            self._spread(now)
        return not self._stops or any(self._workers())

    def _look_for_first(self) -> None:
        if not self._served and any(worker.is_ready for worker in self._workers()):
            self._served = True
            for url in urls_of(self._groups[0], self._config):
                logger.info("TurboAPI running on %s (Press CTRL+C to quit)", url)
            announce(self._metrics_sockets)
            notify(READY)

    def _look_after_metrics(self, now: float) -> None:
        """Sees to it that somebody shows the metrics, once there are some."""
        if self._metrics is not None:
            self._metrics.read(now)
            if self._metrics.exit_code is not None:
                if not self._stops:  # whoever stops all processes of a service has told it, too
                    logger.error("The process that shows the metrics has died (%s).", _reason(self._metrics.exit_code))
                self._metrics.close()
                self._metrics = None
                self._metrics_due = now + METRICS_DELAY
        elif self._metrics_sockets and self._served and not self._stops and self._metrics_due <= now:
            config = ServerConfig(
                lifespan="off", access_log=False, log_level=self._config.log_level, log_config=self._config.log_config
            )
            self._metrics = self._fork("metrics", make_app, config, [self._metrics_sockets], frozenset([0]))

    # --- what is wanted -----------------------------------------------------------------------------------------------

    def _obey(self, number: int) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            if self._served and self._config.shutdown_delay and self._end is None:
                self._drain()
            else:
                self._stops = self._stops or int(self._end is not None)  # that was the first time
                self._stop()
        elif self._stops:
            return
        elif number == signal.SIGHUP:
            logger.info("Replacing the workers one by one")
            for worker in self._workers():
                worker.outdated = True
        elif number == signal.SIGTTIN:
            self._slots.append(Slot(len(self._slots)))
            logger.info("Changing to %d workers", len(self._slots))
        elif number == signal.SIGTTOU and len(self._slots) > 1:
            slot = self._slots.pop()
            logger.info("Changing to %d workers", len(self._slots))
            for worker in slot.workers():
                self._retire(worker)

    def _drain(self) -> None:
        """Goes on for a while, in which nobody should be sent here any more."""
        self._end = time.monotonic() + self._config.shutdown_delay
        logger.info("Going on for %g seconds, as shutdown_delay says", self._config.shutdown_delay)
        for worker in self._workers():
            worker.drain()

    def _stop(self) -> None:
        """Stops all workers: gracefully, at once when told again, and by force the third time."""
        self._stops += 1
        notify(STOPPING)
        # From now on only workers have the sockets, and each empties the queues when it closes them: whoever comes
        # later is refused, and does not wait in vain.
        for group in self._groups:
            for sock in group:
                sock.close()
        for worker in self._workers():
            worker.drain()
        act = (Worker.stop, Worker.force, Worker.kill)[min(self._stops, 3) - 1]
        for worker in self._workers():
            act(worker)

    def _retire(self, worker: Worker) -> None:
        worker.stop()
        self._retiring.append(worker)

    # --- what is ------------------------------------------------------------------------------------------------------

    def _kill_stuck(self, now: float) -> None:
        timeout = self._config.timeout_worker_healthcheck
        for worker in self._workers():
            if timeout and worker.silence(now) > timeout and worker.exit_code is None:
                logger.error("Worker [%d] has not answered for %g seconds; killing it.", worker.pid, timeout)
                worker.kill()

    def _bury(self, now: float) -> None:
        """Takes the workers that have ended out of their places."""
        for worker in [worker for worker in self._retiring if worker.exit_code is not None]:
            self._retiring.remove(worker)
            self._forget(worker)
        for slot in self._slots:
            if slot.successor is not None and slot.successor.exit_code is not None:
                self._give_up(slot.successor)
                self._forget(slot.successor)
                slot.successor = None
            if slot.worker is not None and slot.worker.exit_code is not None:
                worker, slot.worker, slot.successor = slot.worker, slot.successor, None
                if not self._stops:
                    self._note_death(slot, worker, now)
                self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        worker.close()
        forget_process(self._config, worker.pid)
        if self._stops and worker.exit_code not in (0, -signal.SIGTERM):  # which ends one that did not serve yet
            self._code = max(self._code, 1)

    def _give_up(self, successor: Worker) -> None:
        """Keeps the workers there are: their successors do not get ready."""
        if not self._stops:
            logger.error(
                "Worker [%d] has failed to start (%s); the others stay.", successor.pid, _reason(successor.exit_code)
            )
            for worker in self._workers():
                worker.outdated = False

    def _note_death(self, slot: Slot, worker: Worker, now: float) -> None:
        code = worker.exit_code
        if not self._served:
            if code is None or code <= 0:  # it had no time to say why
                logger.error("Worker [%d] has ended before it was ready (%s).", worker.pid, _reason(code))
            self._code = max(code or 0, 1)
            self._stop()
            return
        if worker.stopping and code == 0:
            logger.info("Worker [%d] has stopped; starting another one.", worker.pid)
            return
        if worker.ready_since is not None and now - worker.ready_since >= STABLE:
            slot.failures = 0
        slot.failures += 1
        delay = min(2.0 ** (slot.failures - 2), MAX_DELAY) if slot.failures > 1 else 0.0
        slot.due = now + delay
        when = f"in {delay:g} seconds, as it is failure {slot.failures} in a row" if delay else "now"
        logger.error("Worker [%d] has died (%s); starting another one %s.", worker.pid, _reason(code), when)

    # --- what is missing ----------------------------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        """Starts workers that are missing; at first a single one, as what is wrong should be said once."""
        for slot in self._slots:
            if slot.worker is None and slot.due <= now and (self._served or not any(self._workers())):
                slot.worker = self._start(slot.index)

    def _replace(self) -> None:
        """Goes on with the replacement of workers, one at a time; each goes when its successor is ready."""
        for slot in self._slots:
            if slot.successor is not None:
                if slot.worker is not None and slot.successor.is_ready:
                    self._retire(slot.worker)
                    slot.worker, slot.successor = slot.successor, None
                    if not any(worker.outdated for worker in self._workers() if worker not in self._retiring):
                        logger.info("All workers are replaced")
                return
        outdated = [slot for slot in self._slots if slot.worker and slot.worker.outdated and slot.worker.is_ready]
        if outdated and not self._retiring:
            oldest = min(outdated, key=Slot.age)
            oldest.successor = self._start(oldest.index)

    def _spread(self, now: float) -> None:
        """Sees to it that somebody listens on every socket."""
        covered = {slot.index for slot in self._slots if slot.is_covered(now)}
        for slot in self._slots:
            for worker in slot.workers():
                wanted = self._groups_for(slot.index, covered)
                if worker.is_ready and worker.listening != wanted:
                    worker.listen(wanted)

    def _groups_for(self, index: int, covered: set[int]) -> frozenset[int]:
        every = range(len(self._groups))
        return frozenset(number for number in every if index not in every or number == index or number not in covered)

    def _start(self, index: int) -> Worker:
        listening = self._groups_for(index, set(range(len(self._groups))))
        worker = self._fork(f"worker-{index}", self._load, self._config, self._groups, listening)
        if self._end is not None:
            worker.drain()
        return worker

    def _fork(
        self,
        name: str,
        load: Callable[[], Any],
        config: ServerConfig,
        groups: Sequence[Sequence[socket.socket]],
        listening: frozenset[int],
    ) -> Worker:
        link, far_end = socket.socketpair()
        link.setblocking(False)
        serve = partial(run_worker, load, config, listening=listening, supervisor=far_end)
        process = _fork.Process(target=self._be_worker, args=(serve, groups, link), name=name)
        gc.freeze()  # the pages of what there is now stay shared: no collection writes to them
        # The worker must not take a signal for the supervisor that it is a copy of.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        far_end.close()
        return Worker(process, link, listening)

    def _be_worker(
        self, serve: Callable[..., None], groups: Sequence[Sequence[socket.socket]], link: socket.socket
    ) -> None:
        """What the new process does."""
        forget_supervisor()
        # Other workers notice the supervisor's end only if nobody else holds its ends of their links.
        link.close()
        for worker in (*self._workers(), *filter(None, [self._metrics])):
            worker.close()
        # Detached, for a Unix listener would take its file with it.
        own = [[socket.socket(fileno=sock.detach()) for sock in group] for group in groups]
        for group in (*self._groups, self._metrics_sockets):
            for sock in group:
                if sock.fileno() >= 0:
                    os.close(sock.detach())
        serve(groups=own)


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
