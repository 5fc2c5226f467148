"""One benchmark run: start the servers round by round, load them one at a time, gather the samples."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from contextlib import ExitStack
from typing import Any

from .facts import collect
from .probe import check_answer, count_served, send_sequentially
from .report import Memory, Sample, document, rotated
from .rows import ROWS, Row
from .servers import Server, run_server
from .wrk import Load, lua_script, run_wrk, wrk_command

FEW, MANY = 10_000, 1_000_000
MEMORY_RUN_SECONDS = 2


class Bench:
    """A run with its command line options; `samples` and `memories` hold what was measured so far."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.rows = [ROWS[name] for name in options.rows]
        self.samples: list[Sample] = []
        self.memories: list[Memory] = []
        self.commands: dict[str, str] = {}
        self.load_average = os.getloadavg()

    def run_rounds(self) -> None:
        """Measure every row on every server in each round, with fresh server processes and another order."""
        for turn in range(self.options.rounds):
            with ExitStack() as stack:
                servers = [self.start(stack, name) for name in rotated(self.options.servers, turn)]
                for row in self.rows:
                    self.samples += [self.measure(turn, row, server) for server in servers]

    def run_memory(self) -> None:
        """Read each server's resident memory at rest, after `FEW` and after at least `MANY` requests."""
        for name in self.options.servers:
            with ExitStack() as stack:
                self.memories.append(self.measure_memory(self.start(stack, name)))

    def start(self, stack: ExitStack, name: str) -> Server:
        server = stack.enter_context(run_server(name, list(ROWS.values()), self.options.server_core))
        self.commands[name] = shlex.join(server.command)
        return server

    def measure(self, turn: int, row: Row, server: Server) -> Sample:
        """Check the answer, warm up, then load the server and account for its CPU time."""
        check_answer(row, server.name, server.port)
        connections = count_served(row, server.port, self.options.connections)
        self.load(row, server, self.options.warmup)
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
            errors=load.errors(row.status),
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
        options = self.options
        command = wrk_command(row, server.port, options.client_core, options.connections, seconds)
        self.commands["wrk"] = shlex.join(command)
        return run_wrk(command, row, seconds)

    def document(self) -> dict[str, Any]:
        """Return everything known about this run, JSON-ready."""
        settings = {name: value for name, value in vars(self.options).items() if name != "json"}
        scripts = {row.name: lua_script(row) for row in self.rows}
        facts = collect(settings, self.commands, scripts, self.load_average)
        return document(facts, self.samples, self.memories)


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
