"""Serving files from directories."""

from __future__ import annotations

import errno
import importlib.util
import os
import stat
from email.utils import parsedate
from typing import Union

import anyio
import anyio.to_thread

from turboapi._utils import get_route_path
from turboapi.datastructures import URL, Headers
from turboapi.exceptions import StarletteHTTPException
from turboapi.responses import FileResponse, RedirectResponse, Response
from turboapi.types import Receive, Scope, Send
from turboapi.websockets import WebSocketClose

__all__ = ["NotModifiedResponse", "PathLike", "StaticFiles"]

PathLike = Union[str, "os.PathLike[str]"]


class NotModifiedResponse(Response):
    """A 304 with those of the given headers that it may carry (RFC 9110 section 15.4.5)."""

    NOT_MODIFIED_HEADERS = ("cache-control", "content-location", "date", "etag", "expires", "vary")

    def __init__(self, headers: Headers) -> None:
        kept = {name: value for name, value in headers.items() if name in self.NOT_MODIFIED_HEADERS}
        super().__init__(status_code=304, headers=kept)


class StaticFiles:
    """An ASGI application that serves the files of a directory; mount it below a path.

    Args:
        directory: where the files are.
        packages: names of packages whose `statics` directory is served too, or `(package, directory)` pairs.
        html: serve `index.html` for directories and `404.html` for what does not exist.
        check_dir: raise `RuntimeError` now if `directory` does not exist; otherwise on the first request.
        follow_symlink: whether links may lead out of the directories.
    """

    def __init__(
        self,
        *,
        directory: PathLike | None = None,
        packages: list[str | tuple[str, str]] | None = None,
        html: bool = False,
        check_dir: bool = True,
        follow_symlink: bool = False,
    ) -> None:
        self.directory = directory
        self.packages = packages
        self.all_directories = self.get_directories(directory, packages)
        self.html = html
        self.config_checked = False
        self.follow_symlink = follow_symlink
        if check_dir and directory is not None and not os.path.isdir(directory):
            raise RuntimeError(f"Directory '{directory}' does not exist")

    def get_directories(
        self, directory: PathLike | None = None, packages: list[str | tuple[str, str]] | None = None
    ) -> list[PathLike]:
        """Return every directory to look into, in order. Raises `AssertionError` for a package without one."""
        directories = [] if directory is None else [directory]
        for entry in packages or ():
            package, subdirectory = entry if isinstance(entry, tuple) else (entry, "statics")
            directories.append(_package_directory(package, subdirectory))
        return directories

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        assert scope["type"] == "http"
        if not self.config_checked:
            await self.check_config()
            self.config_checked = True
        response = await self.get_response(self.get_path(scope), scope)
        await response(scope, receive, send)

    def get_path(self, scope: Scope) -> str:
        """Return the path of the request below the mount point, normalised, with the separators of this system."""
        return os.path.normpath(os.path.join(*get_route_path(scope).split("/")))

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the response for `path`. Raises `HTTPException` with 401, 404 or 405."""
        if scope["method"] not in ("GET", "HEAD"):
            raise StarletteHTTPException(status_code=405, headers={"Allow": "GET, HEAD"})
        full_path, stat_result = await self._lookup_requested(path)
        if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
            return self.file_response(full_path, stat_result, scope)
        if self.html:
            is_directory = stat_result is not None and stat.S_ISDIR(stat_result.st_mode)
            response = await self._html_response(path if is_directory else None, scope)
            if response is not None:
                return response
        raise StarletteHTTPException(status_code=404)

    async def _lookup_requested(self, path: str) -> tuple[str, os.stat_result | None]:
        try:
            return await self._lookup(path)
        except PermissionError as exc:
            raise StarletteHTTPException(status_code=401) from exc
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:
                raise StarletteHTTPException(status_code=404) from exc
            raise
        except ValueError as exc:  # such as a null byte in the path
            raise StarletteHTTPException(status_code=404) from exc

    async def _lookup(self, path: str) -> tuple[str, os.stat_result | None]:
        return await anyio.to_thread.run_sync(self.lookup_path, path)

    async def _html_response(self, directory: str | None, scope: Scope) -> Response | None:
        """Return the index page of `directory`, a redirect to its name with a slash, or the page for 404."""
        if directory is not None:
            full_path, stat_result = await self._lookup(os.path.join(directory, "index.html"))
            if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
                if scope["path"].endswith("/"):
                    return self.file_response(full_path, stat_result, scope)
                # Relative links in the page need the slash.
                url = URL(scope=scope)
                return RedirectResponse(url.replace(path=url.path + "/"))
        full_path, stat_result = await self._lookup("404.html")
        if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
            return FileResponse(full_path, stat_result=stat_result, status_code=404)
        return None

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the full path and stat result of the first directory's file; `("", None)` if there is none.

        Only files inside the directories are found, whatever `..`, absolute paths and links say.
        """
        if path.startswith(("/", "\\")):
            return "", None
        resolve = os.path.abspath if self.follow_symlink else os.path.realpath
        for directory in self.all_directories:
            root = resolve(directory)
            full_path = resolve(os.path.join(directory, path))
            if os.path.commonpath((full_path, root)) != str(root):
                continue
            try:
                return full_path, os.stat(full_path)
            except (FileNotFoundError, NotADirectoryError):
                continue
        return "", None

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the file, or a 304 if the client has it."""
        response = FileResponse(full_path, status_code=status_code, stat_result=stat_result)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response

    async def check_config(self) -> None:
        """Raise `RuntimeError` if the directory is missing, which would otherwise only show as 404 responses."""
        if self.directory is None:
            return
        try:
            stat_result = await anyio.to_thread.run_sync(os.stat, self.directory)
        except FileNotFoundError as exc:
            raise RuntimeError(f"StaticFiles directory '{self.directory}' does not exist.") from exc
        if not stat.S_ISDIR(stat_result.st_mode):
            raise RuntimeError(f"StaticFiles path '{self.directory}' is not a directory.")

    def is_not_modified(self, response_headers: Headers, request_headers: Headers) -> bool:
        """Whether the conditions of the request allow a 304 (RFC 9110 section 13.2.2)."""
        if if_none_match := request_headers.get("if-none-match"):
            # Weak comparison: our own tag is strong, so only the client's may carry the mark of a weak one.
            tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
            return if_none_match.strip() == "*" or response_headers["etag"] in tags
        since = parsedate(request_headers.get("if-modified-since", ""))
        modified = parsedate(response_headers.get("last-modified", ""))
        return since is not None and modified is not None and since >= modified


def _package_directory(package: str, subdirectory: str) -> str:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, f"Package {package!r} could not be found."
    directory = os.path.normpath(os.path.join(spec.origin, "..", subdirectory))
    assert os.path.isdir(directory), f"Directory {subdirectory!r} in package {package!r} could not be found."
    return directory
