import asyncio
import errno
import os
import sys
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import starlette.exceptions
import starlette.staticfiles

import turboapi.exceptions
from turboapi import staticfiles
from turboapi.staticfiles import StaticFiles

Message = dict[str, Any]


async def never() -> Any:
    await asyncio.get_running_loop().create_future()


def result_of(app: Any, path: str, headers: dict[str, str] | None = None, **scope: Any) -> Any:
    """Run the application on one request; return the messages it sends, or status, detail and headers of its error."""
    messages: list[Message] = []
    raw_headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def send(message: Message) -> None:
        messages.append(message)

    async def run() -> None:
        base = {"type": "http", "method": "GET", "root_path": "", "scheme": "http", "query_string": b"q=1"}
        base |= {"path": path, "headers": raw_headers, "server": ("host", 80), "asgi": {"spec_version": "2.4"}}
        await app({**base, **scope}, never, send)

    try:
        asyncio.run(run())
    except (turboapi.exceptions.StarletteHTTPException, starlette.exceptions.HTTPException) as exc:
        return exc.status_code, exc.detail, exc.headers
    return messages


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory to serve, with secrets beside it."""
    root = tmp_path / "site"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "plain.txt").write_text("plain")
    (root / "sub" / "index.html").write_text("<p>sub")
    (root / "sub" / "page.html").write_text("<p>page")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site-secret").mkdir()
    (tmp_path / "site-secret" / "x.txt").write_text("secret")
    (root / "outward.txt").symlink_to(tmp_path / "secret.txt")
    (root / "inward.txt").symlink_to(root / "plain.txt")
    return root


def assert_same(tree: Path, options: dict[str, Any], *request: Any, **scope: Any) -> Any:
    def run(lib: ModuleType) -> Any:
        return result_of(lib.StaticFiles(directory=tree, **options), *request, **scope)

    ours = run(staticfiles)
    assert ours == run(starlette.staticfiles)
    return ours


PATHS = [
    *(
        "/plain.txt",
        "/",
        "/sub",
        "/sub/",
        "/sub/page.html",
        "/sub/empty",
        "/sub/empty/",
        "/missing",
        "/plain.txt/x",
        "//",
    ),
    *(
        "/inward.txt",
        "/outward.txt",
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/../site-secret/x.txt",
        "/sub/./page.html",
    ),
    *("//etc/passwd", "/\\etc\\passwd", "/nul\0byte", f"/{'long' * 100}", "/sub//page.html", "/plain.txt/.."),
]


@pytest.mark.parametrize("path", PATHS, ids=[path[:20] for path in PATHS])
@pytest.mark.parametrize("page_for_404", [False, True])
@pytest.mark.parametrize("options", [{}, {"html": True}, {"follow_symlink": True}], ids=repr)
def test_paths_lead_where_they_lead_in_the_reference(
    path: str, options: dict[str, Any], page_for_404: bool, tree: Path
) -> None:
    if page_for_404:
        (tree / "404.html").write_text("<p>not found")
    assert_same(tree, options, path)


@pytest.mark.parametrize("path", ["/outward.txt", "/../secret.txt", "/../site-secret/x.txt", "//etc/passwd"])
def test_nothing_outside_of_the_directory_is_served(path: str, tree: Path) -> None:
    assert result_of(StaticFiles(directory=tree), path) == (404, "Not Found", None)


def test_absolute_paths_are_not_looked_up(tree: Path) -> None:
    app = StaticFiles(directory=tree)
    assert app.lookup_path("plain.txt")[0] == str(tree / "plain.txt")
    assert app.lookup_path(str(tree / "plain.txt")) == ("", None)


def test_links_may_lead_outside_when_allowed(tree: Path) -> None:
    messages = result_of(StaticFiles(directory=tree, follow_symlink=True), "/outward.txt")
    assert messages[1]["body"] == b"secret"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "get"])
def test_methods_are_answered_like_in_the_reference(method: str, tree: Path) -> None:
    result = assert_same(tree, {}, "/plain.txt", method=method)
    if method not in ("GET", "HEAD"):
        assert result == (405, "Method Not Allowed", {"Allow": "GET, HEAD"})


def test_mounted_path_is_relative_to_the_root_path(tree: Path) -> None:
    assert assert_same(tree, {}, "/static/plain.txt", root_path="/static")[1]["body"] == b"plain"


def test_redirect_to_the_directory_keeps_host_and_query(tree: Path) -> None:
    start = assert_same(tree, {"html": True}, "/files/sub", root_path="/files")[0]
    assert dict(start["headers"])[b"location"] == b"http://host/files/sub/?q=1"


def conditions(tree: Path) -> list[tuple[dict[str, str], int]]:
    now = (tree / "plain.txt").stat().st_mtime
    etag = staticfiles.FileResponse(tree / "plain.txt", stat_result=(tree / "plain.txt").stat()).headers["etag"]
    return [
        ({"if-none-match": etag}, 304),
        ({"if-none-match": f'"other", W/{etag}'}, 304),
        ({"if-none-match": " * "}, 304),
        ({"if-none-match": '"other"'}, 200),
        ({"if-none-match": '"other"', "if-modified-since": formatdate(now, usegmt=True)}, 200),
        ({"if-none-match": "", "if-modified-since": formatdate(now, usegmt=True)}, 304),
        ({"if-modified-since": formatdate(now + 60, usegmt=True)}, 304),
        ({"if-modified-since": formatdate(now - 60, usegmt=True)}, 200),
        ({"if-modified-since": "not a date"}, 200),
    ]


@pytest.mark.parametrize("number", range(9))
def test_conditional_requests_are_answered_like_in_the_reference(number: int, tree: Path) -> None:
    headers, status = conditions(tree)[number]
    messages = assert_same(tree, {}, "/plain.txt", headers)
    assert messages[0]["status"] == status
    if status == 304:
        assert messages[1]["body"] == b""
        assert {name for name, _ in messages[0]["headers"]} == {b"etag"}


def test_websockets_are_closed(tree: Path) -> None:
    assert assert_same(tree, {}, "/plain.txt", type="websocket") == [
        {"type": "websocket.close", "code": 1000, "reason": ""}
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(PermissionError(), 401), (OSError(errno.ENAMETOOLONG, "long"), 404), (ValueError(), 404)]
)
def test_errors_of_the_lookup_become_statuses(
    error: Exception, status: int, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, path: str) -> Any:
        raise error

    monkeypatch.setattr(StaticFiles, "lookup_path", fail)
    assert result_of(StaticFiles(directory=tree), "/x")[0] == status


def test_other_errors_of_the_lookup_propagate(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, path: str) -> Any:
        raise TimeoutError

    monkeypatch.setattr(StaticFiles, "lookup_path", fail)
    with pytest.raises(TimeoutError):
        result_of(StaticFiles(directory=tree), "/x")


def test_missing_directory_is_noticed_at_once(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="^Directory '.*missing' does not exist$"):
        StaticFiles(directory=tmp_path / "missing")


def test_missing_directory_is_noticed_on_the_first_request_otherwise(tmp_path: Path) -> None:
    app = StaticFiles(directory=tmp_path / "missing", check_dir=False)
    with pytest.raises(RuntimeError, match="^StaticFiles directory '.*missing' does not exist.$"):
        result_of(app, "/x")
    (tmp_path / "missing").write_text("a file")
    with pytest.raises(RuntimeError, match="^StaticFiles path '.*missing' is not a directory.$"):
        result_of(app, "/x")


def test_configuration_is_checked_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = StaticFiles(directory=tree)
    result_of(app, "/plain.txt")
    monkeypatch.setattr(app, "directory", tree / "missing")
    assert result_of(app, "/plain.txt")[0]["status"] == 200


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("statics", "other"):
        (tmp_path / "static_package" / name).mkdir(parents=True)
        (tmp_path / "static_package" / name / f"{name}.txt").write_text(name)
    (tmp_path / "static_package" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return "static_package"


def test_packages_are_served_after_the_directory(package: str, tree: Path) -> None:
    app = StaticFiles(directory=tree, packages=[package, (package, "other")])
    for name in ("plain", "statics", "other"):
        assert result_of(app, f"/{name}.txt")[1]["body"] == name.encode()
    assert [os.path.basename(directory) for directory in app.all_directories] == ["site", "statics", "other"]


def test_packages_need_no_directory(package: str) -> None:
    assert result_of(StaticFiles(packages=[package]), "/statics.txt")[1]["body"] == b"statics"


def test_packages_must_exist_and_have_the_directory(package: str) -> None:
    with pytest.raises(AssertionError, match="Package 'no_such_package' could not be found."):
        StaticFiles(packages=["no_such_package"])
    with pytest.raises(AssertionError, match="Directory 'none' in package 'static_package' could not be found."):
        StaticFiles(packages=[(package, "none")])
