import ast
import dataclasses
import sys

import pytest
import uvicorn

import turboapi.server.config
from turboapi.server.config import ConfigError, ServerConfig, options

BY_NAME = {each.name: each for each in options()}


def test_every_field_is_an_option_that_the_help_can_describe():
    assert list(BY_NAME) == [each.name for each in dataclasses.fields(ServerConfig)]
    for each in options():
        assert each.help and each.group
        assert each.metavar or each.type is bool
        assert not (each.many and each.optional)
        assert each.check(each.default) == each.default


def test_the_declarations_need_nothing_but_the_standard_library():
    with open(turboapi.server.config.__file__) as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_flags_and_variables_are_derived_from_the_name():
    option = BY_NAME["timeout_keep_alive"]
    assert (option.flag, option.env) == ("--timeout-keep-alive", "TURBOAPI_TIMEOUT_KEEP_ALIVE")
    assert (BY_NAME["app_name"].flag, BY_NAME["app_name"].env) == ("--app", "TURBOAPI_APP_NAME")


def test_the_documented_defaults():
    config = ServerConfig()
    assert (config.host, config.port, config.backlog) == ("127.0.0.1", 8000, 2048)
    assert (config.lifespan, config.log_level, config.access_log) == ("auto", "info", True)
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (5.0, 30.0)


def test_protocol_options_are_the_settings_of_a_connection():
    from turboapi._speedups import Settings

    given = ServerConfig(limit_header_count=7, root_path="/api").protocol_options()
    assert given["limit_header_count"] == 7 and given["root_path"] == "/api"
    Settings(**given)  # it knows them all
    with pytest.raises(TypeError):
        Settings(**given, backlog=1)


def test_defaults_of_a_connection_are_those_of_the_protocol():
    from turboapi._speedups import Settings

    ours = Settings(**ServerConfig().protocol_options())
    theirs = Settings()
    names = [name for name in ServerConfig().protocol_options() if hasattr(theirs, name)]
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}


def test_the_defaults_of_websockets_are_uvicorns():
    given, theirs = ServerConfig(), uvicorn.Config(app=None, log_config=None)  # type: ignore[arg-type]
    names = [each.name for each in options() if each.name.startswith("ws_")]
    assert names == ["ws_max_size", "ws_max_queue", "ws_ping_interval", "ws_ping_timeout", "ws_per_message_deflate"]
    assert [getattr(given, name) for name in names] == [getattr(theirs, name) for name in names]


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServerConfig().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_ports_at_the_limits(port):
    assert ServerConfig(port=port).port == port


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"port": -1}, "port must be between 0 and 65535, not -1"),
        ({"port": 65536}, "port must be between 0 and 65535, not 65536"),
        ({"port": "80"}, "port must be a whole number, not '80'"),
        ({"port": True}, "port must be a whole number, not True"),
        ({"port": None}, "port must be a whole number, not None"),
        ({"host": ""}, "host must not be empty; 0.0.0.0 listens on every IPv4 address, :: on every IPv6 address"),
        ({"backlog": 0}, "backlog must be at least 1, not 0"),
        ({"lifespan": "maybe"}, "lifespan must be one of auto, on, off, not 'maybe'"),
        ({"log_level": "INFO"}, "log_level must be one of critical, error, warning, info, debug, not 'INFO'"),
        ({"access_log": 1}, "access_log must be true or false, not 1"),
        ({"timeout_body": -0.5}, "timeout_body must be at least 0, not -0.5"),
        ({"timeout_body": float("nan")}, "timeout_body must be at least 0, not nan"),
        ({"root_path": "api"}, "root_path must begin with '/', not 'api'"),
        ({"app_dir": "no/such/dir"}, "app_dir must be a directory, not 'no/such/dir'"),
        ({"reload_dir": [".", "no/dir"]}, "reload_dir must be a directory, not 'no/dir'"),
        ({"reload_dir": "."}, "reload_dir must be a list, not '.'"),
        ({"reload_include": [1]}, "reload_include must be text, not 1"),
        ({"env_file": "."}, "env_file must be a file, not '.'"),
        ({"log_config": "no.json"}, "log_config must be a file, not 'no.json'"),
        ({"fd": -1}, "fd must be at least 0, not -1"),
        ({"fd": "3"}, "fd must be a whole number, not '3'"),
        ({"workers": 0}, "workers must be between 1 and 1024, not 0"),
        ({"uds_mode": "rw"}, "uds_mode must be three or four octal digits, not 'rw'"),
        ({"uds": ""}, "uds must not be empty"),
        ({"uds": "a", "fd": 3}, "uds and fd cannot be used together"),
        ({"header": ["no colon"]}, "header must be NAME:VALUE, not 'no colon'"),
        ({"header": ["a b: c"]}, "header must be NAME:VALUE, not 'a b: c'"),
        ({"header": ["x: a\r\ny: b"]}, "header must be NAME:VALUE, not 'x: a\\r\\ny: b'"),
        ({"header": ["x: \u2713"]}, "header must be NAME:VALUE, not 'x: \u2713'"),
        ({"header": ["Content-Length: 0"]}, "header must not be content-length, which the server decides about"),
    ],
)
def test_a_wrong_value_is_refused_in_one_clear_line(given, message):
    with pytest.raises(ConfigError) as caught:
        ServerConfig(**given)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError) and caught.value.exit_code == 2


