"""Serving while the application is being written: a supervisor starts the server anew when files change.

    supervisor: sockets, watchfiles  --- pipe --->  child: application, Server on the sockets

The supervisor holds the listening sockets and never imports the application. So the port stays, clients that come
during a restart wait in its backlog, and an application that does not even compile costs no more than a message.
The next child is started ahead of time and waits, with TurboAPI imported, for a byte in its pipe; the end of that
pipe tells a child that the supervisor has gone.

A Ctrl-C reaches every process of the terminal. Only the supervisor heeds it, and passes each signal on as SIGTERM.
"""

import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import cache_from_source
from pathlib import Path
from types import FrameType
from typing import Any

from turboapi.server.config import ConfigError, ServerConfig, ServerError
from turboapi.server.discovery import locate
from turboapi.server.environment import check_environment
from turboapi.server.extras import import_extra
from turboapi.server.logging import configure_logging
from turboapi.server.runner import prepare, report
from turboapi.server.sockets import explained, name_of, open_sockets

logger = logging.getLogger("turboapi.error")

GRACE = 0.5  # seconds a running request has left when a file has changed
PATIENCE = 5.0  # seconds until a child that does not stop for a restart is killed
STEP, DEBOUNCE, TICK = 50, 300, 250  # milliseconds: of silence after a change, at most, and between looks at the child
# Nobody edits these, and some have many files.
IGNORED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages"})
INCLUDE = "*.py"

# The path first: TurboAPI itself may be on it.
_CHILD = """\
import json, sys
given = json.loads(sys.argv.pop())
sys.path[:] = given.pop("path")
from turboapi.server.reload import run_child
sys.exit(run_child(**given))
"""


def run_with_reload(app: Any, config: ServerConfig) -> int:
    """Serves the application that `app` names, anew whenever its files change, and returns the exit code.

    Raises ConfigError unless it is given by name, ServerError without watchfiles, and StartupError when it cannot
    listen.
    """
    if app is not None and not isinstance(app, str):
        raise ConfigError("reload needs the name of the application, such as 'main:app', not the object")
    import_extra("watchfiles", "reload")
    check_environment(config)
    configure_logging(config)
    directories = watched_directories(config, locate(app, config).directory)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in open_sockets(config)]
        for sock in sockets:
            with explained(name_of(sock)):
                sock.listen(config.backlog)
        return Supervisor(app, config, sockets).run(directories)


def watched_directories(config: ServerConfig, import_directory: str) -> list[Path]:
    """The directories to watch, none of them inside another one."""
    given = [Path(path).resolve() for path in config.reload_dir or (".", import_directory)]
    return [path for path in dict.fromkeys(given) if not any(other in path.parents for other in given)]


class FileFilter:
    """Says which changes matter: those of *.py files and of what is included, but for what is excluded."""

    def __init__(self, config: ServerConfig, directories: Iterable[Path]) -> None:
        self._roots = tuple(directories)
        self._includes = config.reload_include
        self._excludes = [pattern for pattern in config.reload_exclude if not os.path.isdir(pattern)]
        self._excluded = {Path(pattern).resolve() for pattern in config.reload_exclude if os.path.isdir(pattern)}

    def __call__(self, change: Any, path: str) -> bool:
        """Whether a change (of which kind does not matter) of the file `path` does."""
        file = Path(path)
        if not self._excluded.isdisjoint(file.parents) or any(map(file.match, self._excludes)):
            return False
        if any(map(file.match, self._includes)):
            return True
        root = next((root for root in self._roots if root in file.parents), file.parent)
        folders = file.relative_to(root).parts[:-1]
        if any(name.startswith(".") or name in IGNORED_FOLDERS for name in folders):
            return False
        return file.match(INCLUDE) and not file.name.startswith((".", "~"))  # such are editors' own files


