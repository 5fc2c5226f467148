"""One server process from its configuration to its exit code."""

import socket
import sys
from collections.abc import Sequence
from typing import Any

from turboapi.server.config import ServerConfig, ServerError
from turboapi.server.environment import load_environment
from turboapi.server.importer import load_app
from turboapi.server.logging import configure_logging
from turboapi.server.tracebacks import format_short
from turboapi.server.worker import Server


def load(app: Any, config: ServerConfig) -> Any:
    """The application that `app` is or names, in a process that is made ready for it. Raises ServerError."""
    configure_logging(config)
    load_environment(config)
    return load_app(app, config)


def prepare(app: Any, config: ServerConfig) -> Server:
    """The server of `app`, an application or its name. Raises ServerError when it cannot be loaded."""
    return Server(load(app, config), config)


def serve(app: Any, config: ServerConfig, sockets: Sequence[socket.socket] | None = None) -> int:
    """Serves `app` until it is stopped, and returns the exit code. What prevents the start is reported on stderr."""
    try:
        return prepare(app, config).run(sockets)
    except ServerError as exc:
        report(exc)
        return exc.exit_code


def report(error: ServerError) -> None:
    """Prints `error` on stderr in one line, after the traceback of the exception in user code behind it, if any."""
    if error.__cause__ is not None:
        print(format_short(error.__cause__), file=sys.stderr)
    print(f"Error: {error}", file=sys.stderr)
