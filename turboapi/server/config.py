"""The server's options.

Each option is declared once, as a field of `ServerConfig`. Command-line flags, keywords of `run()`, names of
environment variables, their parsing and their checks are all read off these declarations (see `options()`).
"""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

ENV_PREFIX = "TURBOAPI_"
MIB = 1024 * 1024

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class ServerError(Exception):
    """Why the server cannot start, in one line. The exit code of the process is `exit_code`."""

    exit_code = 1


class ConfigError(ServerError, ValueError):
    """An option has a value it cannot have, or an argument is malformed: a mistake in how the server was called."""

    exit_code = 2


@dataclass(frozen=True)
class Option:
    """One option as the command line, the environment and the checks see it.

    `type` is `str`, `int`, `float` or `bool`; `choices` is empty unless the field is a `Literal`.
    `protocol` says that the option belongs to a connection and is handed on to the compiled protocol.
    """

    name: str
    type: type
    default: Any
    help: str
    group: str
    metavar: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    protocol: bool = False

    @property
    def flag(self) -> str:
        """The command-line flag, `--port`."""
        return "--" + self.name.replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable, `TURBOAPI_PORT`."""
        return ENV_PREFIX + self.name.upper()

    def parse(self, text: str) -> Any:
        """The value that `text` (a command-line argument, an environment variable) stands for.

        Raises ValueError whose message continues a sentence that begins with the option's name.
        """
        if self.type is bool:
            return self._parse_bool(text)
        try:
            value = self.type(text)
        except ValueError:
            raise ValueError(f"must be {_KINDS[self.type]}, not {text!r}") from None
        return self.check(value)

    def check(self, value: Any) -> Any:
        """`value` if the option may have it, a whole number widened where a float is meant; ValueError otherwise."""
        if self.type is float and type(value) is int:
            value = float(value)
        if type(value) is not self.type:
            raise ValueError(f"must be {_KINDS[self.type]}, not {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {value!r}")
        self._check_range(value)
        return value

    def _parse_bool(self, text: str) -> bool:
        lowered = text.lower()
        if lowered not in _TRUE | _FALSE:
            raise ValueError(f"must be true or false, not {text!r}")
        return lowered in _TRUE

    def _check_range(self, value: Any) -> None:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and not low <= value <= high:
            raise ValueError(f"must be between {low:g} and {high:g}, not {value}")
        # NOTE: written as "not ... >=" so that a NaN is refused as well.
        if low is not None and not value >= low:
            raise ValueError(f"must be at least {low:g}, not {value}")


_KINDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def option(default: Any, help: str, group: str, metavar: str = "", **rules: Any) -> Any:
    """A field of `ServerConfig`: its default and what `Option` says about it beyond its name and type."""
    return field(default=default, metadata={"help": help, "group": group, "metavar": metavar, **rules})


_NETWORK = "network"
_APPLICATION = "application"
_LOGGING = "logging"
_TIMEOUTS = "timeouts in seconds (0: no limit, or no waiting at the end)"
_LIMITS = "limits"
_WEBSOCKETS = "WebSockets (pings in seconds, 0: none)"
_HEADERS = "response headers"


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How to serve an application. Checked when made: a wrong value raises ConfigError with one clear line."""

    host: str = option("127.0.0.1", "address or name to listen on", _NETWORK, "HOST")
    port: int = option(8000, "port, 0 for any free one", _NETWORK, "PORT", minimum=0, maximum=65535)
    backlog: int = option(2048, "connections that may wait for us", _NETWORK, "N", minimum=1)
    root_path: str = option("", "prefix a proxy takes off, such as /api", _NETWORK, "PATH", protocol=True)

    app_dir: str = option(".", "where to import APP from", _APPLICATION, "DIR")
    factory: bool = option(False, "APP is a function that makes it", _APPLICATION)
    lifespan: Literal["auto", "on", "off"] = option("auto", "start-up and shutdown events", _APPLICATION)

    log_level: Literal["critical", "error", "warning", "info", "debug"] = option(
        "info", "critical, error, warning, info, debug", _LOGGING, "LEVEL"
    )
    access_log: bool = option(True, "one line for each request", _LOGGING)

    timeout_keep_alive: float = option(5.0, "between two requests", _TIMEOUTS, "S", minimum=0, protocol=True)
    timeout_header: float = option(20.0, "for a whole request head", _TIMEOUTS, "S", minimum=0, protocol=True)
    timeout_body: float = option(60.0, "between two pieces of a body", _TIMEOUTS, "S", minimum=0, protocol=True)
    timeout_graceful_shutdown: float = option(30.0, "for running requests at the end", _TIMEOUTS, "S", minimum=0)

    limit_body: int = option(100 * MIB, "of a request body, 0 for none", _LIMITS, "BYTES", minimum=0, protocol=True)
    limit_header_size: int = option(65536, "of all headers together", _LIMITS, "BYTES", minimum=1, protocol=True)
    limit_header_count: int = option(128, "of headers in one request", _LIMITS, "N", minimum=1, protocol=True)

    ws_max_size: int = option(16 * MIB, "of a message from a client", _WEBSOCKETS, "BYTES", minimum=1)
    ws_max_queue: int = option(32, "messages that may wait for the application", _WEBSOCKETS, "N", minimum=1)
    ws_ping_interval: float = option(20.0, "between two pings", _WEBSOCKETS, "S", minimum=0)
    ws_ping_timeout: float = option(20.0, "for the pong to a ping", _WEBSOCKETS, "S", minimum=0)
    ws_per_message_deflate: bool = option(True, "compress messages", _WEBSOCKETS)

    server_header: bool = option(True, "send Server", _HEADERS, protocol=True)
    date_header: bool = option(True, "send Date", _HEADERS, protocol=True)

    def __post_init__(self) -> None:
        for each in options():
            try:
                # A frozen dataclass has no other way to store the widened number.
                object.__setattr__(self, each.name, each.check(getattr(self, each.name)))
            except ValueError as exc:
                raise ConfigError(f"{each.name} {exc}") from None
        _check_paths(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, /, **given: Any) -> Self:
        """The configuration from `given` keywords, then TURBOAPI_* variables (os.environ by default), then defaults.

        Raises ConfigError for a value an option cannot have and TypeError for an unknown keyword.
        """
        _refuse_unknown(given)
        return cls(**{**_from_environment(os.environ if environ is None else environ, given), **given})

    def protocol_options(self) -> dict[str, Any]:
        """The options a single connection needs, as keywords of the compiled protocol's `Settings`."""
        return {each.name: getattr(self, each.name) for each in options() if each.protocol}


