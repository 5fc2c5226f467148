"""The built-in server: `run(app)` serves an application from one process, or several.

`config` declares the options, `discovery` and `importer` find the application, `lifespan` starts and stops it,
`worker` serves it on the `sockets`, `websocket` is its part for WebSockets, `logging` says what happens. `runner` puts
these together; `supervisor` keeps several processes that do so (`supervised`), and `reload` does it again whenever a
file changes. `start` chooses between them.

Nothing of it is imported before somebody asks for it: an application under another server needs none of it.
"""

from typing import TYPE_CHECKING

from turboapi._lazy import lazy_attributes

if TYPE_CHECKING:
    from turboapi.server.config import ConfigError, ServerConfig, ServerError
    from turboapi.server.importer import ImportAppError, import_app, load_app
    from turboapi.server.lifespan import Lifespan, StartupError
    from turboapi.server.start import run, run_with_defaults
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
    "run_with_defaults",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "turboapi.server.config": ("ConfigError", "ServerConfig", "ServerError"),
        "turboapi.server.importer": ("ImportAppError", "import_app", "load_app"),
        "turboapi.server.lifespan": ("Lifespan", "StartupError"),
        "turboapi.server.start": ("run", "run_with_defaults"),
        "turboapi.server.worker": ("Server",),
    },
)
