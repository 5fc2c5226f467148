"""What the server prints: messages on stderr (logger "turboapi.error") and one line per request on stdout
(logger "turboapi.access").

The access log stays off the hot path: a request only appends a tuple to a list (`_speedups.access`). The event loop
writes what has gathered, in order, at most every `FLUSH_INTERVAL`: with the server's own handler as one write, with any
other handler, filter or formatter on the logger as ordinary log records.
"""

import asyncio
import contextlib
import http
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache, partial
from types import TracebackType
from typing import Any, Literal, TextIO

from turboapi import _speedups
from turboapi._speedups import json_lines, printable, text_lines
from turboapi.server.config import ConfigError, ServerConfig
from turboapi.server.extras import import_extra
from turboapi.server.tracebacks import format_short

ERROR_LOGGER = "turboapi.error"
ACCESS_LOGGER = "turboapi.access"
ACCESS_FORMAT = '%s - "%s %s HTTP/%s" %d'
FLUSH_INTERVAL = 0.1

_LEVEL_COLOURS = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 91}
_STATUS_COLOURS = {1: 97, 2: 32, 3: 33, 4: 31, 5: 91}
_BOLD = 1
_PHRASES = {status.value: f"{status.value} {status.phrase}" for status in http.HTTPStatus}

Client = tuple[Any, ...] | None
_Request = tuple[Any, ...]  # of `_speedups.AccessLog`
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def format_address(host: str, port: int | None) -> str:
    """`host:port`, with an IPv6 address in brackets (RFC 3986 section 3.2.2); only the path of a Unix socket."""
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _painted(text: str, colour: int | None) -> str:
    return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"


class LevelFormatter(logging.Formatter):
    """`INFO:     message`; the level in colour if `use_colors`, tracebacks without the frames of libraries if short."""

    def __init__(self, use_colors: bool = False, *, short_tracebacks: bool = False) -> None:
        super().__init__()
        self.use_colors = use_colors
        self.short_tracebacks = short_tracebacks

    def prefix(self, level: str) -> str:
        """The level, its colon, and the blanks after it that line all messages up."""
        colour = _LEVEL_COLOURS.get(level) if self.use_colors else None
        return f"{_painted(level, colour)}:{' ' * (9 - len(level))}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line for `record`; logging adds the traceback below it."""
        return self.prefix(record.levelname) + record.message

    def formatException(self, ei: _ExcInfo) -> str:
        """The traceback."""
        if self.short_tracebacks and ei[1] is not None:
            return format_short(ei[1])
        return super().formatException(ei)


