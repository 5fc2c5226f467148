import asyncio
import io
import json
import logging
import re
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn.logging

from turboapi.server import ConfigError, ServerConfig
from turboapi.server import logging as server_logging
from turboapi.server.logging import (
    ACCESS_FORMAT,
    AccessFormatter,
    AccessLog,
    ConsoleHandler,
    JSONAccessFormatter,
    LevelFormatter,
    configure_logging,
    format_address,
)

NAMES = ("turboapi", "turboapi.error", "turboapi.access")
COLOUR = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture(autouse=True)
def loggers():
    """The server's loggers as they are before anybody has configured them; restored afterwards."""
    found = {name: logging.getLogger(name) for name in NAMES}
    before = {name: (each.level, each.propagate, each.handlers[:]) for name, each in found.items()}
    for each in found.values():
        each.setLevel(logging.NOTSET)
        each.propagate, each.handlers[:] = True, []
    yield found
    for name, each in found.items():
        each.setLevel(before[name][0])
        each.propagate, each.handlers[:] = before[name][1:]


def record(level, message, *args, exc_info=None):
    return logging.LogRecord("turboapi.error", level, "", 0, message, args, exc_info)


def access_record(*request):
    return record(logging.INFO, ACCESS_FORMAT, *request)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL])
@pytest.mark.parametrize("use_colors", [False, True])
def test_messages_look_like_uvicorns(level, use_colors):
    entry = record(level, "hello %s", "world")
    line = LevelFormatter(use_colors).format(entry)
    assert line == uvicorn.logging.ColourizedFormatter("%(levelprefix)s %(message)s", use_colors=use_colors).format(
        entry
    )
    assert ("\x1b[" in line) == use_colors


@pytest.mark.parametrize("status", [100, 200, 307, 404, 422, 500, 299])
@pytest.mark.parametrize("use_colors", [False, True])
def test_access_lines_look_like_uvicorns(status, use_colors):
    entry = access_record("127.0.0.1:5000", "GET", "/items?q=1", "1.1", status)
    line = AccessFormatter(use_colors).format(entry)
    theirs = uvicorn.logging.AccessFormatter(
        '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s', use_colors=use_colors
    )
    assert COLOUR.sub("", line) == COLOUR.sub("", theirs.format(entry))
    assert ("\x1b[" in line) == use_colors


def test_the_access_formatter_leaves_other_messages_alone():
    assert AccessFormatter().format(record(logging.INFO, "%s is %d", "one", 1)) == "INFO:     one is 1"
    assert AccessFormatter().format(record(logging.WARNING, "nothing")) == "WARNING:  nothing"


@pytest.mark.parametrize("request_", [(), ("1.2.3.4:5", "GET"), ("1.2.3.4:5", 1, "/", "1.1", 200), {"a": 1}, None])
def test_what_is_no_request_has_no_line(request_):
    with pytest.raises((TypeError, ValueError)):
        AccessFormatter().lines([request_])
    with pytest.raises((TypeError, ValueError)):
        JSONAccessFormatter().lines([request_])


def test_an_access_line():
    line = AccessFormatter().format(access_record("127.0.0.1:5000", "GET", "/", "1.1", 200))
    assert line == 'INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK'


def test_a_traceback_follows_its_message():
    try:
        raise ValueError("broken")
    except ValueError as exc:
        entry = record(logging.ERROR, "oh", exc_info=(type(exc), exc, exc.__traceback__))
    first, *others = LevelFormatter().format(entry).splitlines()
    assert first == "ERROR:    oh"
    assert others[-1] == "ValueError: broken"


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("example.org", "example.org:80")]
)
def test_addresses(host, text):
    assert format_address(host, 80) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "colours"),
    [
        (io.StringIO, {}, False),
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
    ],
)
def test_colours_only_for_a_terminal_that_wants_them(monkeypatch, stream, environment, colours):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr", stream())
    configure_logging(ServerConfig())
    logging.getLogger("turboapi.error").info("hello")
    assert ("\x1b[" in server_logging.sys.stderr.getvalue()) == colours


def test_messages_go_to_stderr_and_requests_to_stdout(capsys):
    configure_logging(ServerConfig())
    logging.getLogger("turboapi.error").info("hello")
    logging.getLogger("turboapi.access").info(ACCESS_FORMAT, "1.2.3.4:5", "GET", "/", "1.1", 204)
    assert capsys.readouterr() == ('INFO:     1.2.3.4:5 - "GET / HTTP/1.1" 204 No Content\n', "INFO:     hello\n")


