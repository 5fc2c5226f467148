"""Templates are rendered as by the oracle."""

import importlib
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import starlette.requests
import starlette.routing
import starlette.templating

from turboapi import TurboAPI, _routes, templating
from turboapi.background import BackgroundTask
from turboapi.requests import Request
from turboapi.responses import HTMLResponse
from turboapi.templating import Jinja2Templates
from turboapi.testclient import TestClient

FILES = {
    "page.html": "<a href=\"{{ url_for('item', id=7) }}\">{{ name }}</a> {{ request.url.path }} {{ added }}",
    "page.txt": "{{ name }}",
    "name.html": "{{ url_for('named', name='x') }}",
}
OURS = (templating, Request, _routes)
THEIRS = (starlette.templating, starlette.requests.Request, starlette.routing)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def make_request(library: Any) -> Any:
    _, request, routing = library
    routes = [routing.Route("/items/{id:int}", print, name="item"), routing.Route("/n/{name}", print, name="named")]
    scope = {"type": "http", "path": "/page", "headers": [(b"host", b"example.org")], "scheme": "http"}
    return request({**scope, "query_string": b"", "server": None, "router": routing.Router(routes)})


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("context", [None, {}, {"name": "<b>"}])
def test_templates_are_rendered_alike(directory: Path, name: str, context: Any) -> None:
    def rendered(library: Any) -> Any:
        templates = library[0].Jinja2Templates(directory, context_processors=[lambda request: {"added": "<i>"}])
        given = None if context is None else dict(context)
        response = templates.TemplateResponse(make_request(library), name, given)
        return response.status_code, response.raw_headers, response.body, sorted(given or {})

    assert rendered(OURS) == rendered(THEIRS)


def test_a_page(directory: Path) -> None:
    response = Jinja2Templates(str(directory)).TemplateResponse(make_request(OURS), "page.html", {"name": "<b>"})
    assert response.body == b'<a href="http://example.org/items/7">&lt;b&gt;</a> /page '
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert isinstance(response, HTMLResponse)


def test_a_parameter_of_a_path_may_be_called_name(directory: Path) -> None:
    response = Jinja2Templates(directory).TemplateResponse(make_request(OURS), "name.html")
    assert response.body == b"http://example.org/n/x"


def test_the_arguments_of_a_response(directory: Path) -> None:
    task = BackgroundTask(print)
    response = Jinja2Templates(directory).TemplateResponse(
        make_request(OURS), "page.txt", {"name": "<b>"}, 201, {"x-a": "b"}, "text/plain", task
    )
    assert (response.status_code, response.headers["x-a"], response.background) == (201, "b", task)
    assert (response.headers["content-type"], response.body) == ("text/plain; charset=utf-8", b"<b>")


def test_context_processors_come_after_the_context_and_in_order(directory: Path) -> None:
    processors: list[Any] = [
        lambda request: {"name": "first", "added": "first"},
        lambda request: {"added": request.url.path},
    ]
    templates = Jinja2Templates(directory, context_processors=processors)
    response = templates.TemplateResponse(make_request(OURS), "page.html", {"name": "given", "added": "given"})
    assert response.body.endswith(b">first</a> /page /page")


def test_the_request_in_the_context_is_kept(directory: Path) -> None:
    other = make_request(OURS)
    other.scope["path"] = "/other"
    response = Jinja2Templates(directory).TemplateResponse(make_request(OURS), "page.html", {"request": other})
    assert b" /other " in response.body


def test_the_first_directory_with_the_template_wins(tmp_path: Path) -> None:
    for name, files in {"a": ["x.html"], "b": ["x.html", "y.html"]}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(f"{name}/{file}")
    templates = Jinja2Templates([tmp_path / "a", str(tmp_path / "b")])
    assert [templates.get_template(name).render() for name in ("x.html", "y.html")] == ["a/x.html", "b/y.html"]
    with pytest.raises(jinja2.TemplateNotFound):
        templates.get_template("z.html")


def test_an_environment_is_used_as_it_is() -> None:
    env = jinja2.Environment(loader=jinja2.DictLoader({"x": "{{ url_for }} {{ name }}"}), autoescape=False)
    env.globals["url_for"] = "own"
    templates = Jinja2Templates(env=env)
    assert templates.env is env
    assert templates.TemplateResponse(make_request(OURS), "x", {"name": "<b>"}).body == b"own <b>"


@pytest.mark.parametrize("arguments", [{}, {"directory": "x", "env": jinja2.Environment()}, {"directory": ""}])
def test_either_directory_or_environment_is_needed(arguments: dict[str, Any]) -> None:
    for module in (templating, starlette.templating):
        with pytest.raises(AssertionError, match="^either 'directory' or 'env' arguments must be passed$"):
            module.Jinja2Templates(**arguments)


def test_the_test_client_shows_template_and_context(directory: Path) -> None:
    templates = Jinja2Templates(directory)
    app = TurboAPI()

    @app.get("/page/{name}", name="named")
    async def page(request: Request, name: str) -> Any:
        return templates.TemplateResponse(request, "name.html", {"name": name})

    response: Any = TestClient(app).get("/page/x")
    assert response.text == "http://testserver/page/x"
    assert response.template.name == "name.html"
    assert response.context.keys() == {"request", "name"}


def test_a_response_works_without_a_request_in_its_context() -> None:
    response = templating._TemplateResponse(jinja2.Template("text"), {})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await response(scope, receive, send)

    answer = TestClient(app).get("/")
    assert answer.text == "text"
    assert not hasattr(answer, "template")


def test_without_jinja2_the_import_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "turboapi.templating")
    with pytest.raises(ImportError, match="^jinja2 must be installed to use Jinja2Templates$"):
        importlib.import_module("turboapi.templating")