def test_a_whole_number_may_stand_for_a_timeout():
    timeout = ServerConfig(timeout_keep_alive=7).timeout_keep_alive
    assert timeout == 7.0 and isinstance(timeout, float)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "::1", "::1"),
        ("port", "80", 80),
        ("timeout_body", "1.5", 1.5),
        ("lifespan", "off", "off"),
        ("uds", "/run/app.sock", "/run/app.sock"),
        ("fd", "3", 3),
        ("reload_include", "*.html, *.css,", ("*.html", "*.css")),
        ("reload_include", "", ()),
        ("header", "X-A: 1, 2\n X-B:3", ("X-A: 1, 2", "X-B:3")),
        *[("factory", text, True) for text in ("1", "true", "TRUE", "yes", "on")],
        *[("access_log", text, False) for text in ("0", "false", "No", "off")],
    ],
)
def test_text_is_parsed_by_the_type_of_the_option(name, text, value):
    assert BY_NAME[name].parse(text) == value
    assert ServerConfig.load({BY_NAME[name].env: text}) == ServerConfig(**{name: value})


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("TURBOAPI_PORT", "abc", "TURBOAPI_PORT must be a whole number, not 'abc'"),
        ("TURBOAPI_PORT", "99999", "TURBOAPI_PORT must be between 0 and 65535, not 99999"),
        ("TURBOAPI_TIMEOUT_BODY", "soon", "TURBOAPI_TIMEOUT_BODY must be a number, not 'soon'"),
        ("TURBOAPI_FACTORY", "maybe", "TURBOAPI_FACTORY must be true or false, not 'maybe'"),
        ("TURBOAPI_FACTORY", "", "TURBOAPI_FACTORY must be true or false, not ''"),
        ("PORT", "soon", "PORT must be a whole number, not 'soon'"),
    ],
)
def test_a_wrong_variable_is_named(variable, text, message):
    with pytest.raises(ConfigError) as caught:
        ServerConfig.load({variable: text})
    assert str(caught.value) == message


def test_keywords_come_before_variables_and_variables_before_defaults(monkeypatch):
    monkeypatch.setenv("TURBOAPI_PORT", "81")
    monkeypatch.setenv("TURBOAPI_HOST", "0.0.0.0")
    config = ServerConfig.load(port=82)
    assert (config.host, config.port, config.backlog) == ("0.0.0.0", 82, 2048)


@pytest.mark.parametrize(
    ("variables", "given", "port"),
    [
        ({"PORT": "81"}, {}, 81),
        ({"PORT": "81", "TURBOAPI_PORT": "82"}, {}, 82),
        ({"PORT": "81"}, {"port": 83}, 83),
        ({"PORT": "soon"}, {"port": 83}, 83),
        ({"PORT": ""}, {}, 8000),
        ({"HOST": "::", "BACKLOG": "5"}, {}, 8000),
    ],
)
def test_the_port_that_hosting_services_set(variables, given, port):
    config = ServerConfig.load(variables, **given)
    assert (config.port, config.host, config.backlog) == (port, "127.0.0.1", 2048)


def test_the_port_that_hosting_services_set_comes_before_that_of_pyproject(pyproject):
    pyproject("[tool.turboapi]\nport = 84\n")
    assert ServerConfig.load({"PORT": "81"}).port == 81


def test_other_defaults_come_last(pyproject):
    defaults = {"host": "::", "backlog": 5, "port": 80}
    pyproject("[tool.turboapi]\nbacklog = 6\n")
    config = ServerConfig.load({"TURBOAPI_PORT": "81"}, defaults)
    assert (config.host, config.backlog, config.port) == ("::", 6, 81)


