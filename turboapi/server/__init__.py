"""The built-in server: `run(app)` serves an application from one process.

`config` declares the options, `importer` finds the application, `lifespan` starts and stops it, `worker` serves it,
`websocket` is its part for WebSockets, `logging` says what happens.
"""

import inspect
import sys
import traceback
from typing import Any

from turboapi.server.config import ConfigError, ServerConfig, ServerError, options
from turboapi.server.importer import ImportAppError, import_app, load_app
from turboapi.server.lifespan import Lifespan, StartupError
from turboapi.server.logging import configure_logging
from turboapi.server.worker import Server

__all__ = [
    "ConfigError",
    "ImportAppError",
    "Lifespan",
    "Server",
    "ServerConfig",
    "ServerError",
    "StartupError",
    "import_app",
    "load_app",
    "run",
]


def run(app: Any, **options: Any) -> None:
    """Serves `app`, an ASGI application or its name `"module:attribute"`, until a signal stops it.

    `options` are the fields of `ServerConfig`; those not given come from TURBOAPI_* environment variables. What
    prevents the start is printed on stderr, below the traceback if the application's own code failed. Raises
    SystemExit with a code that is not 0 then, and when the application's shutdown failed; TypeError for an option
    that does not exist.
    """
    try:
        config = ServerConfig.load(**options)
        configure_logging(config.log_level)
        code = Server(load_app(app, config), config).run()
    except ServerError as exc:
        code = exc.exit_code
        report(exc)
    if code:
        raise SystemExit(code)


def report(error: ServerError) -> None:
    """Prints `error` on stderr in one line, after the traceback of the exception in user code behind it, if any."""
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__, file=sys.stderr)
    print(f"Error: {error}", file=sys.stderr)


def _signature() -> inspect.Signature:
    """The signature of `run` with every option spelled out, for help() and editors."""
    app = inspect.Parameter("app", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    keywords = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
        for each in options()
    ]
    return inspect.Signature([app, *keywords], return_annotation=None)


run.__signature__ = _signature()  # type: ignore[attr-defined]
