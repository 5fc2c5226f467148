import dataclasses

import pytest
import uvicorn

from turboapi.server.config import ConfigError, ServerConfig, options

BY_NAME = {each.name: each for each in options()}


def test_every_field_is_an_option_that_the_help_can_describe():
    assert list(BY_NAME) == [each.name for each in dataclasses.fields(ServerConfig)]
    for each in options():
        assert each.help and each.group
        assert each.metavar or each.type is bool
        assert each.check(each.default) == each.default


def test_flags_and_variables_are_derived_from_the_name():
    option = BY_NAME["timeout_keep_alive"]
    assert (option.flag, option.env) == ("--timeout-keep-alive", "TURBOAPI_TIMEOUT_KEEP_ALIVE")


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
    given, theirs = ServerConfig(), uvicorn.Config(app=None)  # type: ignore[arg-type]
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
