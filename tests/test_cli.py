"""The command line, end to end: each test runs the command in a process of its own, but for the parser's own."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

import turboapi
from tests.running import PATIENCE, ROOT, Running, environment
from turboapi import cli
from turboapi.server.config import options

APP = """
import asyncio
import time

def note(text):
    print(text, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        note("lifespan startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        note("lifespan shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        note("slow begins")
        await asyncio.sleep(0.5)
    if scope["path"] == "/stuck":
        note("stuck begins")
        await asyncio.sleep(3600)
    if scope["path"] == "/thread":
        note("thread begins")
        await asyncio.to_thread(time.sleep, 3600)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})

def make():
    note("made")
    return app

async def failing(scope, receive, send):
    await receive()
    try:
        raise RuntimeError("no database")
    except RuntimeError as exc:
        import traceback
        await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})

async def stubborn(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        note("refuses to stop")
        await asyncio.sleep(3600)
"""


@pytest.fixture
def project(tmp_path):
    """A directory with an application."""
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "broken.json").write_text("[] x")
    return tmp_path


def turboapi_command(*arguments, cwd, **variables):
    """Runs the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "turboapi", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture
def start(project):
    """`start(*arguments)`: a running server on a free port; killed after the test if it still runs."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **given):
            running = Running(*arguments, cwd=project, **given)
            stack.callback(running.ended)
            stack.callback(running.process.kill)
            return running

        yield start


# --- a good start and a clean stop ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal_stops_it(start, number):
    server = start("main:app")
    assert server.get("/there?q=1") == "hello"
    server.signal(number)
    assert server.ended() == 0
    access = re.compile(r'INFO:     127\.0\.0\.1:\d+ - "GET /there\?q=1 HTTP/1\.1" 200 OK')
    assert [bool(access.fullmatch(line)) for line in server.out] == [False, True, False]
    assert (server.out[0], server.out[-1]) == ("lifespan startup", "lifespan shutdown")
    pid = server.process.pid
    expected = [
        rf"INFO:     Started server process \[{pid}\]",
        r"INFO:     Waiting for application startup\.",
        r"INFO:     Application startup complete\.",
        r"INFO:     TurboAPI running on http://0\.0\.0\.0:\d+ \(Press CTRL\+C to quit\)",
        r"INFO:     Shutting down",
        r"INFO:     Waiting for application shutdown\.",
        r"INFO:     Application shutdown complete\.",
        rf"INFO:     Finished server process \[{pid}\]",
    ]
    lines = [line for line in server.err if "Waiting for connections" not in line]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line)


def test_a_running_request_is_answered_after_the_signal(start):
    server = start("main:app")
    answers = []
    client = threading.Thread(target=lambda: answers.append(server.get("/slow")))
    client.start()
    server.wait_for(server.out, "slow begins")
    server.signal(signal.SIGTERM)
    client.join(PATIENCE)
    assert answers == ["hello"]
    assert server.ended() == 0
    assert server.out[-1] == "lifespan shutdown"


def test_a_second_signal_forces_the_stop(start):
    server = start("main:app")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/stuck")
        server.wait_for(server.out, "stuck begins")
        server.signal(signal.SIGINT)
        server.wait_for(server.err, "Waiting for connections to close")
        server.signal(signal.SIGINT)
        assert server.ended() == 1
    assert "ERROR:    Application shutdown skipped." in server.err
    assert "lifespan shutdown" not in server.out


def test_a_second_signal_ends_a_shutdown_that_hangs(start):
    server = start("main:stubborn")
    server.wait_for(server.err, "running on")
    server.signal(signal.SIGTERM)
    server.wait_for(server.out, "refuses to stop")
    server.signal(signal.SIGTERM)
    assert server.ended() == 1


def test_what_runs_past_the_graceful_time_is_cut_off(start):
    server = start("main:app", "--timeout-graceful-shutdown", "0.2")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/stuck")
        server.wait_for(server.out, "stuck begins")
        server.signal(signal.SIGTERM)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()
    assert server.ended() == 0
    assert server.out[-1] == "lifespan shutdown"


def test_a_thread_that_never_ends_cannot_keep_the_process(start):
    server = start("main:app", "--timeout-graceful-shutdown", "0.2")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/thread")
        server.wait_for(server.out, "thread begins")
        server.signal(signal.SIGTERM)
        assert server.ended() == 1
    assert server.out[-1] == "lifespan shutdown"
    assert server.err[-1] == "ERROR:    Threads of the application do not end; leaving without them."


def test_a_factory_another_directory_and_no_access_log(start, project, tmp_path_factory):
    server = start("main:make", "--factory", "--no-access-log", "--app-dir", str(project))
    assert server.get() == "hello"
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert server.out == ["made", "lifespan startup", "lifespan shutdown"]


def test_the_alias(start, project):
    (project / "unchanged.py").write_text(
        "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef read(): return FastAPI.__mro__[1].__name__\n"
    )
    assert start("unchanged:app", "--alias").get() == '"TurboAPI"'


def test_the_alias_comes_too_late(project):
    (project / "sitecustomize.py").write_text("import starlette")
    done = turboapi_command("run", "main:app", "--alias", cwd=project, PYTHONPATH=f"{ROOT}{os.pathsep}{project}")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: starlette has been imported already: ") and done.stderr.count("\n") == 1


def test_options_from_the_environment(start):
    server = start("main:app", TURBOAPI_ACCESS_LOG="off", TURBOAPI_HOST="localhost", TURBOAPI_LIFESPAN="off")
    assert server.wait_for(server.err, "running on http://localhost:")
    assert server.get() == "hello"
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert server.out == []


@pytest.mark.parametrize(("command", "host"), [("run", "0.0.0.0"), ("dev", "127.0.0.1")])
def test_the_address_is_that_of_fastapi_cli(start, command, host):
    server = start("main:app", command=command)
    assert server.wait_for(server.err, f"running on http://{host}:")


def test_options_from_pyproject(start, project):
    (project / "pyproject.toml").write_text(
        "[tool.turboapi]\nentrypoint = 'main:app'\nport = 1\naccess-log = false\nheader = ['X-Tea: green']\n"
    )
    server = start(TURBOAPI_HOST="localhost")
    assert server.wait_for(server.err, "running on http://localhost:")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().getheader("x-tea") == "green"
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert server.out == ["lifespan startup", "lifespan shutdown"]


SHOP = """
import os
from turboapi import TurboAPI

tea = TurboAPI()

@tea.get("/")
async def root():
    return os.environ.get("TEA", "none")

@tea.get("/fail")
async def fail():
    import json
    json.loads("{")
"""


def test_a_file_without_a_name_and_its_environment(start, project):
    (project / "app").mkdir()
    (project / "app" / "__init__.py").write_text("from .main import tea")
    (project / "app" / "main.py").write_text(SHOP)
    (project / "shop.env").write_text("TEA=green\n")
    server = start("app", "--env-file", "shop.env")
    assert server.get() == '"green"'
    assert server.wait_for(server.err, r"Documentation at http://0\.0\.0\.0:\d+/docs$")
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert "INFO:     Loading environment from 'shop.env'" in server.err


def test_a_unix_socket(start, project):
    server = start("main:app", "--uds", "app.sock")
    server.wait_for(server.err, r"running on unix socket app\.sock \(")
    assert (project / "app.sock").is_socket()
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not (project / "app.sock").exists()


# --- reload -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def edited(project):
    """`edited(answer)`: main.py, so that it answers this; None for a file that does not compile."""

    def edit(answer):
        line = "def (\n" if answer is None else f"note('imported')\nANSWER = {answer!r}\n"
        (project / "main.py").write_text(
            f"from turboapi import TurboAPI\ndef note(text): print(text, flush=True)\n{line}"
            "app = TurboAPI()\n@app.get('/')\nasync def root(): return ANSWER\n"
            "@app.get('/fail')\nasync def fail():\n    import json\n    json.loads('{')\n"
        )

    edit("one")
    return edit


def test_dev_starts_anew_when_a_file_changes_and_survives_a_broken_one(start, edited):
    server = start(command="dev", FASTAPI_ENV="")
    assert server.get() == '"one"'
    assert server.wait_for(server.err, r"Documentation at http://127\.0\.0\.1:\d+/docs$")
    for answer in ("two", "six"):  # of the same size, and perhaps within the same second
        before = server.marks("imported")
        edited(answer)
        server.wait_for_another("imported", before)
        assert server.get() == f'"{answer}"'  # on the same port
    edited(None)
    server.wait_for(server.err, "waiting for a change")
    broken = server.err[
        server.err.index("Error: 'main' failed while it was imported: SyntaxError: invalid syntax (main.py, line 3)")
        - 4 :
    ][:4]
    assert broken[0].endswith('main.py", line 3') and "SyntaxError: invalid syntax" in broken
    edited("ten")
    assert server.get() == '"ten"'  # a client that comes meanwhile waits
    server.interrupt()
    assert server.ended() == 0
    assert server.marks("Finished server process") == server.marks("Started server process") == 4
    assert server.marks("Traceback") == 0


def test_errors_of_requests_are_short(start, edited):
    server = start(command="dev")
    server.get("/fail")
    server.wait_for(server.err, "JSONDecodeError")
    frames = [line for line in server.err if line.startswith("  File ")]
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert len(frames) == 1 and "main.py" in frames[0]


def test_an_application_that_ends_by_itself_is_started_again_by_a_change(start, project, edited):
    (project / "main.py").write_text("raise SystemExit(7)")
    server = start("main:app", "--reload")
    server.wait_for(server.err, "The server has ended with exit code 7; waiting for a change")
    edited("one")
    assert server.get() == '"one"'
    server.signal(signal.SIGTERM)
    assert server.ended() == 0


def test_a_file_that_is_not_watched_changes_nothing(start, project, edited):
    (project / "lib").mkdir()
    server = start(command="dev", TURBOAPI_RELOAD_EXCLUDE="lib", TURBOAPI_RELOAD_INCLUDE="*.html")
    assert server.get() == '"one"'
    (project / "lib" / "x.py").write_text("1")
    (project / "notes.txt").write_text("1")
    (project / "page.html").write_text("1")
    server.wait_for(server.err, "Restarting: page.html changed")
    server.interrupt()
    assert server.ended() == 0
    assert server.marks("Restarting") == 1


def test_a_restart_does_not_wait_for_a_request_that_takes_its_time(start, project):
    server = start("main:app", "--reload")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/stuck")
        server.wait_for(server.out, "stuck begins")
        (project / "other.py").write_text("1")
        server.wait_for_another("lifespan startup", 1)
    assert server.get() == "hello"
    assert server.out.count("lifespan shutdown") == 1
    server.interrupt()
    assert server.ended() == 0


def test_a_second_interrupt_ends_a_shutdown_that_hangs_with_reload_too(start):
    server = start("main:stubborn", "--reload")
    server.wait_for(server.err, "running on")
    server.interrupt()
    server.wait_for(server.out, "refuses to stop")
    server.interrupt()
    assert server.ended() == 1


def test_no_server_is_left_behind_by_a_supervisor_that_is_killed(start, edited):
    server = start(command="dev")
    server.get()
    server.signal(signal.SIGKILL)
    assert server.ended() == -signal.SIGKILL  # and all who print to its pipes
    assert server.marks("Finished server process") == 1


# --- what cannot be started -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ["main"],
            2,
            "there is no file or folder 'main'; write a path such as main.py, or module:attribute, "
            "for example main:app",
        ),
        (["nowhere:app"], 1, "no module named 'nowhere' in {} or elsewhere on the import path"),
        (["main:ap"], 1, "'main' has no attribute 'ap'; did you mean 'app'?"),
        (
            ["main:make"],
            1,
            "'main:make' takes no arguments; if it is a function that returns an application, use --factory",
        ),
        (["main:app", "--app-dir", "missing"], 2, "app_dir must be a directory, not 'missing'"),
        ([], 1, "'main' has no TurboAPI application; if it has another object to serve, use --app NAME"),
        (["--fd", "99", "main:app"], 1, "cannot listen on file descriptor 99: bad file descriptor"),
        (
            ["--log-config", "broken.json", "main:app"],
            2,
            "log_config: 'broken.json' cannot be used: Extra data: line 1 column 4 (char 3)",
        ),
        (
            ["--reload", "missing.py"],
            2,
            "there is no file or folder 'missing.py'; write a path such as main.py, or "
            "module:attribute, for example missing:app",
        ),
    ],
)
def test_one_line_says_what_is_wrong(project, arguments, code, line):
    result = turboapi_command("run", *arguments, cwd=project)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == f"Error: {line.format(project)}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "x"], "--port must be a whole number, not 'x'"),
        (["--port=70000"], "--port must be between 0 and 65535, not 70000"),
        (["--lifespan", "maybe"], "--lifespan must be one of auto, on, off, not 'maybe'"),
        (["--prot", "1"], "unrecognized arguments: --prot 1"),
        (["--uds", "a", "--fd", "3"], "uds and fd cannot be used together"),
        (["--header", "X"], "header must be NAME:VALUE, not 'X'"),
        (["--reload-dir", "missing"], "reload_dir must be a directory, not 'missing'"),
        (["--entrypoint", "main:app"], "--entrypoint cannot be used together with APP or --app"),
    ],
)
@pytest.mark.parametrize("command", ["run", "dev"])
def test_a_wrong_option_is_one_line(capsys, command, arguments, line):
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(cli.main([command, "main:app", *arguments]))
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", f"Error: {line}\n")


def test_a_wrong_variable(project):
    result = turboapi_command("run", "main:app", cwd=project, TURBOAPI_PORT="abc")
    assert (result.returncode, result.stderr) == (2, "Error: TURBOAPI_PORT must be a whole number, not 'abc'\n")


def test_a_module_that_fails_shows_its_traceback_and_one_line(project):
    result = turboapi_command("run", "broken:app", cwd=project)
    lines = result.stderr.splitlines()
    assert result.returncode == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('broken.py", line 1, in <module>')
    assert lines[-1] == "Error: 'broken' failed while it was imported: ZeroDivisionError: division by zero"


def test_a_taken_port(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = turboapi_command("run", "main:app", "--port", str(port), cwd=project)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: cannot listen on 0.0.0.0:{port}: address already in use\n"


def test_a_failing_startup_shows_its_traceback_and_one_line(project):
    result = turboapi_command("run", "main:failing", "--port", "0", cwd=project)
    assert result.returncode == 1
    assert "Traceback (most recent call last):" in result.stderr
    assert result.stderr.splitlines()[-1] == "Error: application startup failed: RuntimeError: no database"


# --- the parser -------------------------------------------------------------------------------------------------------


@pytest.fixture
def given(monkeypatch):
    """`given(*arguments)`: what `turboapi run` would pass on to the server."""
    calls = []
    monkeypatch.setattr(cli, "run_with_defaults", lambda app, defaults, **options: calls.append((app, options)))

    def given(*arguments):
        assert cli.main(["run", *arguments]) == 0
        return calls.pop()

    return given


def test_only_what_was_given_is_passed_on(given):
    assert given("main:app") == ("main:app", {})
    assert given("--port", "80", "main:app", "--host=::") == ("main:app", {"port": 80, "host": "::"})


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_every_option_has_its_flag(given, option):
    if option.type is bool:
        assert given("main:app", option.flag)[1] == {option.name: True}
        assert given("main:app", f"--no-{option.flag[2:]}")[1] == {option.name: False}
    else:
        text, value = {int: ("1", 1), float: ("1", 1.0)}.get(option.type, ("a:b", "a:b"))
        if option.choices:
            text = value = option.choices[-1]
        arguments = [option.flag, text] * (2 if option.many else 1)
        assert given(*arguments)[1] == {option.name: (value, value) if option.many else value}


def test_flags_are_not_abbreviated(given, capsys):
    with pytest.raises(SystemExit) as caught:
        given("main:app", "--por", "80")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "Error: unrecognized arguments: --por 80\n"


@pytest.mark.parametrize("command", ["run", "dev"])
def test_the_help_fits_a_screen_for_each_group_and_names_every_option(monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(group.count("\n") for group in text.split("\n\n")) <= 24
    assert max(map(len, lines)) <= 80
    described = {line.split()[0]: line for line in lines if line.startswith("  --")}
    for option in options():
        switch = f"--[no-]{option.flag[2:]}" if option.type is bool else option.flag
        assert option.help in described[switch]
    assert len(described) == len(options())
    assert {option.group for option in options()} <= {line.rstrip(":") for line in lines}


def test_the_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"turboapi {turboapi.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys):
    assert cli.main([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "Error: there is no command 'serve'; there is: run, dev, routes, openapi\n"


# --- looking at an application ----------------------------------------------------------------------------------------


def test_routes(project):
    (project / "shop.py").write_text(SHOP)
    result = turboapi_command("routes", "shop.py", cwd=project)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["METHODS", "PATH", "HANDLER", "MODE", "DEPENDENCIES", "SERVED"]
    assert ["GET", "/fail", "shop.fail", "async", "-", "native"] in [line.split() for line in lines]


def test_openapi(project):
    (project / "shop.py").write_text(SHOP)
    printed = turboapi_command("openapi", "shop:tea", cwd=project)
    written = turboapi_command("openapi", "shop:tea", "--output", "api.json", cwd=project)
    assert (printed.returncode, printed.stderr, written.returncode, written.stdout) == (0, "", 0, "")
    assert (project / "api.json").read_text() == printed.stdout
    assert set(json.loads(printed.stdout)["paths"]) == {"/", "/fail"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["routes", "main:app"], "this works for TurboAPI applications only, and the application is a function"),
        (["openapi", "shop.py", "--output", "no/dir"], "cannot write no/dir: No such file or directory"),
    ],
)
def test_what_cannot_be_looked_at(project, arguments, line):
    (project / "shop.py").write_text(SHOP)
    result = turboapi_command(*arguments, cwd=project)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"Error: {line}\n")
