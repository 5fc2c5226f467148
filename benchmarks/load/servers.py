"""Start the servers that are compared, each pinned to one core, and read what they cost from the kernel.

CPU time is read from the process' own CPU clock (`clock_getcpuclockid(3)`): nanoseconds of user and system time of all
its threads, those that have ended included. The user share comes from `/proc/PID/stat`, in clock ticks of 10 ms.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .payloads import READABLE, folder
from .peers import PEERS
from .rows import HOST, Blob, Row

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
CPUCLOCK_SCHED = 2
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
QUIET = ("--no-access-log", "--log-level", "warning")
CONSTANT_LIMIT = 2048
RESET_PEAK = "5"  # see proc(5), clear_refs

NGINX_CONFIG = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    default_type application/json;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen {host}:{port};
{locations}
    }}
}}
"""


class ServerError(Exception):
    """A server did not start, or ended while it was needed; the message carries the end of its output."""


def nginx_location(row: Row, files: Path) -> str:
    """Return what answers a row: a constant, or a file for what is too long for the configuration."""
    path = urlsplit(row.path).path
    if isinstance(row.answer, Blob):
        return f"        location = {path} {{ alias {folder() / 'blob'}; }}"
    text = json.dumps(row.answer, separators=(",", ":"))
    if len(text) < CONSTANT_LIMIT:
        return f"        location = {path} {{ return {row.status} '{text}'; }}"
    (files / row.name).write_text(text)
    return f"        location = {path} {{ alias {files / row.name}; }}"


def nginx_config(rows: Iterable[Row], port: int, files: Path) -> str:
    """Return a configuration that answers its rows with the expected status and bytes; `files` is for long ones."""
    answers = {urlsplit(row.path).path: row for row in rows if "nginx" in row.servers}
    locations = "\n".join(nginx_location(row, files) for row in answers.values())
    return NGINX_CONFIG.format(host=HOST, port=port, locations=locations)


def nginx_command(port: int, own_folder: Path, rows: Sequence[Row], setup: str) -> list[str]:
    own_folder.chmod(READABLE)
    config = own_folder / "nginx.conf"
    config.write_text(nginx_config(rows, port, own_folder))
    return ["nginx", "-e", "stderr", "-p", str(own_folder), "-c", str(config)]


def uvicorn_command(port: int, module: str, setup: str) -> list[str]:
    options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", *QUIET, *SETUPS[setup]]
    return [sys.executable, "-m", "uvicorn", application(module, setup), *options]


def fastapi_command(port: int, own_folder: Path, rows: Sequence[Row], setup: str) -> list[str]:
    return uvicorn_command(port, "benchmarks.load.apps_fastapi", setup)


def turboapi_command(port: int, own_folder: Path, rows: Sequence[Row], setup: str) -> list[str]:
    module = "benchmarks.load.apps_turboapi"
    if setup == "asgi":
        return uvicorn_command(port, module, setup)
    options = ["--port", str(port), *QUIET, *SETUPS[setup]]
    return [sys.executable, "-m", "turboapi", "run", application(module, setup), *options]


def application(module: str, setup: str) -> str:
    return f"{module}:with_middleware" if setup == "middleware" else f"{module}:app"


COMMANDS = {"nginx": nginx_command, "fastapi": fastapi_command, "turboapi": turboapi_command}
ALL_SERVERS = (*COMMANDS, *PEERS)
SETUPS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "middleware": ("--factory",),
    "asgi": (),  # both frameworks under uvicorn
    "idle": ("--timeout-keep-alive", "3600"),  # connections stay
}
"""Ways to serve the application, and the options that they take."""


def server_command(name: str, port: int, own_folder: Path, rows: Sequence[Row], setup: str) -> list[str]:
    """Return what starts the server called `name`; peers have one setup only."""
    if name in PEERS:
        return PEERS[name].command_line(port)
    return COMMANDS[name](port, own_folder, rows, setup)


def has_row(name: str, row: Row) -> bool:
    """Tell whether the server called `name` can answer a row."""
    return row.name in PEERS[name].rows if name in PEERS else name in row.servers


@dataclass(frozen=True)
class Usage:
    """CPU time that a server had used at one moment."""

    cpu_ns: int
    user_ns: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.cpu_ns - earlier.cpu_ns, self.user_ns - earlier.user_ns)


@dataclass(frozen=True)
class Server:
    """A running server: its name, port, command line and first process."""

    name: str
    port: int
    command: list[str]
    process: subprocess.Popen[bytes]
    output: Path

    def usage(self) -> Usage:
        """Return the CPU time of the process and its descendants so far."""
        pids = process_tree(self.process.pid)
        return Usage(sum(map(cpu_clock_ns, pids)), sum(map(user_ns, pids)))

    def rss_kib(self) -> int:
        """Return the resident memory of the process and its descendants."""
        return sum(int(proc_file(pid, "statm").split()[1]) * PAGE_KIB for pid in process_tree(self.process.pid))

    def reset_peak(self) -> None:
        """Forget the largest resident memory so far."""
        for pid in process_tree(self.process.pid):
            Path("/proc", str(pid), "clear_refs").write_text(RESET_PEAK)

    def peak_kib(self) -> int:
        """Return the largest resident memory since `reset_peak`, of all processes."""
        return sum(peak_kib(pid) for pid in process_tree(self.process.pid))

    def require_alive(self) -> None:
        """Raise `ServerError` with the end of the server's output if it has ended."""
        if self.process.poll() is not None:
            raise ServerError(f"{self.name} ended with {self.process.returncode}:\n{self.output.read_text()[-2000:]}")


@contextmanager
def run_server(name: str, rows: Sequence[Row], core: int, setup: str = "plain") -> Iterator[Server]:
    """Start the server called `name`, pinned to `core`; yield it once it accepts connections; stop it."""
    with tempfile.TemporaryDirectory(prefix=f"load-{name}-") as own_folder:
        port, output = free_port(), Path(own_folder, "output")
        command = ["taskset", "-c", str(core), *server_command(name, port, Path(own_folder), rows, setup)]
        with output.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        server = Server(name, port, command, process, output)
        try:
            wait_until_listening(server)
            yield server
        finally:
            stop(process)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until_listening(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        server.require_alive()
        try:
            socket.create_connection((HOST, server.port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise ServerError(f"{server.name} did not listen within {START_TIMEOUT:.0f} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def proc_file(pid: int, name: str) -> str:
    return Path("/proc", str(pid), name).read_text()


def stat_fields(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` after the command name: state, parent, …"""
    return proc_file(pid, "stat").rpartition(")")[2].split()


def process_tree(root: int) -> list[int]:
    """Return `root` and all its living descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int(stat_fields(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    tree = [root]
    for parent in tree:
        tree += [pid for pid, its_parent in parents.items() if its_parent == parent]
    return tree


def peak_kib(pid: int) -> int:
    return next(int(line.split()[1]) for line in proc_file(pid, "status").splitlines() if line.startswith("VmHWM"))


def cpu_clock_ns(pid: int) -> int:
    return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)


def user_ns(pid: int) -> int:
    return int(stat_fields(pid)[11]) * TICK_NS