def test_the_level_hides_what_is_below_it(capsys):
    configure_logging(ServerConfig(log_level="warning"))
    logging.getLogger("turboapi.error").info("no")
    logging.getLogger("turboapi.error").warning("yes")
    assert capsys.readouterr().err == "WARNING:  yes\n"


def test_tracebacks_are_short_where_the_application_is_being_written(capsys):
    for config, kept in ((ServerConfig(), True), (ServerConfig(reload=True), False)):
        logging.getLogger("turboapi.error").handlers.clear()
        configure_logging(config)
        try:
            json.loads("{")
        except ValueError as exc:
            logging.getLogger("turboapi.error").error("failed", exc_info=exc)
        printed = capsys.readouterr().err
        assert "in test_tracebacks" in printed and ("in raw_decode" in printed) == kept


# --- a file of the user's ---------------------------------------------------------------------------------------------

JSON = """{"version": 1, "disable_existing_loggers": false,
 "formatters": {"f": {"format": "own %(message)s"}},
 "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f", "stream": "ext://sys.stderr"}},
 "loggers": {"turboapi": {"level": "WARNING", "handlers": ["h"], "propagate": false}}}"""
TOML = """version = 1
disable_existing_loggers = false
[formatters.f]
format = "own %(message)s"
[handlers.h]
class = "logging.StreamHandler"
formatter = "f"
stream = "ext://sys.stderr"
[loggers.turboapi]
level = "WARNING"
handlers = ["h"]
propagate = false"""
INI = """[loggers]
keys=root,t
[handlers]
keys=h
[formatters]
keys=f
[formatter_f]
format=own %(message)s
[handler_h]
class=StreamHandler
formatter=f
args=(sys.stderr,)
[logger_root]
level=WARNING
handlers=
[logger_t]
qualname=turboapi
level=WARNING
handlers=h
propagate=0"""


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", JSON), ("a.toml", TOML), ("a.yaml", JSON), ("a.yml", JSON), ("a.ini", INI), ("logging.conf", INI)],
)
def test_a_file_says_everything(tmp_path, capsys, root_logger, name, text):
    (tmp_path / name).write_text(text)
    config = ServerConfig(log_config=str(tmp_path / name), log_level="debug")
    for _ in range(2):
        configure_logging(config)
    logging.getLogger("turboapi.error").info("hidden")
    logging.getLogger("turboapi.error").warning("shown")
    logging.getLogger("turboapi.access").warning("shown, too")
    assert capsys.readouterr() == ("", "own shown\nown shown, too\n")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("a.json", "{}", "dictionary doesn't specify a version"),
        ("a.json", "[]", ""),
        ("a.toml", "=", "Invalid statement (at line 1, column 1)"),
        ("a.yaml", "a: [", "while parsing a flow node"),
        ("a.ini", "", ""),
        ("a.json", JSON.replace("StreamHandler", "NoHandler"), ""),
        ("a.json", b"\xff\xfe\x00", ""),
    ],
)
def test_a_file_that_does_not_work(tmp_path, name, text, reason):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        configure_logging(ServerConfig(log_config=str(file)))
    message = str(caught.value)
    assert message.startswith(f"log_config: {str(file)!r} cannot be used: {reason}")
    assert "\n" not in message and not message.endswith(": ")


def test_yaml_without_pyyaml(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "a.yaml").write_text(JSON)
    with pytest.raises(ConfigError, match=r'cannot be used: YAML needs pyyaml: pip install "turboapi\[schemas\]"$'):
        configure_logging(ServerConfig(log_config=str(tmp_path / "a.yaml")))


def test_configuring_twice_prints_once(capsys):
    configure_logging(ServerConfig())
    configure_logging(ServerConfig(log_level="debug"))
    logging.getLogger("turboapi.error").debug("hello")
    assert capsys.readouterr().err == "DEBUG:    hello\n"


@pytest.mark.parametrize("name", ["turboapi", "turboapi.error"])
def test_handlers_of_the_program_are_respected(loggers, name, capsys):
    stream = io.StringIO()
    loggers[name].addHandler(logging.StreamHandler(stream))
    configure_logging(ServerConfig())
    logging.getLogger("turboapi.error").info("hello")
    assert (stream.getvalue(), capsys.readouterr().err) == ("hello\n", "")


