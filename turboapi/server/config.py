"""The server's options.

Each option is declared once, as a field of `ServerConfig`. Command-line flags, keywords of `run()`, names of
environment variables, keys of pyproject.toml, their parsing and their checks are all read off these declarations (see
`options()`). Nothing but the standard library is imported here.
"""

import dataclasses
import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

ENV_PREFIX = "TURBOAPI_"
PYPROJECT = "pyproject.toml"
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
    """One option as the command line, the environment, pyproject.toml and the checks see it.

    `type` is `str`, `int`, `float` or `bool`; `choices` is empty unless the field is a `Literal`. An `optional` one may
    be None, `many` is for a tuple of values, which `separator` parts in an environment variable.
    `cli` is the name of the flag where that is not the option's; `common_env` is a variable that others go by, too;
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
    cli: str = ""
    optional: bool = False
    many: bool = False
    separator: str = ","
    common_env: str = ""

    @property
    def flag(self) -> str:
        """The command-line flag, `--port`."""
        return "--" + (self.cli or self.name).replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable, `TURBOAPI_PORT`."""
        return ENV_PREFIX + self.name.upper()

    def find_in(self, environ: Mapping[str, str]) -> str | None:
        """The variable that sets the option, None if there is none. An empty one of others does not."""
        if self.env in environ:
            return self.env
        return self.common_env if environ.get(self.common_env) else None

    @property
    def shown_default(self) -> str:
        """The default as the help shows it, empty where it says nothing."""
        if self.type is bool:
            return "on" if self.default else "off"
        if self.default in (None, ()):
            return ""
        return f"{self.default:g}" if self.type is float else str(self.default)

    def parse(self, text: str) -> Any:
        """The value that `text` (an environment variable) stands for.

        Raises ValueError whose message continues a sentence that begins with the option's name.
        """
        if self.many:
            return tuple(self.parse_one(part.strip()) for part in text.split(self.separator) if part.strip())
        return self.parse_one(text)

    def parse_one(self, text: str) -> Any:
        """The value, or one of the many, that `text` (a command-line argument) stands for. Raises as `parse` does."""
        if self.type is bool:
            return self._parse_bool(text)
        try:
            value = self.type(text)
        except ValueError:
            raise ValueError(f"must be {_KINDS[self.type]}, not {text!r}") from None
        return self._check_one(value)

    def check(self, value: Any) -> Any:
        """`value` if the option may have it, a whole number widened where a float is meant; ValueError otherwise."""
        if self.optional and value is None:
            return None
        if not self.many:
            return self._check_one(value)
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"must be a list, not {value!r}")
        return tuple(map(self._check_one, value))

    def _check_one(self, value: Any) -> Any:
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


