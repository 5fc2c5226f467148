"""Where an application is looked for. fastapi-cli is the oracle for paths."""

import os
import sys
from pathlib import Path

import pytest
from fastapi_cli.discover import get_default_path, get_import_data, get_module_data_from_path
from fastapi_cli.exceptions import FastAPICLIException

from turboapi.server.config import ConfigError, ServerConfig
from turboapi.server.discovery import DEFAULT_FILES, Location, locate
from turboapi.server.importer import ImportAppError, import_from

TREES = {
    "one file": ["main.py"],
    "another name": ["tea_shop.py"],
    "all defaults": ["main.py", "app.py", "api.py"],
    "no main": ["app.py", "api.py"],
    "api": ["api.py"],
    "package": ["app/__init__.py", "app/main.py", "app/api.py"],
    "package without main": ["app/__init__.py", "app/api.py"],
    "folder": ["app/main.py"],
    "folder named main": ["main.py/x.txt", "app/app.py"],
    "deep": ["a/__init__.py", "a/b/__init__.py", "a/b/c.py", "main.py"],
    "gap": ["a/__init__.py", "a/b/c.py"],
}
PATHS = [None, "main.py", "app.py", "app", "app/", "a", "a/b", "a/b/c.py", "a/__init__.py", "./main.py", "tea_shop.py"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """`tree(files, text)`: a working directory with these files; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def make(files, text=""):
        for name in files:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    yield make
    forget(before)


def forget(before):
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"main", "app", "api", "a", "tea_shop"}:
            del sys.modules[name]


@pytest.mark.parametrize("files", TREES.values(), ids=TREES)
@pytest.mark.parametrize("path", PATHS)
def test_paths_are_taken_as_fastapi_cli_takes_them(tree, files, path):
    tree(files)
    try:
        given = get_default_path() if path is None else Path(path)
    except FastAPICLIException:
        given = Path("missing")
    if given.exists():
        data = get_module_data_from_path(given)
        assert locate(path, ServerConfig()) == (data.module_import_str, None, str(data.extra_sys_path))
    else:
        with pytest.raises(ConfigError):
            locate(path, ServerConfig())


OBJECTS = {
    "app": "app = FastAPI()",
    "api": "zebra = FastAPI()\napi = FastAPI()",
    "both": "api = FastAPI()\napp = FastAPI()",
    "other": "zebra = FastAPI()\nbee = FastAPI()\n",
    "app is another thing": "app = 3\ntea = FastAPI()\n",
    "the class alone": "make = FastAPI\n",
    "none": "app = None\n",
    "a subclass": "class Shop(FastAPI): ...\nshop = Shop()\n",
}


@pytest.mark.parametrize("text", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("name", [None, "app", "zebra", "missing"])
def test_the_object_is_the_one_that_fastapi_cli_takes(tree, text, name):
    before = set(sys.modules)
    tree(["main.py"], f"from fastapi import FastAPI\n{text}\n")
    try:
        expected = get_import_data(app_name=name).app_name
    except FastAPICLIException:
        expected = None
    forget(before)
    tree(["main.py"], f"from turboapi import TurboAPI as FastAPI\n{text}\n")
    location = locate(None, ServerConfig(app_name=name))
    try:
        found = import_from(location)
    except ImportAppError:
        assert expected is None
        return
    if expected is None:
        assert name == "app" and found in (3, None)  # it may be any ASGI application, which is looked at later
    else:
        assert found is getattr(sys.modules["main"], expected)


def test_a_name_with_a_colon(tmp_path):
    (tmp_path / "src").mkdir()
    config = ServerConfig(app_dir=str(tmp_path / "src"))
    assert locate("main:app", config) == Location("main", "app", str(tmp_path / "src"))
    assert locate("shop.main:holder.app", ServerConfig()) == Location("shop.main", "holder.app", os.getcwd())


def test_paths_are_those_in_the_directory_of_the_application(tree):
    root = tree(["src/main.py", "main.py"])
    for name in (None, "main.py"):
        assert locate(name, ServerConfig(app_dir="src")) == Location("main", None, str(root / "src"))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"entrypoint": "shop:tea"}, ("shop", "tea")),
        ({"entrypoint": "main.py"}, ("main", None)),
        ({"entrypoint": "shop:tea", "app_name": "api"}, ("main", "api")),
        ({"app_name": "api"}, ("main", "api")),
        ({"app_name": "make", "factory": True}, ("main", "make")),
        ({}, ("main", None)),
    ],
)
def test_a_name_left_out(tree, options, found):
    tree(["main.py"])
    assert locate(None, ServerConfig(**options))[:2] == found


def test_a_name_that_is_given_comes_first(tree):
    tree(["main.py"])
    assert locate("main.py", ServerConfig(entrypoint="shop:tea")).module == "main"
    assert str(locate("main.py", ServerConfig())) == "main"
    assert str(locate("a:b", ServerConfig(app_name="b"))) == "a:b"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (None, {}, f"there is none of {', '.join(DEFAULT_FILES)}; name the application, for example main:app"),
        (
            "",
            {},
            "there is no file or folder ''; write a path such as main.py, or module:attribute, for example main:app",
        ),
        (
            "src/tea.py",
            {},
            "there is no file or folder 'src/tea.py'; write a path such as main.py, or module:attribute, "
            "for example src.tea:app",
        ),
        ("main:", {}, "'main:' does not name an application; write module:attribute, for example main:app"),
        ("main:app", {"app_name": "api"}, "'main:app' names the object already; app_name 'api' is another one"),
        ("tea.py", {"factory": True}, "factory needs the name of the function: --app NAME, or tea:NAME"),
    ],
)
def test_what_is_no_name(tree, name, options, message):
    tree(["tea.py"])
    with pytest.raises(ConfigError) as caught:
        locate(name, ServerConfig(**options))
    assert str(caught.value) == message


def test_no_default_file_in_another_directory(tree):
    tree(["src/tea.py"])
    with pytest.raises(ConfigError, match=r"app/api\.py in 'src'; name the application"):
        locate(None, ServerConfig(app_dir="src"))