REQUESTS = [(("10.0.0.1", 1000 + n), "GET", b"/%d" % n, "1.1", 200) for n in range(5)]
LINES = "".join(f'INFO:     10.0.0.1:{1000 + n} - "GET /{n} HTTP/1.1" 200 OK\n' for n in range(5))


def note(log, client, method, target, version, status, took=0.0, request_id=None):
    log.requests.add(client, method, target, version, status, time.monotonic() - took, request_id)


def logged(*requests, flush=True, format="text"):
    """Notes the requests on a running loop; then flushes, or waits for the loop to do so."""

    async def main():
        log = AccessLog(asyncio.get_running_loop(), format)
        for request in requests:
            note(log, *request)
        if flush:
            log.flush()
        else:
            await asyncio.sleep(server_logging.FLUSH_INTERVAL * 3)

    asyncio.run(main())


@pytest.mark.parametrize("flush", [True, False])
def test_requests_are_written_in_order(capsys, flush):
    configure_logging(ServerConfig())
    logged(*REQUESTS, flush=flush)
    assert capsys.readouterr().out == LINES


def test_requests_leave_in_one_write(monkeypatch):
    configure_logging(ServerConfig())
    writes = []
    monkeypatch.setattr(ConsoleHandler, "write", lambda self, text: writes.append(text))
    logged(*REQUESTS)
    assert writes == [LINES]


def test_nothing_is_written_before_the_flush_and_nothing_twice(capsys):
    configure_logging(ServerConfig())

    async def main():
        log = AccessLog(asyncio.get_running_loop())
        note(log, *REQUESTS[0])
        assert capsys.readouterr().out == ""
        log.flush()
        assert capsys.readouterr().out != ""
        log.flush()
        await asyncio.sleep(server_logging.FLUSH_INTERVAL * 2)
        assert capsys.readouterr().out == ""

    asyncio.run(main())


class Keeper(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def test_other_handlers_get_ordinary_records(loggers):
    keeper = Keeper()
    loggers["turboapi.access"].addHandler(keeper)
    configure_logging(ServerConfig())
    logged(*REQUESTS)
    assert [each.args for each in keeper.records] == [
        (f"10.0.0.1:{1000 + n}", "GET", f"/{n}", "1.1", 200) for n in range(5)
    ]
    assert keeper.records[0].getMessage() == '10.0.0.1:1000 - "GET /0 HTTP/1.1" 200'
    assert [each.created for each in keeper.records] == sorted(each.created for each in keeper.records)


def test_a_second_handler_sees_the_same_lines(loggers, capsys):
    configure_logging(ServerConfig())
    keeper = Keeper()
    loggers["turboapi.access"].addHandler(keeper)
    logged(*REQUESTS)
    assert capsys.readouterr().out == LINES
    assert len(keeper.records) == 5


@pytest.mark.parametrize("place", ["logger", "handler"])
def test_filters_are_asked(loggers, capsys, place):
    configure_logging(ServerConfig())
    logger = loggers["turboapi.access"]
    target = logger if place == "logger" else logger.handlers[0]
    target.addFilter(lambda entry: entry.args[2] != "/3")
    logged(*REQUESTS)
    target.filters.clear()
    assert capsys.readouterr().out == LINES.replace('INFO:     10.0.0.1:1003 - "GET /3 HTTP/1.1" 200 OK\n', "")


def test_another_formatter_is_used(loggers, capsys):
    configure_logging(ServerConfig())
    loggers["turboapi.access"].handlers[0].setFormatter(logging.Formatter("%(message)s!"))
    logged(REQUESTS[0])
    assert capsys.readouterr().out == '10.0.0.1:1000 - "GET /0 HTTP/1.1" 200!\n'


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        (("::1", 7), "[::1]:7"),
        (None, "-"),
        (("/run/app.sock", None), "/run/app.sock"),
        (('1.2.3.4 - "GET /\x9b2J', 0), '1.2.3.4\\x20-\\x20"GET\\x20/\\x9b2J:0'),  # what a proxy may pass on
    ],
)
def test_clients(capsys, client, shown):
    configure_logging(ServerConfig())
    logged((client, "GET", b"/", "1.0", 404))
    assert capsys.readouterr().out == f'INFO:     {shown} - "GET / HTTP/1.0" 404 Not Found\n'