_APPLICATION = "application"
_NETWORK = "network"
_TLS = "TLS (PEM files)"
_WORKERS = "workers"
_RELOAD = "reload"
_LOGGING = "logging"
_TIMEOUTS = "timeouts in seconds (0: no limit, or no waiting at the end)"
_LIMITS = "limits"
_WEBSOCKETS = "WebSockets (pings in seconds, 0: none)"
_HEADERS = "response headers"


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How to serve an application. Checked when made: a wrong value raises ConfigError with one clear line."""

    app_name: str | None = option(None, "object in the file APP", _APPLICATION, "NAME", cli="app")
    entrypoint: str | None = option(None, "module:attribute, where APP is left out", _APPLICATION, "APP")
    app_dir: str = option(".", "where to look for APP", _APPLICATION, "DIR")
    factory: bool = option(False, "APP is a function that makes it", _APPLICATION)
    alias: bool = option(False, "import TurboAPI as fastapi and starlette", _APPLICATION)
    env_file: str | None = option(None, "variables for the application, as .env", _APPLICATION, "FILE")
    lifespan: Literal["auto", "on", "off"] = option("auto", "start-up and shutdown events", _APPLICATION)

    host: str = option("127.0.0.1", "address or name to listen on", _NETWORK, "HOST")
    port: int = option(8000, "port, 0 for any free one", _NETWORK, "PORT", minimum=0, maximum=65535, common_env="PORT")
    uds: str | None = option(None, "Unix socket to listen on instead", _NETWORK, "PATH")
    uds_mode: str = option("666", "who may connect to it: its permissions", _NETWORK, "OCTAL")
    fd: int | None = option(None, "bound socket to use instead", _NETWORK, "N", minimum=0)
    backlog: int = option(2048, "connections that may wait for us", _NETWORK, "N", minimum=1)
    proxy_headers: bool = option(True, "believe X-Forwarded-* or Forwarded headers", _NETWORK)
    forwarded_allow_ips: str = option(
        "127.0.0.1,::1,unix", "of whom: networks, unix, *", _NETWORK, "LIST", common_env="FORWARDED_ALLOW_IPS"
    )
    health_path: str | None = option(None, "answers 200, or 503 when the server stops", _NETWORK, "PATH", protocol=True)
    metrics_port: int | None = option(
        None, "shows metrics of all workers, for Prometheus", _NETWORK, "PORT", minimum=0, maximum=65535
    )
    root_path: str = option("", "prefix a proxy takes off, such as /api", _NETWORK, "PATH", protocol=True)

    ssl_certfile: str | None = option(None, "certificate with its chain", _TLS, "FILE")
    ssl_keyfile: str | None = option(None, "its private key, if not in the same file", _TLS, "FILE")
    ssl_keyfile_password: str | None = option(None, "of the private key", _TLS, "TEXT")
    ssl_ca_certs: str | None = option(None, "authorities of clients' certificates", _TLS, "FILE")
    ssl_cert_reqs: int = option(0, "of clients: 0 none, 1 optional, 2 required", _TLS, "N", minimum=0, maximum=2)
    ssl_ciphers: str | None = option(None, "for TLS 1.2, in OpenSSL's notation", _TLS, "LIST")

    workers: int = option(
        1, "processes that serve", _WORKERS, "N", minimum=1, maximum=1024, common_env="WEB_CONCURRENCY"
    )
    preload: bool = option(False, "import APP once, for all workers", _WORKERS)

    reload: bool = option(False, "start anew when files change", _RELOAD)
    reload_dir: tuple[str, ...] = option((), "directory to watch", _RELOAD, "DIR")
    reload_include: tuple[str, ...] = option((), "files to watch beside *.py", _RELOAD, "GLOB")
    reload_exclude: tuple[str, ...] = option((), "files, directories not to watch", _RELOAD, "GLOB")

    log_level: Literal["critical", "error", "warning", "info", "debug"] = option(
        "info", "critical, error, warning, info, debug", _LOGGING, "LEVEL"
    )
    log_config: str | None = option(None, "of Python's logging: JSON, TOML, YAML, INI", _LOGGING, "FILE")
    access_log: bool = option(True, "one line for each request", _LOGGING)
    access_log_format: Literal["text", "json"] = option("text", "uvicorn's, or a JSON object in each line", _LOGGING)

    timeout_keep_alive: float = option(5.0, "between two requests", _TIMEOUTS, "S", minimum=0, protocol=True)
    timeout_header: float = option(20.0, "for a whole request head", _TIMEOUTS, "S", minimum=0, protocol=True)
    timeout_body: float = option(60.0, "between two pieces of a body", _TIMEOUTS, "S", minimum=0, protocol=True)
    timeout_write: float = option(
        60.0, "for a client to take some of an answer", _TIMEOUTS, "S", minimum=0, protocol=True
    )
    timeout_graceful_shutdown: float = option(30.0, "for running requests at the end", _TIMEOUTS, "S", minimum=0)
    shutdown_delay: float = option(0.0, "to go on after a signal to stop", _TIMEOUTS, "S", minimum=0)

    timeout_worker_healthcheck: float = option(
        30.0, "until a worker that is stuck is killed", _TIMEOUTS, "S", minimum=0
    )

    limit_concurrency: int = option(
        0, "connections at once, then 503; 0 for all", _LIMITS, "N", minimum=0, protocol=True
    )
    limit_connections: int = option(0, "connections at once, others wait; 0 for all", _LIMITS, "N", minimum=0)
    limit_max_requests: int = option(0, "requests, then stop; 0 to go on", _LIMITS, "N", minimum=0)
    limit_max_requests_jitter: int = option(0, "up to so many more, at random", _LIMITS, "N", minimum=0)
    limit_body: int = option(100 * MIB, "of a request body, 0 for none", _LIMITS, "BYTES", minimum=0, protocol=True)
    limit_header_size: int = option(65536, "of all headers together", _LIMITS, "BYTES", minimum=1, protocol=True)
    limit_header_count: int = option(128, "of headers in one request", _LIMITS, "N", minimum=1, protocol=True)

    ws_max_size: int = option(16 * MIB, "of a message from a client", _WEBSOCKETS, "BYTES", minimum=1)
    ws_max_queue: int = option(32, "messages that may wait for the application", _WEBSOCKETS, "N", minimum=1)
    ws_ping_interval: float = option(20.0, "between two pings", _WEBSOCKETS, "S", minimum=0)
    ws_ping_timeout: float = option(20.0, "for the pong to a ping", _WEBSOCKETS, "S", minimum=0)
    ws_per_message_deflate: bool = option(True, "compress messages", _WEBSOCKETS)

    header: tuple[str, ...] = option((), "send this as well", _HEADERS, "NAME:VALUE", separator="\n")
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
        _check_sockets(self)
        _check_tls(self)
        _check_proxies(self)
        self.headers()

    @classmethod
    def load(
        cls, environ: Mapping[str, str] | None = None, defaults: Mapping[str, Any] | None = None, /, **given: Any
    ) -> Self:
        """The configuration from `given` keywords, then variables of `environ` (os.environ by default): TURBOAPI_* and
        PORT, then the table `[tool.turboapi]` of the pyproject.toml in the working directory, then `defaults`, then the
        defaults of the options.

        Raises ConfigError for a value an option cannot have and TypeError for an unknown keyword.
        """
        _refuse_unknown(given)
        values = _from_environment(os.environ if environ is None else environ, given) | given
        return cls(**{**(defaults or {}), **_from_pyproject(values), **values})

    def protocol_options(self) -> dict[str, Any]:
        """The options a single connection needs, as keywords of the compiled protocol's `Settings`."""
        return {each.name: getattr(self, each.name) for each in options() if each.protocol} | {
            "headers": self.headers()
        }

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`header` as raw pairs. Raises ConfigError for one that cannot be sent."""
        return [_raw_header(text) for text in self.header]


@cache
def options() -> tuple[Option, ...]:
    """Every option of `ServerConfig`, in order of declaration."""
    types = get_type_hints(ServerConfig)
    return tuple(_describe(each, types[each.name]) for each in dataclasses.fields(ServerConfig))


def _describe(declared: dataclasses.Field[Any], kind: Any) -> Option:
    rules = dict(declared.metadata)
    choices: tuple[str, ...] = ()
    if get_origin(kind) is Literal:
        choices, kind = get_args(kind), str
        rules["metavar"] = rules["metavar"] or "|".join(choices)
    elif get_origin(kind) is tuple:
        rules["many"], kind = True, get_args(kind)[0]
    elif type(None) in get_args(kind):
        rules["optional"], kind = True, get_args(kind)[0]
    return Option(name=declared.name, type=kind, default=declared.default, choices=choices, **rules)


def _check_paths(config: ServerConfig) -> None:
    if not config.host:
        raise ConfigError("host must not be empty; 0.0.0.0 listens on every IPv4 address, :: on every IPv6 address")
    if config.root_path and not config.root_path.startswith("/"):
        raise ConfigError(f"root_path must begin with '/', not {config.root_path!r}")
    if config.health_path is not None and not config.health_path.startswith("/"):
        raise ConfigError(f"health_path must begin with '/', not {config.health_path!r}")
    for name, paths in (("app_dir", (config.app_dir,)), ("reload_dir", config.reload_dir)):
        for path in paths:
            if not os.path.isdir(path):
                raise ConfigError(f"{name} must be a directory, not {path!r}")
    for name in ("env_file", "log_config", "ssl_certfile", "ssl_keyfile", "ssl_ca_certs"):
        file = getattr(config, name)
        if file is not None and not os.path.isfile(file):
            raise ConfigError(f"{name} must be a file, not {file!r}")


def _check_sockets(config: ServerConfig) -> None:
    if config.uds is not None and config.fd is not None:
        raise ConfigError("uds and fd cannot be used together")
    if config.uds == "":
        raise ConfigError("uds must not be empty")
    if re.fullmatch("[0-7]{3,4}", config.uds_mode) is None:
        raise ConfigError(f"uds_mode must be three or four octal digits, not {config.uds_mode!r}")


def _check_proxies(config: ServerConfig) -> None:
    for name in filter(None, map(str.strip, config.forwarded_allow_ips.split(","))):
        try:
            if name not in ("*", "unix"):
                ipaddress.ip_network(name)
        except ValueError as exc:
            raise ConfigError(f"forwarded_allow_ips must be addresses, networks, unix or *: {exc}") from None


def _check_tls(config: ServerConfig) -> None:
    given = [name for name in ("ssl_keyfile", "ssl_ca_certs", "ssl_cert_reqs", "ssl_ciphers") if getattr(config, name)]
    if given and config.ssl_certfile is None:
        raise ConfigError(f"{given[0]} needs ssl_certfile")
    if config.ssl_cert_reqs and config.ssl_ca_certs is None:
        raise ConfigError("ssl_cert_reqs needs ssl_ca_certs, by which certificates are checked")


# RFC 9110, sections 5.1 and 5.5; those that frame a message are the server's own business.
_HEADER = re.compile(r"(?P<name>[-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]*(?P<value>[\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})


def _raw_header(text: str) -> tuple[bytes, bytes]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise ConfigError(f"header must be NAME:VALUE, not {text!r}")
    name = found["name"].lower()
    if name in _FRAMING:
        raise ConfigError(f"header must not be {name}, which the server decides about")
    return name.encode("ascii"), found["value"].encode("latin-1")


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in {each.name for each in options()}:
            raise TypeError(f"unknown server option {name!r}{_did_you_mean(name)}")


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, [each.name for each in options()], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _from_environment(environ: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the variables that are set, but for options that are given anyway."""
    values = {}
    for each in options():
        if each.name not in given and (variable := each.find_in(environ)) is not None:
            try:
                values[each.name] = each.parse(environ[variable])
            except ValueError as exc:
                raise ConfigError(f"{variable} {exc}") from None
    return values