@cache
def options() -> tuple[Option, ...]:
    """Every option of `ServerConfig`, in order of declaration."""
    types = get_type_hints(ServerConfig)
    return tuple(_describe(each, types[each.name]) for each in dataclasses.fields(ServerConfig))


def _describe(declared: dataclasses.Field[Any], kind: Any) -> Option:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    rules = dict(declared.metadata)
    if choices and not rules["metavar"]:
        rules["metavar"] = "|".join(choices)
    return Option(name=declared.name, type=str if choices else kind, default=declared.default, choices=choices, **rules)


def _check_paths(config: ServerConfig) -> None:
    if not config.host:
        raise ConfigError("host must not be empty; 0.0.0.0 listens on every IPv4 address, :: on every IPv6 address")
    if config.root_path and not config.root_path.startswith("/"):
        raise ConfigError(f"root_path must begin with '/', not {config.root_path!r}")
    if not os.path.isdir(config.app_dir):
        raise ConfigError(f"app_dir must be a directory, not {config.app_dir!r}")


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    names = [each.name for each in options()]
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"unknown server option {name!r}{hint}")


def _from_environment(environ: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the variables that are set, but for options that are given anyway."""
    values = {}
    for each in options():
        if each.name not in given and each.env in environ:
            try:
                values[each.name] = each.parse(environ[each.env])
            except ValueError as exc:
                raise ConfigError(f"{each.env} {exc}") from None
    return values