def test_a_variable_that_is_not_needed_may_be_wrong():
    assert ServerConfig.load({"TURBOAPI_PORT": "abc"}, port=1).port == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prot", "unknown server option 'prot'; did you mean 'port'?"),
        ("xyzzy", "unknown server option 'xyzzy'"),
    ],
)
def test_an_unknown_keyword_is_a_type_error(name, message):
    with pytest.raises(TypeError) as caught:
        ServerConfig.load({}, **{name: 1})
    assert str(caught.value) == message


def test_headers_as_pairs():
    config = ServerConfig(header=["X-A:1", "Set-Cookie:  a=b; c \t", "x-empty:", "x-latin: \xe9"])
    pairs = [(b"x-a", b"1"), (b"set-cookie", b"a=b; c"), (b"x-empty", b""), (b"x-latin", b"\xe9")]
    assert config.headers() == config.protocol_options()["headers"] == pairs


# --- pyproject.toml ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pyproject(tmp_path, monkeypatch):
    """`pyproject(text)`: a working directory with this pyproject.toml."""
    monkeypatch.chdir(tmp_path)
    return (tmp_path / "pyproject.toml").write_text


def test_pyproject_comes_before_defaults_and_after_variables_and_keywords(pyproject):
    pyproject("[tool.turboapi]\nport = 81\nbacklog = 5\ntimeout-body = 7\nheader = ['a: b']\nhost = '::'\n")
    config = ServerConfig.load({"TURBOAPI_PORT": "82", "TURBOAPI_BACKLOG": "6"}, backlog=7)
    assert (config.host, config.port, config.backlog) == ("::", 82, 7)
    assert (config.timeout_body, config.header) == (7.0, ("a: b",))
    assert ServerConfig() == ServerConfig(port=8000, header=())  # read by `load` alone


@pytest.mark.parametrize("text", ["", "[tool.other]\nport = 1\n", "[project]\nname = 'x'\n"])
def test_a_pyproject_without_the_table(pyproject, text):
    pyproject(text)
    assert ServerConfig.load({}) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[tool.fastapi]\nentrypoint = 'a:b'\nother = 1\n", "a:b"),
        ("[tool.fastapi]\nentrypoint = 'a:b'\n[tool.turboapi]\nentrypoint = 'c:d'\n", "c:d"),
        ("[tool.fastapi]\nother = 1\n", None),
    ],
)
def test_the_entrypoint_of_fastapi_cli_is_known(pyproject, text, found):
    pyproject(text)
    assert ServerConfig.load({}).entrypoint == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.turboapi]\nport = '80'\n", "pyproject.toml: port must be a whole number, not '80'"),
        ("[tool.turboapi]\naccess-log = 1\n", "pyproject.toml: access_log must be true or false, not 1"),
        ("[tool.turboapi]\nheader = 'a: b'\n", "pyproject.toml: header must be a list, not 'a: b'"),
        ("[tool.turboapi]\nprot = 1\n", "pyproject.toml: unknown server option 'prot'; did you mean 'port'?"),
        ("[tool]\nturboapi = 1\n", "pyproject.toml: tool.turboapi must be a table, not 1"),
        ("[tool.turboapi\n", "pyproject.toml is not valid TOML: "),
        ("[tool.fastapi]\nentrypoint = 1\n", "pyproject.toml: entrypoint must be text, not 1"),
    ],
)
def test_a_wrong_pyproject_is_named(pyproject, text, message):
    pyproject(text)
    with pytest.raises(ConfigError) as caught:
        ServerConfig.load({})
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_pyproject_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ConfigError, match=r"^pyproject\.toml cannot be read: Is a directory$"):
        ServerConfig.load({})


def test_the_usual_variable_of_an_option_comes_after_ours():
    assert ServerConfig.load({"WEB_CONCURRENCY": "3"}).workers == 3
    assert ServerConfig.load({"WEB_CONCURRENCY": "3", "TURBOAPI_WORKERS": "2"}).workers == 2
    assert ServerConfig.load({"WEB_CONCURRENCY": "3"}, workers=4).workers == 4
    with pytest.raises(ConfigError, match="^WEB_CONCURRENCY must be a whole number, not 'many'$"):
        ServerConfig.load({"WEB_CONCURRENCY": "many"})