def _from_pyproject(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the table `[tool.turboapi]`, but for options that are given anyway."""
    tools = _read_tools()
    table = {name.replace("-", "_"): value for name, value in _table(tools, "turboapi").items()}
    # The place where fastapi-cli looks for the application.
    if "entrypoint" not in table and "entrypoint" in (fallback := _table(tools, "fastapi")):
        table["entrypoint"] = fallback["entrypoint"]
    known = {each.name: each for each in options()}
    values = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"{PYPROJECT}: unknown server option {name!r}{_did_you_mean(name)}")
        if name not in given:
            try:
                values[name] = known[name].check(value)
            except ValueError as exc:
                raise ConfigError(f"{PYPROJECT}: {name} {exc}") from None
    return values


def _read_tools() -> dict[str, Any]:
    try:
        with open(PYPROJECT, "rb") as file:
            import tomllib  # takes its time, and most working directories of servers have no such file

            tools = tomllib.load(file).get("tool", {})
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{PYPROJECT} cannot be read: {exc.strerror}") from None
    except ValueError as exc:  # its syntax, or its encoding
        raise ConfigError(f"{PYPROJECT} is not valid TOML: {exc}") from None
    return tools if isinstance(tools, dict) else {}


def _table(tools: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = tools.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{PYPROJECT}: tool.{name} must be a table, not {found!r}")
    return found
