"""Other frameworks and servers beside which TurboAPI can be measured: what they are, how they run, what they lack.

Each has a module here that answers the rows it has, as its documentation recommends for speed, in one process.
FastAPI on Granian is the application of `apps_fastapi`. Nothing here imports a peer: none has to be installed.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import dataclass, field

SHARED_ROWS = ("hello", "path", "json", "deps", "headers", "not_found", "pipeline", "websocket")
"""Rows that peers are asked for, but for those that they lack."""

NO_INJECTION = {"deps": "it has no dependency injection"}


@dataclass(frozen=True)
class Peer:
    """A framework on its server.

    Attributes:
        title: the framework, and the server if that is another project, for people.
        packages: the distributions that it consists of; the first one is its own.
        command: what starts it, without the port.
        lacks: rows of `SHARED_ROWS` that it cannot answer, with the reason.
        more: rows beside `SHARED_ROWS`.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    lacks: dict[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[str, ...]:
        """Return the names of the rows that it answers."""
        return (*(name for name in SHARED_ROWS if name not in self.lacks), *self.more)

    def command_line(self, port: int) -> list[str]:
        """Return the command line that serves it on `port`."""
        return [sys.executable, "-m", *self.command, "--port", str(port)]


def port_argument() -> int:
    """Return the port from the command line, for peers that bring their own server."""
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_known_args()[0].port
    return port


def on_uvicorn(module: str) -> tuple[str, ...]:
    """Return the command for an ASGI application: uvicorn with the fastest of everything, and no log."""
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return ("uvicorn", f"{__name__}.{module}:app", *options)


def on_granian(application: str) -> tuple[str, ...]:
    """Return the command for an ASGI application on Granian, with one worker on uvloop, and no log."""
    options = ("--interface", "asgi", "--workers", "1", "--loop", "uvloop", "--no-access-log", "--log-level", "warning")
    return ("granian", application, *options)


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "granian",
            "FastAPI, Granian",
            ("granian", "fastapi", "uvloop"),
            on_granian("benchmarks.load.apps_fastapi:app"),
        ),
        Peer("blacksheep", "BlackSheep, uvicorn", ("blacksheep", "uvicorn", "orjson"), on_uvicorn("blacksheep_app")),
        Peer("litestar", "Litestar, uvicorn", ("litestar", "uvicorn"), on_uvicorn("litestar_app"), more=("struct",)),
        Peer(
            "starlette",
            "Starlette, uvicorn",
            ("starlette", "uvicorn", "orjson"),
            on_uvicorn("starlette_app"),
            NO_INJECTION,
        ),
        Peer("falcon", "Falcon, uvicorn", ("falcon", "uvicorn", "orjson"), on_uvicorn("falcon_app"), NO_INJECTION),
        Peer("aiohttp", "aiohttp", ("aiohttp", "uvloop", "orjson"), (f"{__name__}.aiohttp_app",), NO_INJECTION),
        Peer(
            "robyn",
            "Robyn",
            ("robyn",),
            (f"{__name__}.robyn_app", "--processes", "1", "--workers", "1", "--log-level", "WARNING"),
            {"deps": "what it injects are constants, not results of functions of the request"},
        ),
        Peer("socketify", "socketify", ("socketify", "orjson"), (f"{__name__}.socketify_app",), NO_INJECTION),
    )
}
