import re
import sys

import pytest
import uvicorn.importer

from turboapi.server.config import ConfigError, ServerConfig
from turboapi.server.importer import ImportAppError, import_app, load_app
from turboapi.server.tracebacks import format_short

SHOP = """
class Holder:
    async def app(self, scope, receive, send): ...

holder = Holder()
number = 3

async def application(scope, receive, send): ...
def make(): return application
def broken(): raise ValueError("first\\nsecond")
def nothing(): return None
def two(scope, receive): ...
class Modern:
    def __call__(self, scope, receive, send): ...
modern = Modern()
class Old:
    def __init__(self, scope): ...
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a few modules; what is imported from it is forgotten afterwards."""
    (tmp_path / "shop_app.py").write_text(SHOP)
    (tmp_path / "fails_app.py").write_text("def deeper():\n    return 1 / 0\n\n\ndeeper()\n")
    (tmp_path / "needs_app.py").write_text("import module_that_is_missing\n")
    (tmp_path / "syntax_app.py").write_text("def (\n")
    (tmp_path / "package_app").mkdir()
    (tmp_path / "package_app" / "__init__.py").write_text("")
    (tmp_path / "package_app" / "inner.py").write_text("def app(scope, receive, send): ...\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield str(tmp_path)
    for name in set(sys.modules) - before:
        if name.partition(".")[0].endswith("_app"):
            del sys.modules[name]


@pytest.mark.parametrize("target", ["shop_app:application", "shop_app:holder.app", "package_app.inner:app"])
def test_finds_what_uvicorn_finds(project, target):
    found = import_app(target, project)
    assert found == uvicorn.importer.import_from_string(target)
    assert sys.path[0] == project


def test_the_directory_is_put_on_the_path_once(project):
    import_app("shop_app:holder", project)
    import_app("shop_app:holder", project)
    assert sys.path.count(project) == 1


@pytest.mark.parametrize(
    ("target", "example"),
    [
        ("shop_app:", "shop_app:app"),
        (":app", "main:app"),
        ("shop_app:a b", "shop_app:app"),
        ("shop_app:holder.", "shop_app:app"),
        ("./src/shop_app.py:app", "src.shop_app:app"),
    ],
)
def test_a_malformed_name(target, example):
    with pytest.raises(ConfigError) as caught:
        import_app(target)
    assert str(caught.value) == (
        f"{target!r} does not name an application; write module:attribute, for example {example}"
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_app:app", "no module named 'no_such_app' in {} or elsewhere on the import path"),
        (
            "no_such.inner:app",
            "no module named 'no_such.inner' (there is no 'no_such') in {} or elsewhere on the import path",
        ),
        (
            "package_app.missing:app",
            "no module named 'package_app.missing' in {} or elsewhere on the import path",
        ),
        (
            "package_app/inner.py:app",
            "no module named 'package_app/inner.py'; write it without the file ending and with dots: "
            "package_app.inner:app",
        ),
        (
            "shop_app.py:application",
            "no module named 'shop_app.py'; write it without the file ending and with dots: shop_app:app",
        ),
        ("shop_app:aplication", "'shop_app' has no attribute 'aplication'; did you mean 'application'?"),
        ("shop_app:zzz", "'shop_app' has no attribute 'zzz'"),
        ("shop_app:holder.ap", "'shop_app' has no attribute 'ap'; did you mean 'app'?"),
    ],
)
def test_what_is_not_there(project, target, message):
    with pytest.raises(ImportAppError) as caught:
        import_app(target, project)
    assert str(caught.value) == message.format(project)
    assert caught.value.__cause__ is None
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("target", "kind", "message", "frames"),
    [
        ("fails_app:app", ZeroDivisionError, "ZeroDivisionError: division by zero", ["<module>", "deeper"]),
        (
            "needs_app:app",
            ModuleNotFoundError,
            "ModuleNotFoundError: No module named 'module_that_is_missing'",
            ["<module>"],
        ),
        ("syntax_app:app", SyntaxError, "SyntaxError: invalid syntax (syntax_app.py, line 1)", []),
    ],
)
def test_a_module_that_fails_itself_shows_its_own_traceback(project, target, kind, message, frames):
    with pytest.raises(ImportAppError) as caught:
        import_app(target, project)
    module = target.partition(":")[0]
    assert str(caught.value) == f"'{module}' failed while it was imported: {message}"
    cause = caught.value.__cause__
    assert isinstance(cause, kind)
    assert re.findall(r"line \d+, in (\S+)", format_short(cause)) == frames


def test_an_application_object_is_taken_as_it_is():
    async def app(scope, receive, send): ...

    assert load_app(app, ServerConfig()) is app


@pytest.mark.parametrize("name", ["modern", "application", "holder.app"])
def test_callables_of_three_arguments_are_applications(project, name):
    assert load_app(f"shop_app:{name}", ServerConfig(app_dir=project)) is not None


def test_a_factory_is_called(project):
    config = ServerConfig(app_dir=project, factory=True)
    assert load_app("shop_app:make", config) is import_app("shop_app:application", project)


@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [
        ("number", False, "'shop_app:number' is not an application, but an int"),
        (
            "make",
            False,
            "'shop_app:make' takes no arguments; if it is a function that returns an application, use --factory",
        ),
        (
            "two",
            False,
            "'shop_app:two' is not an ASGI application: it does not take scope, receive and send. "
            "If it is a WSGI application, wrap it with turboapi.middleware.wsgi.WSGIMiddleware",
        ),
        (
            "Old",
            False,
            "'shop_app:Old' is not an ASGI application: it does not take scope, receive and send. "
            "If it is an ASGI 2 application, wrap it with asgiref.compatibility.double_to_single_callable",
        ),
        ("number", True, "'shop_app:number' is not a function that returns an application, but an int"),
        ("nothing", True, "'shop_app:nothing' is not an application, but a NoneType"),
        ("broken", True, "'shop_app:broken' failed to make an application: ValueError: first"),
    ],
)
def test_what_is_not_an_application(project, name, factory, message):
    with pytest.raises(ImportAppError) as caught:
        load_app(f"shop_app:{name}", ServerConfig(app_dir=project, factory=factory))
    assert str(caught.value) == message
    assert (caught.value.__cause__ is not None) == (name == "broken")
