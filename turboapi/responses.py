"""Responses: values that are also ASGI applications.

A response is complete once it is constructed: `status_code`, `raw_headers` (a list of `(name, value)` byte pairs, names
in lower case), `body` and `background` say all there is to know, and the native server sends exactly these when a class
keeps `Response.__call__`. Awaiting `response(scope, receive, send)` sends it over ASGI. Streams and files have no
`body`; they override `__call__` and produce it while sending.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import stat
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import format_datetime, formatdate
from functools import partial
from http.cookies import SimpleCookie
from mimetypes import guess_type
from secrets import token_hex
from types import ModuleType
from typing import Any, Literal
from urllib.parse import quote

import anyio
import anyio.to_thread
from typing_extensions import deprecated

from turboapi._files import read_part, send_cached
from turboapi._speedups import file_sender
from turboapi._utils import create_collapsing_task_group
from turboapi.background import BackgroundTask
from turboapi.concurrency import iterate_in_threadpool
from turboapi.datastructures import URL, Headers, MutableHeaders
from turboapi.exceptions import ClientDisconnect, FastAPIDeprecationWarning
from turboapi.types import Message, Receive, Scope, Send

__all__ = [
    "AsyncContentStream",
    "Content",
    "ContentStream",
    "EventSourceResponse",
    "FileResponse",
    "HTMLResponse",
    "JSONResponse",
    "MalformedRangeHeader",
    "ORJSONResponse",
    "PlainTextResponse",
    "RangeNotSatisfiable",
    "RedirectResponse",
    "Response",
    "StreamingResponse",
    "SyncContentStream",
    "UJSONResponse",
]

Content = str | bytes | memoryview
SyncContentStream = Iterable[Content]
AsyncContentStream = AsyncIterable[Content]
ContentStream = AsyncContentStream | SyncContentStream
SameSite = Literal["lax", "strict", "none"]
RawHeaders = list[tuple[bytes, bytes]]
ByteRange = tuple[int, int]


class Response:
    """A response whose whole body is known: `content` is `None`, text or bytes.

    Args:
        content: what `render` turns into the body.
        status_code: the HTTP status.
        headers: headers to send; `content-length` and `content-type` are added unless they are given here.
        media_type: the content type; a `charset` is added to `text/*`.
        background: awaited after the response has been sent.
    """

    media_type: str | None = None
    charset = "utf-8"

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        self.background = background
        self.body = self.render(content)
        self.init_headers(headers)

    def render(self, content: Any) -> bytes | memoryview:
        """Turn the constructor's `content` into the body; subclasses override it."""
        if isinstance(content, bytes):
            return content
        if content is None:
            return b""
        if isinstance(content, memoryview):
            # Seen as bytes, so that its length is the content length.
            return content.cast("B") if content.c_contiguous else content.tobytes()
        return content.encode(self.charset)  # type: ignore[no-any-return]

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set `raw_headers` from `headers` and add what they leave out.

        RFC 9110 section 8.6: 1xx and 204 have no content length; a 304 would have to state that of another response.
        """
        raw: RawHeaders = []
        given: set[bytes] = set()
        if headers is not None:
            raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            given = {name for name, _ in raw}

        body = getattr(self, "body", None)
        has_length = body is not None and self.status_code >= 200 and self.status_code not in (204, 304)
        if has_length and b"content-length" not in given:
            raw.append((b"content-length", b"%d" % len(body)))  # type: ignore[arg-type]

        content_type = self.media_type
        if content_type is not None and b"content-type" not in given:
            if content_type.startswith("text/") and "charset=" not in content_type.lower():
                content_type = f"{content_type}; charset={self.charset}"
            raw.append((b"content-type", content_type.encode("latin-1")))
        self.raw_headers = raw

    @property
    def headers(self) -> MutableHeaders:
        """The headers as a mutable mapping that writes through to `raw_headers`."""
        if not hasattr(self, "_headers"):
            self._headers = MutableHeaders(raw=self.raw_headers)
        return self._headers

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: int | None = None,
        expires: datetime | str | int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Add a `Set-Cookie` header (RFC 6265 section 4.1).

        `expires` is a date, the text of one, or a number of seconds from now. Raises `http.cookies.CookieError` for an
        illegal key and `ValueError` for `partitioned` before Python 3.14.
        """
        assert samesite is None or samesite.lower() in ("strict", "lax", "none"), (
            "samesite must be either 'strict', 'lax' or 'none'"
        )
        if partitioned and sys.version_info < (3, 14):
            raise ValueError("Partitioned cookies are only supported in Python 3.14 and above.")
        attributes: dict[str, Any] = {
            "max-age": max_age,
            "expires": format_datetime(expires, usegmt=True) if isinstance(expires, datetime) else expires,
            "path": path,
            "domain": domain,
            "samesite": samesite,
            "secure": secure or None,
            "httponly": httponly or None,
            "partitioned": partitioned or None,
        }
        cookie: SimpleCookie = SimpleCookie({key: value})
        cookie[key].update({name: setting for name, setting in attributes.items() if setting is not None})
        self.raw_headers.append((b"set-cookie", cookie.output(header="").strip().encode("latin-1")))

    def delete_cookie(
        self,
        key: str,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Add a `Set-Cookie` header that expires the cookie; the attributes must be those it was set with."""
        self.set_cookie(
            key,
            max_age=0,
            expires=0,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _sender_for(scope, send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})
        if self.background is not None:
            await self.background()


def _sender_for(scope: Scope, send: Send) -> Send:
    """Return `send`, or for a WebSocket handshake a `send` that denies it with the HTTP response sent through it."""
    if scope["type"] != "websocket":
        return send

    async def send_denial(message: Message) -> None:
        if message["type"] in ("http.response.start", "http.response.body"):
            message = {**message, "type": f"websocket.{message['type']}"}
        await send(message)

    return send_denial


def _send_raises_on_disconnect(scope: Scope) -> bool:
    """Whether the server speaks ASGI 2.4, where `send` raises `OSError` once the client has gone."""
    version: str = scope.get("asgi", {}).get("spec_version", "2.0")
    return tuple(map(int, version.split("."))) >= (2, 4)


async def _run_until_disconnect(
    transfer: Callable[[], Awaitable[None]], wait_for_disconnect: Callable[[], Awaitable[None]]
) -> None:
    """Run both side by side; whichever ends first cancels the other."""
    async with create_collapsing_task_group() as group:

        async def run_transfer() -> None:
            await transfer()
            group.cancel_scope.cancel()

        group.start_soon(run_transfer)
        await wait_for_disconnect()
        group.cancel_scope.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class HTMLResponse(Response):
    """A response with the content type `text/html`."""

    media_type = "text/html"


class PlainTextResponse(Response):
    """A response with the content type `text/plain`."""

    media_type = "text/plain"


class JSONResponse(Response):
    """A response whose `content` is serialized to compact JSON. NaN and infinities raise `ValueError` (RFC 8259)."""

    media_type = "application/json"

    def __init__(
        self,
        content: Any,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type, background)

    def render(self, content: Any) -> bytes:
        """Return `content` as JSON bytes."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


class RedirectResponse(Response):
    """An empty response that points to `url`, percent-encoded where needed. 307 keeps method and body."""

    def __init__(
        self,
        url: str | URL,
        status_code: int = 307,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(b"", status_code, headers, background=background)
        self.headers["location"] = quote(str(url), safe=":/%#?=@[]!$&'()*+,;")


class StreamingResponse(Response):
    """A response whose body is produced while it is sent, by an async iterable or (in worker threads) a plain one.

    Raises `ClientDisconnect` when the client leaves early and the server says so (ASGI 2.4); with older servers the
    iteration is cancelled instead.
    """

    body_iterator: AsyncContentStream

    def __init__(
        self,
        content: ContentStream,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.body_iterator = content if isinstance(content, AsyncIterable) else iterate_in_threadpool(content)
        self.status_code = status_code
        self.media_type = self.media_type if media_type is None else media_type
        self.background = background
        self.init_headers(headers)

    async def listen_for_disconnect(self, receive: Receive) -> None:
        """Return once the client has disconnected."""
        await _wait_for_disconnect(receive)

    async def stream_response(self, send: Send) -> None:
        """Send the head, every chunk and the end of the body."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self.body_iterator:
            data = chunk if isinstance(chunk, bytes | memoryview) else chunk.encode(self.charset)
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.stream_response(_sender_for(scope, send))
        elif _send_raises_on_disconnect(scope):
            try:
                await self.stream_response(send)
            except OSError as exc:
                raise ClientDisconnect() from exc
        else:
            transfer = partial(self.stream_response, send)
            await _run_until_disconnect(transfer, partial(self.listen_for_disconnect, receive))
        if self.background is not None:
            await self.background()


class EventSourceResponse(StreamingResponse):
    """A stream of server-sent events; give it as `response_class` to a path operation that yields its events.

    The routing layer encodes what is yielded (see `turboapi.sse`). Constructed directly it expects encoded chunks.
    """

    media_type = "text/event-stream"


class MalformedRangeHeader(Exception):
    """A `Range` header that does not follow RFC 9110 section 14.2; answered with 400 and `content`."""

    def __init__(self, content: str = "Malformed range header.") -> None:
        self.content = content


class RangeNotSatisfiable(Exception):
    """A `Range` that starts beyond the end of the file, which has `max_size` bytes; answered with 416."""

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size


class FileResponse(Response):
    """Sends the file at `path`, whole or the byte ranges asked for (RFC 9110 section 14).

    Args:
        path: the file. Sending raises `RuntimeError` when it does not exist or is not a regular file.
        status_code: ranges are honoured only for 200.
        headers: headers to send; they win over the ones derived from the file.
        media_type: guessed from `filename` or `path` when omitted.
        background: awaited after the response has been sent.
        filename: the name offered to the client in `Content-Disposition`.
        stat_result: the result of `os.stat(path)`, if already known.
        content_disposition_type: `attachment` or `inline`.
    """

    chunk_size = 64 * 1024
    max_ranges = 100

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        filename: str | None = None,
        stat_result: os.stat_result | None = None,
        content_disposition_type: str = "attachment",
    ) -> None:
        self.path = path
        self.status_code = status_code
        self.filename = filename
        if media_type is None:
            media_type = guess_type(filename or path)[0] or "application/octet-stream"
        self.media_type = media_type
        self.background = background
        self.init_headers(headers)
        self.headers.setdefault("accept-ranges", "bytes")
        if filename is not None:
            self.headers.setdefault("content-disposition", _content_disposition(content_disposition_type, filename))
        self.stat_result = stat_result
        if stat_result is not None:
            self.set_stat_headers(stat_result)

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        """Add content length, modification date and entity tag unless they were given."""
        version = f"{stat_result.st_mtime}-{stat_result.st_size}"
        etag = hashlib.md5(version.encode(), usedforsecurity=False).hexdigest()
        self.headers.setdefault("content-length", str(stat_result.st_size))
        self.headers.setdefault("last-modified", formatdate(stat_result.st_mtime, usegmt=True))
        self.headers.setdefault("etag", f'"{etag}"')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        head_only = is_http and scope["method"].upper() == "HEAD"
        by_path = is_http and not head_only and "http.response.pathsend" in scope.get("extensions", {})
        file_size = (await self._stat()).st_size
        try:
            ranges = self._requested_ranges(scope, file_size)
        except MalformedRangeHeader as exc:
            return await PlainTextResponse(exc.content, status_code=400)(scope, receive, send)
        except RangeNotSatisfiable as exc:
            refusal = PlainTextResponse(status_code=416, headers={"Content-Range": f"bytes */{exc.max_size}"})
            return await refusal(scope, receive, send)

        transfer = partial(self._transfer, _sender_for(scope, send), ranges, file_size, head_only, by_path)
        # The rest is over in one or two messages, or ends with an error when the client leaves.
        size = sum(end - start for start, end in ranges) if ranges else file_size
        is_long = is_http and not head_only and size >= self.chunk_size and not (by_path and not ranges)
        if is_long and not _send_raises_on_disconnect(scope):
            await _run_until_disconnect(transfer, partial(_wait_for_disconnect, receive))
        else:
            await transfer()
        if self.background is not None:
            await self.background()

    async def _stat(self) -> os.stat_result:
        if self.stat_result is not None:
            return self.stat_result
        try:
            stat_result = await anyio.to_thread.run_sync(os.stat, self.path)
        except FileNotFoundError as exc:
            raise RuntimeError(f"File at path {self.path} does not exist.") from exc
        self.set_stat_headers(stat_result)
        if not stat.S_ISREG(stat_result.st_mode):
            raise RuntimeError(f"File at path {self.path} is not a file.")
        return stat_result

    def _requested_ranges(self, scope: Scope, file_size: int) -> list[ByteRange]:
        """Return the ranges to send; none means the whole file."""
        headers = Headers(scope=scope)
        wanted, condition = headers.get("range"), headers.get("if-range")
        if wanted is None or self.status_code != 200:
            return []
        if scope["type"] == "http" and scope["method"].upper() not in ("GET", "HEAD"):
            return []
        if condition is not None and not self._is_current(condition):
            return []
        return _parse_range_header(wanted, file_size, self.max_ranges)

    def _is_current(self, if_range: str) -> bool:
        # RFC 9110 section 13.1.5: a weak validator never matches.
        if if_range.startswith("W/"):
            return False
        return if_range == self.headers["last-modified"] or if_range == self.headers["etag"]

    async def _transfer(
        self, send: Send, ranges: list[ByteRange], file_size: int, head_only: bool, by_path: bool
    ) -> None:
        if len(ranges) > 1:
            await self._send_ranges(send, ranges, file_size, head_only)
        elif ranges:
            await self._send_range(send, *ranges[0], file_size, head_only)
        else:
            await self._send_whole(send, file_size, head_only, by_path)

    async def _send_whole(self, send: Send, file_size: int, head_only: bool, by_path: bool) -> None:
        start: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if by_path:
            await send(start)
            await send({"type": "http.response.pathsend", "path": str(self.path)})
        else:
            await self._send_part(send, start, 0, 0 if head_only else file_size, whole=True)

    async def _send_range(self, send: Send, start: int, end: int, file_size: int, head_only: bool) -> None:
        headers = MutableHeaders(raw=list(self.raw_headers))
        headers["content-range"] = f"bytes {start}-{end - 1}/{file_size}"
        headers["content-length"] = str(end - start)
        message = {"type": "http.response.start", "status": 206, "headers": headers.raw}
        await self._send_part(send, message, start, start if head_only else end)

    async def _send_part(self, send: Send, message: Message, start: int, end: int, whole: bool = False) -> None:
        """Send `message`, the head, and the bytes of the file from `start` to `end` as the body."""
        if end - start < self.chunk_size:
            body = await anyio.to_thread.run_sync(read_part, self.path, start, end) if start < end else b""
            await send(message)
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        async with self._open_file() as file:
            await send(message)
            if (send_file := file_sender(send)) is not None:
                start = await send_cached(send_file, file.wrapped.fileno(), start, end)
            if start == end:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await file.seek(start)
                await self._send_read(send, file, end - start, whole)

    async def _send_read(self, send: Send, file: anyio.AsyncFile[bytes], size: int, whole: bool) -> None:
        """Send `size` bytes of the file as the end of the body, fewer if it ends before.

        A whole file ends with a message that is not full, if need be an empty one, as in Starlette.
        """
        more_body = True
        while more_body:
            chunk = await file.read(min(self.chunk_size, size))
            size -= len(chunk)
            more_body = len(chunk) == self.chunk_size and (size > 0 or whole)
            await send({"type": "http.response.body", "body": chunk, "more_body": more_body})

    async def _send_ranges(self, send: Send, ranges: list[ByteRange], file_size: int, head_only: bool) -> None:
        boundary = token_hex(13)
        length, part_head = self.generate_multipart(ranges, boundary, file_size, self.headers["content-type"])
        headers = MutableHeaders(raw=list(self.raw_headers))
        headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
        headers["content-length"] = str(length)
        await send({"type": "http.response.start", "status": 206, "headers": headers.raw})
        if head_only:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        async with self._open_file() as file:
            for start, end in ranges:
                await send({"type": "http.response.body", "body": part_head(start, end), "more_body": True})
                await file.seek(start)
                await self._send_exactly(send, file, end - start)
                await send({"type": "http.response.body", "body": b"\r\n", "more_body": True})
        await send({"type": "http.response.body", "body": f"--{boundary}--".encode("latin-1"), "more_body": False})

    async def _send_exactly(self, send: Send, file: anyio.AsyncFile[bytes], size: int) -> None:
        while size > 0:
            chunk = await file.read(min(self.chunk_size, size))
            if not chunk:
                raise RuntimeError(f"File at path {self.path} is shorter than expected.")
            size -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        # Older versions of anyio leave the file open when the transfer is cancelled.
        file = await anyio.open_file(self.path, mode="rb")
        try:
            yield file
        finally:
            with anyio.CancelScope(shield=True):
                await file.aclose()

    def generate_multipart(
        self, ranges: Sequence[ByteRange], boundary: str, max_size: int, content_type: str
    ) -> tuple[int, Callable[[int, int], bytes]]:
        """Return the length of a `multipart/byteranges` body and a function from a range to the head of its part.

        RFC 9110 section 14.6. The body is, for each range, its head, its bytes and CRLF; then `--{boundary}--`.
        """

        def part_head(start: int, end: int) -> bytes:
            lines = (
                f"--{boundary}",
                f"Content-Type: {content_type}",
                f"Content-Range: bytes {start}-{end - 1}/{max_size}",
                "\r\n",
            )
            return "\r\n".join(lines).encode("latin-1")

        parts = sum(len(part_head(start, end)) + (end - start) + len("\r\n") for start, end in ranges)
        return parts + len(f"--{boundary}--"), part_head


def _content_disposition(kind: str, filename: str) -> str:
    """Return the header's value, with RFC 5987 encoding when the name needs any."""
    quoted = quote(filename)
    if quoted == filename:
        return f'{kind}; filename="{filename}"'
    return f"{kind}; filename*=utf-8''{quoted}"


def _parse_range_header(header: str, file_size: int, max_ranges: int) -> list[ByteRange]:
    """Return the requested `(start, end)` ranges, end exclusive, sorted and with overlaps merged.

    Empty when there are more than `max_ranges`, which asks for the whole file. Raises `MalformedRangeHeader` for
    anything that is not a range of bytes and `RangeNotSatisfiable` for one that starts outside the file.
    """
    units, equals, specs = header.partition("=")
    if not equals:
        raise MalformedRangeHeader()
    if units.strip().lower() != "bytes":
        raise MalformedRangeHeader("Only support bytes range")
    if specs.count(",") >= max_ranges:
        return []

    candidates = (_parse_range(spec, file_size) for spec in specs.split(","))
    ranges = [candidate for candidate in candidates if candidate is not None]
    if not ranges:
        raise MalformedRangeHeader("Range header: range must be requested")
    if not all(0 <= start < file_size for start, _ in ranges):
        raise RangeNotSatisfiable(file_size)
    if not all(start < end for start, end in ranges):
        raise MalformedRangeHeader("Range header: start must be less than end")
    return _merge_ranges(ranges)


def _parse_range(spec: str, file_size: int) -> ByteRange | None:
    """Return one `first-last`, `first-` or `-suffix` as `(start, end)`; `None` when it is not one, to be ignored."""
    first, dash, last = (part.strip() for part in spec.strip().partition("-"))
    if not dash or not (first or last):
        return None
    try:
        if not first:
            return max(file_size - int(last), 0), file_size
        return int(first), min(int(last) + 1, file_size) if last else file_size
    except ValueError:
        return None


def _merge_ranges(ranges: list[ByteRange]) -> list[ByteRange]:
    merged: list[ByteRange] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _optional_module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


ujson: Any = _optional_module("ujson")
orjson: Any = _optional_module("orjson")


@deprecated(
    "UJSONResponse is deprecated: with a return type or response model, data is serialized directly to JSON bytes, "
    "which is faster and needs no response class of its own.",
    category=FastAPIDeprecationWarning,
    stacklevel=2,
)
class UJSONResponse(JSONResponse):
    """A JSON response serialized by `ujson`, which must be installed. Deprecated."""

    def render(self, content: Any) -> bytes:
        """Return `content` as JSON bytes."""
        assert ujson is not None, "ujson must be installed to use UJSONResponse"
        text: str = ujson.dumps(content, ensure_ascii=False)
        return text.encode("utf-8")


@deprecated(
    "ORJSONResponse is deprecated: with a return type or response model, data is serialized directly to JSON bytes, "
    "which is faster and needs no response class of its own.",
    category=FastAPIDeprecationWarning,
    stacklevel=2,
)
class ORJSONResponse(JSONResponse):
    """A JSON response serialized by `orjson`, which must be installed. Keys need not be strings. Deprecated."""

    def render(self, content: Any) -> bytes:
        """Return `content` as JSON bytes."""
        assert orjson is not None, "orjson must be installed to use ORJSONResponse"
        data: bytes = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
        return data
