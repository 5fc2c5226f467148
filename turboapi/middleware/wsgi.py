"""Runs WSGI applications (PEP 3333) in worker threads. Deprecated; importing it warns.

The request's body is read before the application is called. What the application sends goes from its thread through an
unbounded stream, so that a slow client does not hold the thread.
"""

from __future__ import annotations

import io
import math
import sys
import warnings
from collections.abc import Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from turboapi._utils import create_collapsing_task_group
from turboapi.exceptions import StarletteDeprecationWarning
from turboapi.types import Message, Receive, Scope, Send

__all__ = ["WSGIMiddleware", "WSGIResponder", "build_environ"]

warnings.warn(
    "starlette.middleware.wsgi is deprecated and will be removed in a future release. "
    "Please refer to https://github.com/abersheeran/a2wsgi as a replacement.",
    StarletteDeprecationWarning,
    stacklevel=2,
)

WSGIApp = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_WITHOUT_PREFIX = {"content-length": "CONTENT_LENGTH", "content-type": "CONTENT_TYPE"}


def build_environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a request: its ASGI scope and its whole body."""
    script_name = _as_wsgi_text(scope.get("root_path", ""))
    server_name, server_port = scope.get("server") or ("localhost", 80)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": script_name,
        "PATH_INFO": _path_info(_as_wsgi_text(scope["path"]), script_name),
        "QUERY_STRING": scope["query_string"].decode("ascii"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stdout,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"] = scope["client"][0]
    _add_headers(environ, scope.get("headers", []))
    return environ


def _as_wsgi_text(text: str) -> str:
    """Text whose characters stand for the bytes of the UTF-8 encoding: "bytes in a str" of PEP 3333."""
    return text.encode().decode("latin-1")


def _path_info(path: str, script_name: str) -> str:
    is_below = path == script_name or path.startswith(script_name.rstrip("/") + "/")
    return path[len(script_name) :] if is_below else path


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        key = _WITHOUT_PREFIX.get(name) or f"HTTP_{name}".upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value


class WSGIMiddleware:
    """An ASGI application that is the WSGI application `app`. HTTP only."""

    def __init__(self, app: WSGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await WSGIResponder(self.app, scope)(receive, send)


class WSGIResponder:
    """One request to a WSGI application.

    An exception that the application hands to `start_response` is raised when the response has been sent.
    """

    stream_send: ObjectSendStream[MutableMapping[str, Any]]
    stream_receive: ObjectReceiveStream[MutableMapping[str, Any]]

    def __init__(self, app: WSGIApp, scope: Scope) -> None:
        self.app = app
        self.scope = scope
        self.status = None
        self.response_headers = None
        self.stream_send, self.stream_receive = anyio.create_memory_object_stream(math.inf)
        self.response_started = False
        self.exc_info: ExcInfo | None = None

    async def __call__(self, receive: Receive, send: Send) -> None:
        environ = build_environ(self.scope, await _read_body(receive))
        async with create_collapsing_task_group() as task_group:
            task_group.start_soon(self.sender, send)
            async with self.stream_send:
                await anyio.to_thread.run_sync(self.wsgi, environ, self.start_response)
        if self.exc_info is not None:
            raise self.exc_info[1].with_traceback(self.exc_info[2])

    async def sender(self, send: Send) -> None:
        """Send to the client what the thread puts into the stream."""
        async with self.stream_receive:
            async for message in self.stream_receive:
                await send(message)

    def start_response(
        self, status: str, response_headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> None:
        """The `start_response` of PEP 3333, without its deprecated `write`; once the response has begun, it stays."""
        self.exc_info = exc_info
        if self.response_started:
            return
        self.response_started = True
        headers = [
            (name.strip().encode("ascii").lower(), value.strip().encode("ascii")) for name, value in response_headers
        ]
        self._send({"type": "http.response.start", "status": int(status.partition(" ")[0]), "headers": headers})

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        """Run the application, in a worker thread."""
        for chunk in self.app(environ, start_response):
            self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._send({"type": "http.response.body", "body": b""})

    def _send(self, message: Message) -> None:
        anyio.from_thread.run(self.stream_send.send, message)


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    more_body = True
    while more_body:
        message = await receive()
        body += message.get("body", b"")
        more_body = message.get("more_body", False)
    return bytes(body)
