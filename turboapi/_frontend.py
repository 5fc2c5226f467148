"""`frontend()`: the files of a built single-page application, which answer where no route does.

Routers keep them apart from their routes, in one `FrontendGroup` each. The frontend with the longest path answers.
"""

import errno
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from email.message import Message
from typing import Any, Literal, cast

from turboapi import params
from turboapi._api_routes import build_dependant
from turboapi._plan.handlers import solve_dependencies
from turboapi._routes import BaseRoute, Match, NoMatchFound
from turboapi._scope import FRONTEND_PATH, FRONTEND_SPECIFICITY, fastapi_scope, update_scope
from turboapi._utils import get_route_path
from turboapi.concurrency import run_in_threadpool
from turboapi.datastructures import URL, Headers, URLPath
from turboapi.exceptions import RequestValidationError, StarletteHTTPException
from turboapi.requests import Request
from turboapi.responses import RedirectResponse, Response
from turboapi.staticfiles import StaticFiles
from turboapi.telemetry._api import _route_selected
from turboapi.types import Receive, Scope, Send

__all__ = ["Fallback", "FrontendGroup", "join_frontend_paths", "normalize_frontend_path", "resolve_check_dir"]

Fallback = Literal["auto", "index.html", "404.html"] | None
Found = tuple[str, os.stat_result]

_PAGES = ("text/html", "application/xhtml+xml")
_STACKS = ("fastapi_inner_astack", "fastapi_function_astack")


def normalize_frontend_path(path: str) -> str:
    """Return the path without slashes at its end. Raises AssertionError for one that cannot be."""
    if not path:
        raise AssertionError("A frontend path cannot be empty")
    if not path.startswith("/"):
        raise AssertionError("A frontend path must start with '/'")
    return path if path == "/" else path.rstrip("/")


def join_frontend_paths(prefix: str, path: str) -> str:
    """Return the path below a prefix, of which "/" is the prefix itself."""
    return prefix if prefix and path == "/" else prefix + path


def resolve_check_dir(directory: str | os.PathLike[str], check_dir: bool | Literal["auto"]) -> bool:
    """Return whether a missing directory is an error: "auto" means not while developing, when it warns only."""
    if check_dir != "auto":
        return check_dir
    if os.environ.get("FASTAPI_ENV") != "development":
        return True
    if not os.path.isdir(directory):
        warnings.warn(_missing(directory), stacklevel=3)
    return False


def _missing(directory: str | os.PathLike[str]) -> str:
    return f"Frontend directory '{directory}' does not exist. Resolved absolute path: '{os.path.realpath(directory)}'"


