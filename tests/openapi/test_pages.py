from collections.abc import Callable
from typing import Any

import fastapi
import fastapi.testclient
import httpx
import pytest

import turboapi
from turboapi.openapi.pages import RoutesWatch
from turboapi.testclient import TestClient

URLS = ["/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/spec", "/ui", "/ui/back", "/re"]
CUSTOM = {"openapi_url": "/spec", "docs_url": "/ui", "redoc_url": "/re", "swagger_ui_oauth2_redirect_url": "/ui/back"}

pytestmark = pytest.mark.filterwarnings("ignore:.*httpx:DeprecationWarning")


def declare(app: Any) -> Any:
    @app.get("/items/{item_id}")
    def read_item(item_id: int) -> dict[str, int]:
        return {"id": item_id}

    return app


@pytest.mark.parametrize(
    "options",
    [{}, CUSTOM, *({name: None} for name in CUSTOM), {"servers": [{"url": "/api"}]}, {"root_path_in_servers": False}],
    ids=str,
)
@pytest.mark.parametrize("root_path", ["", "/api", "/api/"])
def test_what_is_served_where_is_as_in_the_reference(options: dict[str, Any], root_path: str) -> None:
    theirs = fastapi.testclient.TestClient(declare(fastapi.FastAPI(**options)), root_path=root_path)
    ours = TestClient(declare(turboapi.TurboAPI(**options)), root_path=root_path)
    for url in URLS:
        expected, actual = theirs.get(root_path.rstrip("/") + url), ours.get(root_path.rstrip("/") + url)
        assert actual.status_code == expected.status_code
        assert actual.headers["content-type"] == expected.headers["content-type"]
        if "json" in actual.headers["content-type"]:
            assert actual.content == expected.content
        for name in ("openapi_url", "swagger_ui_oauth2_redirect_url"):
            path = options.get(name) or {"openapi_url": "/openapi.json"}.get(name, "/docs/oauth2-redirect")
            assert (root_path.rstrip("/") + path in actual.text) == (root_path.rstrip("/") + path in expected.text)


def test_pages_are_titled_after_the_application() -> None:
    client = TestClient(
        turboapi.TurboAPI(title="The API", swagger_ui_init_oauth={"a": 1}, swagger_ui_parameters={"b": 2})
    )
    page = client.get("/docs").text
    assert "<title>The API - Swagger UI</title>" in page
    assert 'initOAuth({"a": 1})' in page
    assert '"b": 2,' in page
    assert "<title>The API - ReDoc</title>" in client.get("/redoc").text


def test_pages_are_not_in_the_document() -> None:
    app = turboapi.TurboAPI()
    assert app.openapi()["paths"] == {}
    assert [route.name for route in app.routes] == ["openapi", "swagger_ui_html", "swagger_ui_redirect", "redoc_html"]


def test_the_root_path_of_one_request_is_not_told_to_others() -> None:
    app = declare(turboapi.TurboAPI(servers=[{"url": "https://example.com"}]))
    assert TestClient(app, root_path="/evil").get("/evil/openapi.json").json()["servers"][0] == {"url": "/evil"}
    assert TestClient(app).get("/openapi.json").json()["servers"] == [{"url": "https://example.com"}]


def test_an_own_document_is_served() -> None:
    app = turboapi.TurboAPI()
    app.openapi = lambda: {"mine": True}  # type: ignore[method-assign]
    assert TestClient(app).get("/openapi.json").json() == {"mine": True}


def test_the_document_over_a_socket(client_for: Callable[..., httpx.Client]) -> None:
    app = declare(turboapi.TurboAPI())
    assert client_for(app).get("/openapi.json").json() == app.openapi()


def test_the_document_is_made_again_when_routes_are_added() -> None:
    app, router = turboapi.TurboAPI(), turboapi.APIRouter(prefix="/r")
    app.include_router(router)
    first = app.openapi()
    assert app.openapi() is first is app.openapi_schema
    declare(router)
    assert list(app.openapi()["paths"]) == ["/r/items/{item_id}"]
    declare(app)
    assert list(app.openapi()["paths"]) == ["/r/items/{item_id}", "/items/{item_id}"]


def test_an_edited_document_survives_changes_elsewhere() -> None:
    app = declare(turboapi.TurboAPI())
    app.openapi_schema = {**app.openapi(), "x-mine": True}
    declare(turboapi.TurboAPI())
    assert app.openapi()["x-mine"] is True
    app.openapi_schema = None
    assert "x-mine" not in app.openapi()


def test_a_replaced_route_is_a_change() -> None:
    router, watch = turboapi.APIRouter(), RoutesWatch()
    assert watch.changed(router.routes)
    declare(router)
    assert watch.changed(router.routes)
    assert not watch.changed(router.routes)
    router.routes.clear()
    declare(router)
    assert watch.changed(router.routes)
