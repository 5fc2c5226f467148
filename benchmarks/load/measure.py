"""One benchmark run: start the servers round by round, load them one at a time, gather the samples."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from .costs import measure_costs
from .drivers import Load, make_drivers
from .facts import NOT_INSTALLED, collect, package_version
from .payloads import FOLDER_VARIABLE, write_files
from .peers import PEERS
from .probe import WrongAnswer, send_sequentially
from .report import Absence, Cost, Memory, Sample, document, rotated
from .rows import ROWS, Row
from .servers import Server, ServerError, has_row, run_server
from .wrk import lua_script

FEW, MANY = 10_000, 1_000_000
MEMORY_RUN_SECONDS = 2


class Bench:
    """A run with its command line options; `samples`, `costs` and `memories` hold what was measured so far.

    `absences` are the rows that peers were to answer and did not, with the reasons.

    Used as a context manager: within, the files with the large bodies are there.
    """

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.rows = [ROWS[name] for name in options.rows]
        self.drivers = make_drivers(options.client_core, options.connections)
        self.samples: list[Sample] = []
        self.costs: list[Cost] = []
        self.memories: list[Memory] = []
        self.absences: list[Absence] = []
        self.commands: dict[str, str] = {}
        self.load_average = os.getloadavg()
        self._files = ExitStack()

    def __enter__(self) -> Self:
        folder = self._files.enter_context(TemporaryDirectory(prefix="load-files-"))
        write_files(Path(folder))
        os.environ[FOLDER_VARIABLE] = folder
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def run_rounds(self) -> None:
        """Measure every row on every server in each round, with fresh server processes and another order."""
        self.try_peers()
        for turn in range(self.options.rounds):
            with ExitStack() as stack:
                names = rotated(self.options.servers, turn)
                start = cache(partial(self.start, stack))  # each server is started when its first row comes
                for row in self.rows:
                    servers = [start(name, row.setup) for name in names if self.is_measured(name, row)]
                    self.samples += [self.measure(turn, row, server) for server in servers]

    def try_peers(self) -> None:
        """Start every peer once and check its answers; note what it lacks and what fails, which is then left out."""
        for name in self.options.servers:
            if name in PEERS:
                self.absences += self.try_peer(name)

    def try_peer(self, name: str) -> list[Absence]:
        rows = [row for row in self.rows if has_row(name, row)]
        lacks = [Absence(name, row, reason) for row, reason in PEERS[name].lacks.items() if ROWS[row] in self.rows]
        if missing := missing_packages(PEERS[name].packages):
            return [Absence(name, "", f"not installed: {', '.join(missing)}")]
        try:
            with run_server(name, rows, self.options.server_core) as server:
                failed = [Absence(name, row.name, reason) for row in rows if (reason := self.fault(row, server))]
        except ServerError as error:
            return [Absence(name, "", str(error).strip().splitlines()[-1])]  # of a traceback, the error
        return lacks + failed

    def fault(self, row: Row, server: Server) -> str:
        """Return what is wrong with the answer of a server to a row, nothing if it is right."""
        try:
            self.drivers[row.driver].check(row, server)
        except (WrongAnswer, HTTPException, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def is_measured(self, name: str, row: Row) -> bool:
        """Tell whether a server can answer a row, and has done so when it was tried."""
        absent = any(one.server == name and one.row in ("", row.name) for one in self.absences)
        return has_row(name, row) and not absent

    def run_costs(self) -> None:
        """Measure what the servers cost beside requests; not of peers."""
        for name in own_servers(self.options.servers):
            self.costs += measure_costs(name, partial(run_server, name, list(ROWS.values()), self.options.server_core))
            progress(f"costs, {name}")

    def run_memory(self) -> None:
        """Read each server's resident memory at rest, after `FEW` and after at least `MANY` requests; not of peers."""
        for name in own_servers(self.options.servers):
            with ExitStack() as stack:
                self.memories.append(self.measure_memory(self.start(stack, name, "plain")))

    def start(self, stack: ExitStack, name: str, setup: str) -> Server:
        server = stack.enter_context(run_server(name, list(ROWS.values()), self.options.server_core, setup))
        self.commands[f"{name}, {setup}"] = shlex.join(server.command)
        return server

    def measure(self, turn: int, row: Row, server: Server) -> Sample:
        """Check the answer, warm up, then load the server and account for its CPU time."""
        connections = self.drivers[row.driver].check(row, server)
        self.load(row, server, self.options.warmup)
        server.reset_peak()
        before = server.usage()
        load = self.load(row, server, self.options.duration)
        used = server.usage() - before
        server.require_alive()
        sample = Sample(
            round=turn,
            row=row.name,
            server=server.name,
            cpu_us=used.cpu_ns / 1e3 / load.requests,
            user_us=used.user_ns / 1e3 / load.requests,
            per_second=load.per_second,
            p50_us=load.p50_us if row.pipeline == 1 else None,  # wrk's correction spoils them with pipelining
            p99_us=load.p99_us if row.pipeline == 1 else None,
            busy=used.cpu_ns / 1e9 / load.seconds,
            peak_mib=server.peak_kib() / 1024,
            errors=load.errors,
            connections=connections,
        )
        progress(f"round {turn + 1}, {row.name}, {server.name}: {sample.cpu_us:.2f} µs")
        return sample

    def measure_memory(self, server: Server) -> Memory:
        row, start = ROWS["hello"], server.rss_kib()
        send_sequentially(row, server.port, FEW)
        few, sent = server.rss_kib(), FEW
        while sent < MANY:
            sent += self.load(row, server, MEMORY_RUN_SECONDS).requests
            server.require_alive()
            progress(f"memory, {server.name}: {sent:,} requests")
        return Memory(server.name, start, FEW, few, sent, server.rss_kib())

    def load(self, row: Row, server: Server, seconds: int) -> Load:
        driver = self.drivers[row.driver]
        load = driver.load(row, server, seconds)
        self.commands[row.driver] = driver.command
        return load

    def document(self) -> dict[str, Any]:
        """Return everything known about this run, JSON-ready."""
        settings = {name: value for name, value in vars(self.options).items() if name not in ("json", "chart")}
        scripts = {row.name: lua_script(row) for row in self.rows if row.driver in ("wrk", "mixed")}
        packages = [package for name in self.options.servers if name in PEERS for package in PEERS[name].packages]
        facts = collect(settings, self.commands, scripts, self.load_average, packages)
        return document(facts, self.samples, self.costs, self.memories, self.absences)


def own_servers(names: Iterable[str]) -> list[str]:
    """Return those of the names that are no peers."""
    return [name for name in names if name not in PEERS]


def missing_packages(names: Iterable[str]) -> list[str]:
    """Return the distributions that are not installed."""
    return [name for name in names if package_version(name) == NOT_INSTALLED]


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
