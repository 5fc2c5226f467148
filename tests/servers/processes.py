"""Servers as users start them: one process, one application, a port of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = "tests.servers.application:app"
PATIENCE = 20.0  # seconds until a server that does not start, or stop, fails the test

# The words after `python -m`. PORT is replaced.
COMMANDS = {
    "uvicorn": ("uvicorn", APP, "--port=PORT", "--http=httptools", "--loop=uvloop", "--no-access-log"),
    "uvicorn-h11": ("uvicorn", APP, "--port=PORT", "--http=h11", "--loop=asyncio", "--no-access-log"),
    "hypercorn": ("hypercorn", APP, "--bind=127.0.0.1:PORT", "--worker-class=asyncio"),
    "hypercorn-trio": ("hypercorn", APP, "--bind=127.0.0.1:PORT", "--worker-class=trio"),
    "granian": ("granian", APP, "--port=PORT", "--interface=asgi", "--workers=1"),
    "gunicorn": ("gunicorn", APP, "--bind=127.0.0.1:PORT", "--worker-class=uvicorn_worker.UvicornWorker"),
}


@dataclass(frozen=True)
class Running:
    """A server on `port`. What it writes is in the file `output`; `stopped` comes with the end of the lifespan."""

    server: str
    process: "subprocess.Popen[bytes]"
    port: int
    output: Path
    stopped: Path

    def wait_until_ready(self) -> None:
        """Return once somebody listens on the port; AssertionError if that does not happen."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            time.sleep(0.02)
        raise AssertionError(f"the server does not start:\n{self.output.read_text()}")

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(server: str, framework: str, folder: Path) -> Iterator[Running]:
    """Run the application of `framework` under `server` until the block ends. Starts it without waiting for it."""
    port, name = free_port(), f"{server}-{framework}"
    output, mark = folder / f"{name}.log", folder / f"{name}.stopped"
    command = [sys.executable, "-m", *(word.replace("PORT", str(port)) for word in COMMANDS[server])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRAMEWORK": framework, "MARK": str(mark)}
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield Running(server, process, port, output, mark)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: nobody else is in it
        process.wait(PATIENCE)
