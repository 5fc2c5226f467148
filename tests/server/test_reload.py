"""What the supervisor decides; tests/test_cli.py runs it with a server and changes files."""

import os
import py_compile
import sys
from importlib.util import cache_from_source

import pytest

from turboapi.server import ConfigError, ServerConfig, ServerError, StartupError, reload
from turboapi.server.reload import FileFilter, run_with_reload, watched_directories


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("src/shop", "lib", "static", "build"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "import_from", "watched"),
    [
        ([], ".", ["."]),
        ([], "src", ["."]),
        ([], "..", [".."]),
        (["src", "lib", "src/shop", "./lib"], ".", ["src", "lib"]),
    ],
)
def test_the_directories(project, given, import_from, watched):
    found = watched_directories(ServerConfig(reload_dir=given), str((project / import_from).resolve()))
    assert found == [(project / name).resolve() for name in watched]


@pytest.mark.parametrize(
    ("path", "options", "matters"),
    [
        ("main.py", {}, True),
        ("src/shop/models.py", {}, True),
        ("static/page.html", {}, False),
        ("main.pyc", {}, False),
        (".#main.py", {}, False),
        ("~main.py", {}, False),
        (".venv/lib/x.py", {}, False),
        ("venv/lib/python3.11/site-packages/x.py", {}, False),
        ("src/__pycache__/x.py", {}, False),
        ("static/page.html", {"reload_include": ["*.html"]}, True),
        ("static/page.html", {"reload_include": ["static/*"]}, True),
        (".env", {"reload_include": [".env"]}, True),
        ("main.py", {"reload_include": ["*.html"]}, True),
        ("src/shop/models.py", {"reload_exclude": ["src"]}, False),
        ("main.py", {"reload_exclude": ["src"]}, True),
        ("src/shop/models.py", {"reload_exclude": ["models.py"]}, False),
        ("src/shop/models.py", {"reload_exclude": ["shop/*.py"]}, False),
        ("static/page.html", {"reload_include": ["*.html"], "reload_exclude": ["static"]}, False),
    ],
)
def test_the_files(project, path, options, matters):
    matter = FileFilter(ServerConfig(**options), [project])
    assert matter(None, str(project / path)) is matters


def test_a_hidden_directory_around_the_project_hides_nothing(project):
    root = project / ".work"
    assert FileFilter(ServerConfig(), [root])(None, str(root / "main.py"))


def test_bytecode_of_a_changed_file_is_not_used_again(project):
    (project / "main.py").write_text("1\n")
    py_compile.compile("main.py")
    path = str(project / "main.py")
    assert os.path.exists(cache_from_source(path))
    reload._forget_bytecode([path, str(project / "gone.py"), str(project / "page.html")])
    assert not os.path.exists(cache_from_source(path))


async def app(scope, receive, send): ...


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        (app, {}, ConfigError, "reload needs the name of the application, such as 'main:app', not the object"),
        ("missing.py", {}, ConfigError, "there is no file or folder 'missing.py'; "),
        ("main:app", {"fd": 999}, StartupError, "cannot listen on file descriptor 999: bad file descriptor"),
    ],
)
def test_what_no_change_of_a_file_can_mend_is_an_error(project, target, options, error, message):
    with pytest.raises(error) as caught:
        run_with_reload(target, ServerConfig(reload=True, **options))
    assert str(caught.value).startswith(message)


def test_without_watchfiles_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ServerError, match=r'^reload needs watchfiles: pip install "turboapi\[reload\]"$'):
        run_with_reload("main:app", ServerConfig(reload=True))