class Supervisor:
    """Runs one child after the other on `sockets`."""

    def __init__(self, app: str | None, config: ServerConfig, sockets: list[socket.socket]) -> None:
        grace = min(config.timeout_graceful_shutdown, GRACE)
        self._config = config
        self._given = {
            "app": app,
            "options": {
                **dataclasses.asdict(config),
                "timeout_graceful_shutdown": grace,
                "shutdown_delay": 0.0,
                "metrics_port": None,
            },
            "sockets": [sock.fileno() for sock in sockets],
        }
        self._child: Child | None = None
        self._next: Child | None = None
        self._signals = 0
        self._stop = threading.Event()

    def run(self, directories: list[Path]) -> int:
        """Serves until a signal arrives, and returns the exit code."""
        logger.info("Watching for changes in %s", ", ".join(map(_shown, directories)))
        changes = import_extra("watchfiles", "reload").watch(
            *directories,
            watch_filter=FileFilter(self._config, directories),
            stop_event=self._stop,
            step=STEP,
            debounce=DEBOUNCE,
            rust_timeout=TICK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        with _handling(self._on_signal):
            try:
                self._start()
                for changed in changes:
                    self._look(changed)
            finally:
                code = self._end()
        return code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self._stop.set()
        if self._child is not None and self._signals > 1:
            self._child.stop(force=self._signals > 2)

    def _start(self) -> None:
        self._child = self._next or Child(self._given)
        self._next = None
        self._child.go()

    def _look(self, changed: Iterable[tuple[Any, str]]) -> None:
        """Does what is due after a while of no change, or after a change."""
        if changed:
            paths = sorted({path for _, path in changed})
            logger.warning("Restarting: %s changed", ", ".join(_shown(Path(path)) for path in paths))
            _forget_bytecode(paths)
            self._replace()
        elif self._child is not None and (code := self._child.poll()) is not None:
            logger.error("The server has ended with exit code %d; waiting for a change.", code)
            self._child.close()
            self._child = None
        elif self._next is None:
            self._next = Child(self._given)

    def _replace(self) -> None:
        if self._child is not None:
            self._child.stop()
            if self._child.wait(PATIENCE) is None:
                logger.error("The server does not stop; killing it.")
                self._child.stop(force=True)
            self._child.wait()
            self._child.close()
            self._child = None
        if not self._stop.is_set():
            self._start()

    def _end(self) -> int:
        code: int | None = 0
        if self._next is not None:
            self._next.stop(force=True)
            self._next.wait()
            self._next.close()
        if self._child is not None:
            self._child.stop()
            code = self._child.wait()
            self._child.close()
        return max(code or 0, 0)  # a child that had not begun to serve dies of the signal itself


class Child:
    """A server process, or one that will be: it begins when told to `go`."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        reading, self._pipe = os.pipe()
        inherited = [reading, *given["sockets"]]
        payload = json.dumps({"path": sys.path, "pipe": reading, **given})
        # Until it has a handler a Ctrl-C would break off its imports, with a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self._process = subprocess.Popen([sys.executable, "-c", _CHILD, payload], pass_fds=inherited)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(reading)

    def go(self) -> None:
        """Lets it import the application, and serve."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, which `poll` will tell
            os.write(self._pipe, b"g")

    def stop(self, *, force: bool = False) -> None:
        """Tells it to stop, which it does gracefully the first time."""
        (self._process.kill if force else self._process.terminate)()

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, None if it still runs after a while."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def close(self) -> None:
        """Gives the pipe back."""
        os.close(self._pipe)


def run_child(app: str | None, options: dict[str, Any], sockets: list[int], pipe: int) -> int:
    """What a child does: waits to be told, serves, and returns the exit code."""
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if not os.read(pipe, 1):
        return 0
    threading.Thread(target=_leave_with_parent, args=[pipe], daemon=True).start()
    try:
        server = prepare(app, ServerConfig(**options))
        server.stop_signals = (signal.SIGTERM,)
        return server.run([socket.socket(fileno=fd) for fd in sockets])
    except ServerError as exc:
        report(exc)
        return exc.exit_code


def _leave_with_parent(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _handling(handler: Any) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _forget_bytecode(paths: Iterable[str]) -> None:
    """Makes Python compile changed files again.

    It goes by size and second, and here a file may well be changed, run and changed again within the same second.
    """
    for path in paths:
        with contextlib.suppress(OSError, NotImplementedError):
            os.unlink(cache_from_source(path))


def _shown(path: Path) -> str:
    """A path as somebody in the working directory would write it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