class AccessFormatter(LevelFormatter):
    """`INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK`, for records whose arguments are those of ACCESS_FORMAT."""

    def __init__(self, use_colors: bool = False, *, short_tracebacks: bool = False) -> None:
        super().__init__(use_colors, short_tracebacks=short_tracebacks)
        start, end = _painted("\n", _BOLD).split("\n") if use_colors else ("", "")
        self._around = f'"{start}', f'{end}"'
        self._answers = {
            status: _painted(phrase, _STATUS_COLOURS.get(status // 100)) if use_colors else phrase
            for status, phrase in _PHRASES.items()
        }

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line for `record`."""
        if record.msg != ACCESS_FORMAT:  # somebody else's
            return super().formatMessage(record)
        return self.lines([record.args], record.levelname)[:-1]  # type: ignore[list-item]

    def lines(self, requests: Iterable[_Request], level: str = "INFO") -> str:
        """The lines for requests, each with its line break."""
        return text_lines(requests, self.prefix(level), *self._around, self._answers, format_client)

    def message(self, request: _Request) -> tuple[str, tuple[Any, ...]]:
        """Message and arguments of a log record."""
        client, method, target, version, status = request[:5]
        return ACCESS_FORMAT, (format_client(client), method, printable(target.decode("latin-1")), version, status)


class JSONAccessFormatter(logging.Formatter):
    """One JSON object in a line, which is the message of the record."""

    def lines(self, requests: Iterable[_Request]) -> str:
        """The lines for requests, each with its line break."""
        return json_lines(requests)

    def message(self, request: _Request) -> tuple[str, tuple[Any, ...]]:
        """Message and arguments of a log record."""
        return self.lines([request])[:-1], ()


_ACCESS_FORMATTERS = {"text": AccessFormatter, "json": JSONAccessFormatter}


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stdout` or `sys.stderr` is at the moment of writing."""

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name_of_stream = name
        super().__init__(getattr(sys, name))

    @property
    def stream(self) -> TextIO:
        """The stream as it is now."""
        found: TextIO = getattr(sys, self._name_of_stream)
        return found

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Ignored: the stream is looked up."""

    def write(self, text: str) -> None:
        """Writes lines that are formatted already."""
        # NOTE: a closed terminal or pipe must not stop the server, and there is nowhere else to say so.
        with self.lock or contextlib.nullcontext(), contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.flush()


def configure_logging(config: ServerConfig) -> None:
    """Sets the server's two loggers up: level, and handlers where the program has not given them any.

    With `config.log_config` that file says everything, and is applied once. Raises ConfigError if it does not work.
    """
    if config.log_config is not None:
        _apply_file(config.log_config)
        return
    _configure(ERROR_LOGGER, config, "stderr", partial(LevelFormatter, short_tracebacks=config.reload))
    as_json = config.access_log_format == "json"
    _configure(ACCESS_LOGGER, config, "stdout", (lambda _: JSONAccessFormatter()) if as_json else AccessFormatter)


def _configure(
    name: str,
    config: ServerConfig,
    stream: Literal["stdout", "stderr"],
    make_formatter: Callable[[bool], logging.Formatter],
) -> None:
    logger = logging.getLogger(name)
    logger.setLevel(config.log_level.upper())
    if logger.handlers or logging.getLogger("turboapi").handlers:
        return
    handler = ConsoleHandler(stream)
    handler.setFormatter(make_formatter(_wants_colors(handler.stream)))
    logger.addHandler(handler)
    logger.propagate = False


@cache
def _apply_file(path: str) -> None:
    import logging.config  # takes its time, as tomllib below, and is rarely needed

    try:
        if path.endswith(".ini") or not path.endswith(tuple(_READERS)):
            logging.config.fileConfig(path, disable_existing_loggers=False)
        else:
            logging.config.dictConfig(_READERS[os.path.splitext(path)[1]](path))
    except Exception as exc:  # whatever the handlers that it names may raise
        reason = str(exc.__cause__ or exc).partition("\n")[0]
        raise ConfigError(f"log_config: {path!r} cannot be used: {reason}") from None


def _read_json(path: str) -> Any:
    with open(path, "rb") as file:
        return json.load(file)


def _read_toml(path: str) -> Any:
    import tomllib

    with open(path, "rb") as file:
        return tomllib.load(file)


def _read_yaml(path: str) -> Any:
    yaml = import_extra("yaml", "YAML")
    with open(path, "rb") as file:
        return yaml.safe_load(file)


_READERS = {".json": _read_json, ".toml": _read_toml, ".yaml": _read_yaml, ".yml": _read_yaml}


def _wants_colors(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class AccessLog:
    """Gathers requests and writes them from the event loop, in the format that the option of this name says.

    `requests` is what the protocol is given.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, format: Literal["text", "json"] = "text") -> None:
        self._loop = loop
        self._logger = logging.getLogger(ACCESS_LOGGER)
        self._formatter = _ACCESS_FORMATTERS[format]()
        self.requests = _speedups.AccessLog(self._on_first, detailed=format == "json")

    @property
    def enabled(self) -> bool:
        """Whether anything would be printed at all."""
        return self._logger.isEnabledFor(logging.INFO) and self._logger.hasHandlers()

    def _on_first(self) -> None:
        self._loop.call_later(FLUSH_INTERVAL, self.flush)

    def flush(self) -> None:
        """Writes all that has gathered."""
        requests = self.requests.take()
        handler = self._own_handler()
        if handler is None:
            self._log(requests)
        elif requests:
            handler.write(handler.formatter.lines(requests))  # type: ignore[union-attr]

    def _own_handler(self) -> ConsoleHandler | None:
        """The handler `configure_logging` made, if nothing else wants to see the records."""
        logger = self._logger
        if len(logger.handlers) != 1 or logger.filters or logger.propagate:
            return None
        handler = logger.handlers[0]
        if not isinstance(handler, ConsoleHandler) or type(handler.formatter) is not type(self._formatter):
            return None
        return None if handler.filters or handler.level > logging.INFO else handler

    def _log(self, requests: list[_Request]) -> None:
        offset = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        for request in requests:
            message, args = self._formatter.message(request)
            record = self._logger.makeRecord(ACCESS_LOGGER, logging.INFO, "", 0, message, args, None)
            record.created = offset + request[5]
            record.msecs = record.created % 1 * 1000
            self._logger.handle(record)


def format_client(client: Client) -> str:
    """The address of a client, "-" for one without; whatever a proxy calls it, it is printable and has no blank."""
    return printable(format_address(client[0], client[1])).replace(" ", "\\x20") if client else "-"
