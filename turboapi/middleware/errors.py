"""The last resort for exceptions nobody handled: an error page, and the exception itself for the server's log."""

from __future__ import annotations

import traceback
from html import escape
from inspect import FrameInfo, getinnerframes
from typing import Any, cast

from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.requests import Request
from turboapi.responses import HTMLResponse, PlainTextResponse, Response
from turboapi.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

__all__ = ["ServerErrorMiddleware", "add_error_header"]

_ERROR_HEADERS = "turboapi.error_headers"

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>TurboAPI Debugger</title>
<style>
body {{ margin: 2rem auto; max-width: 70rem; padding: 0 1rem; font-family: sans-serif; color: #1d2129; }}
h2 {{ font-weight: normal; overflow-wrap: anywhere; }}
details {{ margin: .4rem 0; border: 1px solid #ccd3dd; border-radius: .3rem; overflow: hidden; }}
summary {{ padding: .5rem .7rem; background: #eef2f7; cursor: pointer; }}
ol {{ margin: 0; padding: .5rem 0 .5rem 4.5rem; overflow-x: auto; font-family: monospace; white-space: pre; }}
li.current {{ background: #ffe2dd; }}
</style>
</head>
<body>
<h1>500 Server Error</h1>
<h2>{error}</h2>
<h3>Traceback, innermost call first</h3>
{frames}
</body>
</html>
"""

_FRAME = """\
<details{state}>
<summary>File <code>{filename}</code>, line <b>{lineno}</b>, in <b>{function}</b></summary>
<ol start="{first}">{lines}</ol>
</details>
"""


def add_error_header(scope: Scope, name: bytes, value: bytes) -> None:
    """Let the response to an exception that nobody handles, which passes no other middleware, have this header."""
    scope[_ERROR_HEADERS] = [*scope.get(_ERROR_HEADERS, ()), (name, value)]


class ServerErrorMiddleware:
    """Answers every exception with a 500 and raises it again, so that servers log it and test clients see it.

    Args:
        app: the application; this middleware belongs outside of everything else.
        handler: makes the response, from the request and the exception; a plain text one is sent without it.
        debug: send a page with the traceback instead. Never switch this on where strangers can see it.
    """

    def __init__(self, app: ASGIApp, handler: ExceptionHandler | None = None, debug: bool = False) -> None:
        self.app = app
        self.handler = handler
        self.debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response_started = False

        async def sender(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
            await send(message)

        try:
            await self.app(scope, receive, sender)
        except Exception as exc:
            # The handler is called in any case: it may be what reports errors, of background tasks for example.
            response = await self.make_response(Request(scope), exc)
            if not response_started:
                await response(scope, receive, send)
            raise

    async def make_response(self, request: Request, exc: Exception) -> Response:
        """Return the answer to an exception that nobody expected, with the headers of `add_error_header`."""
        response = await self._respond(request, exc)
        for name, value in request.scope.get(_ERROR_HEADERS, ()):
            if name.decode("latin-1") not in response.headers:
                response.raw_headers.append((name, value))
        return response

    async def _respond(self, request: Request, exc: Exception) -> Response:
        if self.debug:
            return await run_in_threadpool(self.debug_response, request, exc)
        handler: Any = self.handler
        if handler is None:
            return self.error_response(request, exc)
        response = handler(request, exc) if is_async_callable(handler) else run_in_threadpool(handler, request, exc)
        return cast(Response, await response)

    def error_response(self, request: Request, exc: Exception) -> Response:
        """Return the answer that tells the client nothing about the exception."""
        return PlainTextResponse("Internal Server Error", status_code=500)

    def debug_response(self, request: Request, exc: Exception) -> Response:
        """Return the traceback, as a page for browsers and as plain text for everything else."""
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(self.generate_html(exc), status_code=500)
        return PlainTextResponse(self.generate_plain_text(exc), status_code=500)

    def generate_plain_text(self, exc: Exception) -> str:
        """Return what Python would print for the exception."""
        return "".join(traceback.format_exception(exc))

    def generate_html(self, exc: Exception, limit: int = 7) -> str:
        """Return a page with the traceback and `limit` lines of source code for each call."""
        frames = getinnerframes(exc.__traceback__, limit) if exc.__traceback__ is not None else []
        parts = [self.generate_frame_html(frame, index > 0) for index, frame in enumerate(reversed(frames))]
        # Unlike `str()`, this works for exceptions whose own `__str__` fails.
        message = str(traceback.TracebackException(type(exc), exc, None))
        error = f"{type(exc).__name__}: {message}"
        return _PAGE.format(error=escape(error), frames="".join(parts))

    def generate_frame_html(self, frame: FrameInfo, is_collapsed: bool) -> str:
        """Return the part of the page for one call, folded or open."""
        current = frame.index or 0
        lines = [self.format_line(line, index == current) for index, line in enumerate(frame.code_context or ())]
        return _FRAME.format(
            state="" if is_collapsed else " open",
            filename=escape(frame.filename),
            lineno=frame.lineno,
            function=escape(frame.function),
            first=frame.lineno - current,
            lines="".join(lines),
        )

    def format_line(self, line: str, is_current: bool) -> str:
        """Return one line of source code, marked if it is the one that was being executed."""
        mark = ' class="current"' if is_current else ""
        return f"<li{mark}>{escape(line.rstrip())}</li>"
