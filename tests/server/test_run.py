"""`turboapi.server.run`, as far as it does not serve; tests/test_cli.py runs it in processes of its own."""

import inspect

import pytest

import turboapi.server
from turboapi.server import ImportAppError, ServerError, run, runner
from turboapi.server.config import options


async def app(scope, receive, send): ...


def test_the_signature_names_every_option_and_its_default():
    parameters = dict(inspect.signature(run).parameters)
    assert parameters.pop("app").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {name: each.default for name, each in parameters.items()} == {each.name: each.default for each in options()}
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_an_option_that_does_not_exist():
    with pytest.raises(TypeError, match="unknown server option 'prot'; did you mean 'port'"):
        run(app, prot=80)


@pytest.mark.parametrize(
    ("target", "given", "code", "line"),
    [
        (app, {"port": -1}, 2, "port must be between 0 and 65535, not -1"),
        ("a:", {}, 2, "'a:' does not name an application; write module:attribute, for example a:app"),
        (
            app,
            {"reload": True},
            2,
            "reload needs the name of the application, such as 'main:app', not the object",
        ),
        (3, {}, 1, "what is to be served is not an application, but an int"),
    ],
)
def test_what_prevents_the_start_is_one_line_and_an_exit_code(capsys, target, given, code, line):
    with pytest.raises(SystemExit) as caught:
        run(target, **given)
    assert caught.value.code == code
    assert capsys.readouterr() == ("", f"Error: {line}\n")


def test_the_exit_code_of_the_server_is_passed_on(monkeypatch):
    codes = [0, 1]
    monkeypatch.setattr(turboapi.server.Server, "run", lambda self, sockets: codes.pop(0))
    monkeypatch.setattr(runner, "configure_logging", lambda config: None)
    run(app)
    with pytest.raises(SystemExit) as caught:
        run(app)
    assert caught.value.code == 1


def test_the_exception_behind_an_error_comes_first(capsys):
    error = ImportAppError("it failed")
    error.__cause__ = ValueError("because")
    runner.report(error)
    runner.report(ServerError("plainly"))
    assert capsys.readouterr().err == "ValueError: because\nError: it failed\nError: plainly\n"