class FrontendFiles(StaticFiles):
    """The files of a frontend, and the page that answers for paths the frontend itself routes."""

    def __init__(self, *, directory: str | os.PathLike[str], fallback: Fallback, check_dir: bool) -> None:
        self.fallback = fallback
        if check_dir and not os.path.isdir(directory):
            raise RuntimeError(_missing(directory))
        super().__init__(directory=directory, html=True, check_dir=check_dir, follow_symlink=False)
        if check_dir and fallback in ("index.html", "404.html"):
            self._checked_fallback(fallback, self.lookup_path(fallback))

    def _checked_fallback(self, name: str, found: tuple[str, os.stat_result | None]) -> Found:
        full_path, stat_result = found
        if stat_result is None or not stat.S_ISREG(stat_result.st_mode):
            assert self.directory is not None
            raise RuntimeError(
                f"Frontend fallback file '{name}' does not exist in directory '{self.directory}'. "
                f"Resolved absolute directory: '{os.path.realpath(self.directory)}'"
            )
        return full_path, stat_result

    def get_path(self, scope: Scope) -> str:
        path: str = fastapi_scope(scope).get(FRONTEND_PATH, "")
        return os.path.normpath(os.path.join(*path.split("/")))

    async def get_response_for_scope(self, scope: Scope) -> Response:
        """Return the response to a request for which a frontend route has been selected."""
        if not self.config_checked:
            await self.check_config()
            self.config_checked = True
        return await self.get_response(self.get_path(scope), scope)

    async def get_response(self, path: str, scope: Scope) -> Response:
        found = await self._find_file(path)
        if scope["method"] not in ("GET", "HEAD"):
            raise StarletteHTTPException(status_code=404 if found is None else 405)
        if found is None:
            return await self._fallback_response(scope)
        full_path, stat_result, is_index = found
        if is_index and not scope["path"].endswith("/"):
            url = URL(scope=scope)  # relative links in the page need the slash
            return RedirectResponse(url=url.replace(path=url.path + "/"))
        return self.file_response(full_path, stat_result, scope)

    async def _fallback_response(self, scope: Scope) -> Response:
        if await self._uses("404.html"):
            return await self._fallback_file("404.html", scope, 404)
        if await self._uses("index.html") and _accepts_pages(scope):
            return await self._fallback_file("index.html", scope, 200)
        raise StarletteHTTPException(status_code=404)

    async def _uses(self, name: str) -> bool:
        if self.fallback != "auto":
            return self.fallback == name
        stat_result = (await run_in_threadpool(self.lookup_path, name))[1]
        return stat_result is not None and stat.S_ISREG(stat_result.st_mode)

    async def _fallback_file(self, name: str, scope: Scope, status_code: int) -> Response:
        found = self._checked_fallback(name, await run_in_threadpool(self.lookup_path, name))
        return self.file_response(*found, scope, status_code=status_code)

    async def _find_file(self, path: str) -> tuple[str, os.stat_result, bool] | None:
        """Return full path and stat result of a file, or of a directory's index page; which of them says the third."""
        for name, is_index in ((path, False), (os.path.join(path, "index.html"), True)):
            full_path, stat_result = await self._look_up(name)
            if stat_result is None:
                return None
            if stat.S_ISREG(stat_result.st_mode):
                return full_path, stat_result, is_index
            if not stat.S_ISDIR(stat_result.st_mode):
                return None
        return None

    async def _look_up(self, path: str) -> tuple[str, os.stat_result | None]:
        try:
            return await run_in_threadpool(self.lookup_path, path)
        except PermissionError:
            raise StarletteHTTPException(status_code=401) from None
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:
                raise StarletteHTTPException(status_code=404) from None
            raise
        except ValueError:  # such as a null byte in the path
            raise StarletteHTTPException(status_code=404) from None


def _accepts_pages(scope: Scope) -> bool:
    """Say whether the request is a navigation, by its Accept header: it asks for a page, and does so expressly."""
    accept = Headers(scope=scope).get("accept", "")
    return any(kind in _PAGES and quality != 0 for kind, quality in _accepted(accept))