@pytest.mark.parametrize("target", ["/\x1b[2J", "/\x9b2J", "/a\nb", "/caf\xe9", "/\x7f"])
def test_a_target_cannot_command_the_terminal(capsys, target):
    configure_logging(ServerConfig())
    logged((("10.0.0.1", 1), "GET", target.encode("latin-1"), "1.1", 200))
    line = capsys.readouterr().out
    assert line.isascii() and line[:-1].isprintable()
    assert line.encode().decode("unicode_escape") == f'INFO:     10.0.0.1:1 - "GET {target} HTTP/1.1" 200 OK\n'


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        ((("10.0.0.1", 1), "GET", b"/a%20b", "1.1", 200), {"client": "10.0.0.1", "path": "/a%20b"}),
        ((("::1", 1), "PUT", b"/?", "1.1", 404), {"client": "::1", "path": "/", "query": ""}),
        (
            (("/run/app.sock", None), "GET", b"/?a=b?c", "1.0", 299),
            {"client": "/run/app.sock", "path": "/", "query": "a=b?c"},
        ),
        ((None, "GET", b"*", "1.1", 500, 0.0, "made-1"), {"client": None, "path": "*", "request_id": "made-1"}),
        ((None, "GET", b"/", "1.1", 500, 0.0, b"sent-1"), {"client": None, "path": "/", "request_id": "sent-1"}),
        (
            (('1.2.3.4","status":"\x9b', 0), "GET", b'/"\\?"\\', "1.1", 200, 0.0, b'"\\'),
            {"client": '1.2.3.4","status":"\x9b', "path": '/"\\', "query": '"\\', "request_id": '"\\'},
        ),
        (
            (None, "GET", b"/\x1b\n\xe9?\x7f\x00", "1.1", 200, 0.0, b"\x1b\xff"),
            {"client": None, "path": "/\x1b\n\xe9", "query": "\x7f\x00", "request_id": "\x1b\xff"},
        ),
    ],
)
def test_requests_as_json(capsys, request_, shown):
    configure_logging(ServerConfig(access_log_format="json"))
    before = datetime.now(UTC)
    logged(request_, format="json")
    line = capsys.readouterr().out
    assert line.endswith("}\n") and line[:-1].isascii() and line[:-1].isprintable()
    fields = json.loads(line)
    moment = datetime.fromisoformat(fields.pop("time"))
    assert abs(moment - before) < timedelta(minutes=1) and moment.tzinfo is not None
    assert fields.pop("duration_ms") >= 0
    assert fields == {"level": "info", "method": request_[1], "status": request_[4], **shown}


def test_the_duration(capsys):
    configure_logging(ServerConfig(access_log_format="json"))
    logged(*[(None, "GET", b"/", "1.1", 200, took) for took in (0.0, 7, 3600.25)], format="json")
    durations = [json.loads(line)["duration_ms"] for line in capsys.readouterr().out.splitlines()]
    assert durations == pytest.approx([0, 7000, 3_600_250], abs=5000)
    assert durations == [round(each, 3) for each in durations]


def test_json_leaves_in_one_write_and_in_order(monkeypatch):
    configure_logging(ServerConfig(access_log_format="json"))
    writes = []
    monkeypatch.setattr(ConsoleHandler, "write", lambda self, text: writes.append(text))
    logged(*REQUESTS, format="json")
    assert [json.loads(line)["path"] for line in writes.pop().splitlines()] == [f"/{n}" for n in range(5)]
    assert writes == []


def test_other_handlers_get_json_as_the_message(loggers):
    keeper = Keeper()
    loggers["turboapi.access"].addHandler(keeper)
    configure_logging(ServerConfig(access_log_format="json"))
    logged(*REQUESTS, (None, "GET", b"/%s%d", "1.1", 200), format="json")
    assert [json.loads(each.getMessage())["path"] for each in keeper.records] == [*(f"/{n}" for n in range(5)), "/%s%d"]


def test_a_closed_stream_stops_nobody(monkeypatch):
    configure_logging(ServerConfig())
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)
    logged(*REQUESTS)


def test_it_knows_whether_anybody_listens(loggers):
    with asyncio.Runner() as runner:
        log = AccessLog(runner.get_loop())
        configure_logging(ServerConfig(log_level="info"))
        assert log.enabled
        configure_logging(ServerConfig(log_level="warning"))
        assert not log.enabled
        configure_logging(ServerConfig(log_level="info"))
        loggers["turboapi.access"].handlers.clear()
        assert not log.enabled
