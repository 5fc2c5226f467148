"""What a server costs beside requests: memory at work, memory for connections that do nothing, start."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from statistics import median
from typing import Any

from .probe import connect, read_answer, request_bytes, send_sequentially
from .report import Cost
from .rows import ROUTES, ROWS
from .servers import Server

HELLOS = 10_000
IDLE = 10_000
DESCRIPTORS = IDLE + 1_000
REPEATS = 5
IMPORT = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
MODULES = {"fastapi": "fastapi", "turboapi": "turboapi"}

RunServer = Callable[..., AbstractContextManager[Server]]


def measure_costs(name: str, run_server: RunServer) -> list[Cost]:
    """Return what a server costs; `run_server(setup=…)` starts it."""
    costs = [
        Cost(f"memory after {HELLOS:,} hellos", "MiB", name, working_memory(run_server)),
        Cost(f"memory of one of {IDLE:,} idle connections", "KiB", name, idle_memory(run_server)),
    ]
    if module := MODULES.get(name):
        costs.append(Cost("import", "CPU ms", name, import_time(module)))
        costs += [Cost(what, "CPU ms", name, value) for what, value in startup_times(name).items()]
    return costs


def working_memory(run_server: RunServer) -> float:
    """Return the resident memory in MiB of a server that has answered some requests."""
    with run_server(setup="plain") as server:
        send_sequentially(ROWS["hello"], server.port, HELLOS)
        return server.rss_kib() / 1024


def idle_memory(run_server: RunServer) -> float:
    """Return by how many KiB a connection makes a server larger that has answered one request on it."""
    raise_descriptor_limit()
    request = request_bytes(ROWS["hello"])
    with run_server(setup="idle") as server, ExitStack() as stack:
        send_sequentially(ROWS["hello"], server.port, HELLOS)
        before = server.rss_kib()
        for _ in range(IDLE):
            connection = stack.enter_context(connect(server.port))
            connection.sendall(request)
            read_answer(connection)
        server.require_alive()
        return (server.rss_kib() - before) / IDLE


def raise_descriptor_limit() -> None:
    """Let this process, and the servers it starts, open enough sockets. OSError or ValueError if it must not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))


def import_time(module: str) -> float:
    """Return the CPU milliseconds of importing a package whose modules are compiled already."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", IMPORT.format(module)]
        times = [
            float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
            for _ in range(REPEATS + 1)
        ]
    return median(times[1:]) * 1e3


def startup_times(name: str) -> dict[str, float]:
    """Return the CPU milliseconds of the steps from an empty application to its OpenAPI document."""
    command = [sys.executable, "-m", "benchmarks.load.startup", name]
    runs: list[dict[str, Any]] = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(REPEATS)
    ]
    steps = {
        "register": f"registering {ROUTES:,} routes, and freezing them",
        "openapi": f"OpenAPI document of {ROUTES:,} routes",
    }
    return {what: median(run[step] for run in runs) * 1e3 for step, what in steps.items()}