def _accepted(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept.split(","):
        message = Message()
        message["content-type"] = item.strip()
        try:
            quality = float(cast(str, message.get_param("q", "1")))
        except (TypeError, ValueError):
            quality = 1.0
        yield message.get_content_type(), quality


class FrontendRoute(BaseRoute):
    """One frontend: a path and its files."""

    def __init__(
        self, path: str, *, directory: str | os.PathLike[str], fallback: Fallback = "auto", check_dir: bool
    ) -> None:
        if fallback not in ("auto", "index.html", "404.html", None):
            raise AssertionError("fallback must be 'auto', 'index.html', '404.html', or None")
        self.path = normalize_frontend_path(path)
        self.methods = {"GET", "HEAD"}
        self.app = FrontendFiles(directory=directory, fallback=fallback, check_dir=check_dir)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return self.matches_with_path(scope, self.path)

    def matches_with_path(self, scope: Scope, path: str) -> tuple[Match, Scope]:
        """Return how the route matches if its path is `path`."""
        rest = _path_below(path, get_route_path(scope)) if scope["type"] == "http" else None
        if rest is None:
            return Match.NONE, {}
        child_scope: Scope = {"fastapi": {FRONTEND_PATH: rest, FRONTEND_SPECIFICITY: 0 if path == "/" else len(path)}}
        return Match.FULL if scope["method"] in self.methods else Match.PARTIAL, child_scope

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.app.get_response_for_scope(scope)
        await response(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)


def _path_below(path: str, route_path: str) -> str | None:
    if path == "/":
        return route_path.lstrip("/")
    if route_path == path:
        return ""
    return route_path[len(path) + 1 :] if route_path.startswith(path + "/") else None


def _frontend() -> None:
    """Stands where dependencies expect an endpoint."""


class FrontendGroup(BaseRoute):
    """The frontends of a router, behind the router's dependencies."""

    def __init__(
        self,
        *,
        dependencies: Sequence[params.Depends] | None = None,
        dependency_overrides_provider: Any | None = None,
        prefix: str = "",
        routes: list[FrontendRoute] | None = None,
    ) -> None:
        self.routes: list[FrontendRoute] = [] if routes is None else routes
        self.dependencies = list(dependencies or [])
        self.dependency_overrides_provider = dependency_overrides_provider
        self.prefix = prefix
        self.dependant, _, self._embed_body_fields = build_dependant("", _frontend, self.dependencies)

    def included(self, prefix: str, dependencies: Sequence[params.Depends], provider: Any) -> "FrontendGroup":
        """Return the group as it is served from an included router. The frontends stay shared."""
        return FrontendGroup(
            dependencies=[*dependencies, *self.dependencies],
            dependency_overrides_provider=provider,
            prefix=prefix,
            routes=self.routes,
        )

    def add_frontend_route(
        self, path: str, *, directory: str | os.PathLike[str], fallback: Fallback = "auto", check_dir: bool
    ) -> None:
        """Add a frontend."""
        self.routes.append(FrontendRoute(path, directory=directory, fallback=fallback, check_dir=check_dir))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return self.matches_with_prefix(scope, self.prefix)

    def matches_with_prefix(self, scope: Scope, prefix: str) -> tuple[Match, Scope]:
        """Return how the group matches if its prefix is `prefix`."""
        return self._find(scope, prefix)[:2]

    def _find(self, scope: Scope, prefix: str) -> tuple[Match, Scope, FrontendRoute | None]:
        """Return how the frontend with the longest path matches; a full match comes first."""
        best: tuple[Match, Scope, FrontendRoute | None] = (Match.NONE, {}, None)
        best_rank = (Match.NONE.value, -1)
        for route in self.routes:
            match, child_scope = route.matches_with_path(scope, join_frontend_paths(prefix, route.path))
            if match is not Match.NONE:
                rank = (match.value, child_scope["fastapi"][FRONTEND_SPECIFICITY])
                if rank > best_rank:
                    best, best_rank = (match, child_scope, route), rank
        return best

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        match, child_scope, route = self._find(scope, self.prefix)
        if route is None:
            raise StarletteHTTPException(status_code=404)
        update_scope(scope, child_scope)
        path = join_frontend_paths(self.prefix, route.path)
        _route_selected(scope=scope, path=path.rstrip("/") + "/{path}")
        if match is not Match.FULL or not self.dependant.dependencies:
            await route.handle(scope, receive, send)
            return
        with _restoring(scope, _STACKS):
            async with AsyncExitStack() as stack, AsyncExitStack() as function_stack:
                scope["fastapi_inner_astack"], scope["fastapi_function_astack"] = stack, function_stack
                response = await self._respond(Request(scope, receive, send), route)
                await response(scope, receive, send)

    async def _respond(self, request: Request, route: FrontendRoute) -> Response:
        """Return the file that was found, if the dependencies do not object."""
        solved = await solve_dependencies(
            request=request,
            dependant=self.dependant,
            dependency_overrides_provider=self.dependency_overrides_provider,
            async_exit_stack=request.scope["fastapi_inner_astack"],
            embed_body_fields=self._embed_body_fields,
        )
        if solved.errors:
            raise RequestValidationError(solved.errors)
        response = await route.app.get_response_for_scope(request.scope)
        if response.background is None:
            response.background = cast(Any, solved.background_tasks)
        response.raw_headers.extend(solved.response.raw_headers)
        return response

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)


@contextmanager
def _restoring(scope: Scope, keys: Sequence[str]) -> Iterator[None]:
    before = {key: scope[key] for key in keys if key in scope}
    try:
        yield
    finally:
        for key in keys:
            scope.pop(key, None)
        scope.update(before)
