"""What loads a server with a row, one driver for each kind of load.

wrk         64 keep-alive connections (or as many as asked for), each with its next request when it has its answer
bulk        one connection with large bodies, one after the other
websocket   64 WebSockets, each with its next message when it has the echo of the last one
mixed       wrk, and the latencies of a hello that is asked for meanwhile, on another connection
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from typing import Protocol

from .client import SOCKETS, Load
from .probe import check_answer, check_blob, check_echo, count_served
from .rows import ROWS, Blob, Row
from .servers import Server
from .wrk import GRACE, run_wrk, wrk_command

__all__ = ["Driver", "Load", "make_drivers"]


class Driver(Protocol):
    """Loads servers from the client's core; `command` is the last command line."""

    command: str

    def check(self, row: Row, server: Server) -> int:
        """Ask once and raise `WrongAnswer` if the answer is; return how many connections are served at once."""

    def load(self, row: Row, server: Server, seconds: int) -> Load: ...


class Wrk:
    """wrk with one thread."""

    def __init__(self, core: int, connections: int) -> None:
        self.core = core
        self.connections = connections
        self.command = ""

    def check(self, row: Row, server: Server) -> int:
        check_answer(row, server.name, server.port)
        return count_served(row, server.port, self.connections)

    def load(self, row: Row, server: Server, seconds: int) -> Load:
        command = wrk_command(row, server.port, self.core, self.connections, seconds)
        self.command = shlex.join(command)
        summary = run_wrk(command, row, seconds)
        return Load(
            requests=summary.requests,
            seconds=summary.seconds,
            p50_us=summary.p50_us,
            p99_us=summary.p99_us,
            errors=summary.errors(row.status),
        )


class Client:
    """One of our own clients."""

    def __init__(self, kind: str, core: int) -> None:
        self.kind = kind
        self.core = core
        self.command = ""

    def start(self, row: Row, server: Server, seconds: int) -> subprocess.Popen[str]:
        module = [sys.executable, "-m", "benchmarks.load.client", self.kind]
        command = ["taskset", "-c", str(self.core), *module, row.name, str(server.port), str(seconds)]
        self.command = shlex.join(command)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self, process: subprocess.Popen[str], seconds: int) -> Load:
        """Wait for a started client; raise RuntimeError if it has failed."""
        output, _ = process.communicate(timeout=seconds + GRACE)
        if process.returncode:
            raise RuntimeError(f"{self.command} failed")
        return Load(**json.loads(output))

    def load(self, row: Row, server: Server, seconds: int) -> Load:
        return self.finish(self.start(row, server, seconds), seconds)


class Bulk(Client):
    """Large bodies."""

    def __init__(self, core: int) -> None:
        super().__init__("bulk", core)

    def check(self, row: Row, server: Server) -> int:
        (check_blob if isinstance(row.answer, Blob) else check_answer)(row, server.name, server.port)
        return 1


class WebSockets(Client):
    """Messages and their echoes."""

    def __init__(self, core: int) -> None:
        super().__init__("websocket", core)

    def check(self, row: Row, server: Server) -> int:
        check_echo(row, server.name, server.port)
        return SOCKETS


class Mixed(Wrk):
    """wrk beside a client that is in no hurry, whose latencies count."""

    def __init__(self, core: int, connections: int) -> None:
        super().__init__(core, connections)
        self.pace = Client("pace", core)

    def load(self, row: Row, server: Server, seconds: int) -> Load:
        process = self.pace.start(ROWS["hello"], server, seconds)
        load = super().load(row, server, seconds)
        meanwhile = self.pace.finish(process, seconds)
        self.command += " & " + self.pace.command
        return replace(load, p50_us=meanwhile.p50_us, p99_us=meanwhile.p99_us, errors=load.errors + meanwhile.errors)


def make_drivers(core: int, connections: int) -> dict[str, Driver]:
    """Return every driver by its name in `Row.driver`, on the core for clients."""
    return {
        "wrk": Wrk(core, connections),
        "bulk": Bulk(core),
        "websocket": WebSockets(core),
        "mixed": Mixed(core, connections),
    }
