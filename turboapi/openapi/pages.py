"""What an application needs to serve its document and the pages around it.

`add_documentation` adds the routes, `RoutesWatch` says when the document has to be made again.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from turboapi._speedups import routes_epoch
from turboapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from turboapi.requests import Request
from turboapi.responses import HTMLResponse, JSONResponse
from turboapi.routing import BaseRoute, iter_effective_routes

__all__ = ["DocumentedApp", "RoutesWatch", "add_documentation"]


class DocumentedApp(Protocol):
    """What the pages need of an application. They read its attributes whenever they are asked for."""

    title: str
    openapi_url: str | None
    docs_url: str | None
    redoc_url: str | None
    root_path_in_servers: bool
    swagger_ui_oauth2_redirect_url: str | None
    swagger_ui_init_oauth: dict[str, Any] | None
    swagger_ui_parameters: dict[str, Any] | None

    def openapi(self) -> dict[str, Any]: ...

    def add_route(self, path: str, route: Any, *, include_in_schema: bool) -> None: ...


def add_documentation(app: DocumentedApp) -> None:
    """Add the routes for which `app` has URLs: the document and, where it is served, its pages."""
    if not app.openapi_url:
        return
    pages = _Pages(app)
    app.add_route(app.openapi_url, pages.openapi, include_in_schema=False)
    if app.docs_url:
        app.add_route(app.docs_url, pages.swagger_ui_html, include_in_schema=False)
        if app.swagger_ui_oauth2_redirect_url:
            app.add_route(app.swagger_ui_oauth2_redirect_url, pages.swagger_ui_redirect, include_in_schema=False)
    if app.redoc_url:
        app.add_route(app.redoc_url, pages.redoc_html, include_in_schema=False)


class _Pages:
    """The handlers; their names are those of the routes."""

    def __init__(self, app: DocumentedApp) -> None:
        self.app = app

    async def openapi(self, request: Request) -> JSONResponse:
        return JSONResponse(self._with_server(self.app.openapi(), _root_path(request)))

    async def swagger_ui_html(self, request: Request) -> HTMLResponse:
        app, root_path = self.app, _root_path(request)
        redirect_url = app.swagger_ui_oauth2_redirect_url
        return get_swagger_ui_html(
            openapi_url=f"{root_path}{app.openapi_url}",
            title=f"{app.title} - Swagger UI",
            oauth2_redirect_url=root_path + redirect_url if redirect_url else redirect_url,
            init_oauth=app.swagger_ui_init_oauth,
            swagger_ui_parameters=app.swagger_ui_parameters,
        )

    async def swagger_ui_redirect(self, request: Request) -> HTMLResponse:
        return get_swagger_ui_oauth2_redirect_html()

    async def redoc_html(self, request: Request) -> HTMLResponse:
        return get_redoc_html(
            openapi_url=f"{_root_path(request)}{self.app.openapi_url}", title=f"{self.app.title} - ReDoc"
        )

    def _with_server(self, document: dict[str, Any], root_path: str) -> dict[str, Any]:
        """Return the document with the root path among the servers. The document itself serves other requests too."""
        servers = document.get("servers", [])
        if not root_path or not self.app.root_path_in_servers or root_path in {item.get("url") for item in servers}:
            return document
        return {**document, "servers": [{"url": root_path}, *servers]}


def _root_path(request: Request) -> str:
    root_path: str = request.scope.get("root_path", "")
    return root_path.rstrip("/")


class RoutesWatch:
    """Tells an application whether its document still describes its routes."""

    def __init__(self) -> None:
        self._epoch = -1
        self._seen: list[tuple[Any, Any]] = []

    def changed(self, routes: Sequence[BaseRoute]) -> bool:
        """Say whether `routes`, or those of routers among them, have changed since the last call; True the first time.

        Changes of other applications do not count, so that they leave a document that was edited by hand as it is.
        """
        epoch = routes_epoch.value
        if epoch == self._epoch:
            return False
        seen = [
            (getattr(route, "original_route", route), getattr(route, "path", None))
            for route in iter_effective_routes(routes)
        ]
        changed = self._epoch == -1 or len(seen) != len(self._seen) or not all(map(_is_same, seen, self._seen))
        self._epoch, self._seen = epoch, seen
        return changed


def _is_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    # By identity: routes count as equal when they match the same requests, however they are described.
    return one[0] is other[0] and one[1] == other[1]
