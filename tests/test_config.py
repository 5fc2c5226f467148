"""The same settings are looked up with our module and with the oracle's."""

import inspect
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import starlette.config
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.config
from turboapi.config import Config, Environ, EnvironError
from turboapi.datastructures import URL, CommaSeparatedStrings, Secret

MODULES = (turboapi.config, starlette.config)
ENV_FILE = """
# a comment = ignored
   # another = one
DEBUG=true
 SPACED = some text  # kept
QUOTED="a=b"
SINGLE='x'
MIXED="x'
ONE_QUOTE="
EMPTY=
EMPTY_QUOTED=""
INNER=a"b"c
NUMBER=7
NAME=file
not a setting
=no name
TWICE=1
TWICE=2
export SHELL_LIKE=1
PREFIX_NAME=prefixed
"""


def attempt(call: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        return ("returned", call())
    except Exception as exc:
        return ("raised", type(exc).__name__, str(exc))


def same(call: Callable[[Any], Any]) -> tuple[Any, ...]:
    ours, theirs = [attempt(lambda module=module: call(module)) for module in MODULES]
    assert ours == theirs
    return ours


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text(ENV_FILE)
    return path


def as_path(value: str) -> Path:
    return Path(value)


def test_files_are_read_alike(env_file: Path) -> None:
    for path in (env_file, str(env_file)):
        assert same(lambda module, path=path: module.Config(path).file_values)[0] == "returned"


LINES = st.lists(st.text(st.sampled_from("ab= #'\"\t\\"), max_size=8), max_size=4)


@settings(max_examples=80)
@given(LINES)
def test_any_lines_are_read_alike(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_text("\n".join(lines))
    assert same(lambda module: module.Config(path).file_values)[0] == "returned"


NAMES = ["DEBUG", "SPACED", "QUOTED", "ONE_QUOTE", "EMPTY", "NUMBER", "NAME", "TWICE", "FROM_ENV", "NO", "MISSING"]
CASTS = [None, str, int, float, bool, Decimal, Path, as_path, len, list]


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("name", NAMES)
def test_settings_are_converted_alike(env_file: Path, name: str, cast: Any) -> None:
    environ = {"FROM_ENV": "FALSE", "NAME": "environment", "NO": "no"}
    for default in ([], [None], ["5"], [5], [True], ["default"]):

        def get(module: Any, default: list[Any] = default) -> Any:
            config = module.Config(env_file, environ)
            given = {"default": default[0]} if default else {}
            value, called = config.get(name, cast, **given), config(name, cast=cast, **given)
            assert value == called
            return value

        same(get)


def test_the_environment_wins_over_the_file_and_both_over_the_default(env_file: Path) -> None:
    config = Config(env_file, {"NAME": "environment"})
    assert config("NAME", default="default") == "environment"
    assert config("NUMBER", cast=int, default=1) == 7
    assert config("MISSING", cast=int, default="1") == 1
    assert config("MISSING", cast=Secret, default=None) is None


def test_conversion_to_the_packages_own_types() -> None:
    config = Config(environ={"URL": "https://user:pw@example.org/", "KEY": "secret", "HOSTS": "a.org, b.org"})
    assert config("URL", cast=URL).hostname == "example.org"
    assert (str(config("KEY", cast=Secret)), repr(config("KEY", cast=Secret))) == ("secret", "Secret('**********')")
    assert list(config("HOSTS", cast=CommaSeparatedStrings)) == ["a.org", "b.org"]


def test_errors_name_the_setting() -> None:
    config = Config(environ={"P_FLAG": "Maybe", "P_NUMBER": "x"}, env_prefix="P_")
    with pytest.raises(KeyError, match="Config 'P_MISSING' is missing, and has no default"):
        config("MISSING")
    with pytest.raises(ValueError, match="Config 'P_FLAG' has value 'maybe'. Not a valid bool"):
        config("FLAG", cast=bool)
    with pytest.raises(ValueError, match="Config 'P_NUMBER' has value 'x'. Not a valid int"):
        config("NUMBER", cast=int)


def test_the_prefix_counts_for_file_and_environment(env_file: Path) -> None:
    config = Config(env_file, {"PREFIX_DEBUG": "environment", "DEBUG": "no"}, env_prefix="PREFIX_")
    assert (config("NAME"), config("DEBUG")) == ("prefixed", "environment")


def test_encoding_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes("NAME=caf\u00e9".encode("latin-1"))
    assert Config(path, {}, encoding="latin-1")("NAME") == "caf\u00e9"
    assert same(lambda module: module.Config(path, {}))[1] == "UnicodeDecodeError"


def test_a_missing_file_is_a_warning_where_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=rf"^Config file '{tmp_path}/no' not found\.$") as warned:
        assert Config(tmp_path / "no").file_values == {}
    assert warned[0].filename == __file__


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURBOAPI_TEST_SETTING", "set")
    assert Config()("TURBOAPI_TEST_SETTING") == "set"
    assert Config().environ is turboapi.config.environ
    assert os.environ.keys() == set(Environ())


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "get": lambda environ: environ["A"],
    "get missing": lambda environ: environ["MISSING"],
    "get missing by get": lambda environ: environ.get("MISSING"),
    "contains": lambda environ: "A" in environ,
    "set": lambda environ: environ.__setitem__("A", "2"),
    "set missing": lambda environ: environ.__setitem__("MISSING", "2"),
    "set default": lambda environ: environ.setdefault("MISSING", "2"),
    "delete": lambda environ: environ.__delitem__("A"),
    "delete missing": lambda environ: environ.__delitem__("MISSING"),
    "iterate": lambda environ: (sorted(environ), len(environ)),
    "items": lambda environ: sorted(environ.items()),
}


@settings(max_examples=80)
@given(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=5))
def test_environ_behaves_alike(actions: list[str]) -> None:
    def outcomes(module: Any) -> Any:
        values = {"A": "1", "B": "1"}
        environ = module.Environ(values)
        return [attempt(lambda action=action: ACTIONS[action](environ)) for action in actions], values

    assert same(outcomes)[0] == "returned"


@pytest.mark.parametrize(("action", "verb"), [("set", "set"), ("delete", "delete")])
def test_what_has_been_read_cannot_be_changed(action: str, verb: str) -> None:
    environ = Environ({"A": "1"})
    ACTIONS["get"](environ)
    with pytest.raises(EnvironError, match=f"^Attempting to {verb} environ\\['A'\\], but the value has already been"):
        ACTIONS[action](environ)


def test_what_has_not_been_read_can_be_changed() -> None:
    environ = Environ({"A": "1", "B": "1"})
    environ["A"] = "2"
    del environ["B"]
    assert dict(environ) == {"A": "2"}


def test_signatures() -> None:
    for name in ("__init__", "__call__", "get"):
        ours, theirs = (inspect.signature(getattr(module.Config, name)) for module in MODULES)
        assert list(ours.parameters) == list(theirs.parameters)
        assert [p.kind for p in ours.parameters.values()] == [p.kind for p in theirs.parameters.values()]
