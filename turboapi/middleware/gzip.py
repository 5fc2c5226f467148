"""Compression of responses with gzip (RFC 9110 section 8.4.1.3).

The start of a response is held back until its first body message, since only then it is known whether it will be
compressed. Exempt from that are partial responses, those that have an encoding, and excluded content types: their
start goes out at once and nothing is changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable
from functools import lru_cache
from typing import NoReturn

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from turboapi._speedups import Layer
from turboapi.datastructures import Headers, MutableHeaders
from turboapi.middleware.hooks import BodyHook, Exchange, NativeMiddleware
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "DEFAULT_EXCLUDED_CONTENT_TYPES",
    "GZipMiddleware",
    "GZipResponder",
    "IdentityResponder",
    "unattached_send",
]

# Compressed already, or (gRPC, events) to be delivered in the pieces they are sent in.
DEFAULT_EXCLUDED_CONTENT_TYPES = (
    "application/grpc",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "audio/*",
    "font/woff",
    "font/woff2",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/event-stream",
    "video/*",
)
_THREAD_MINIMUM_SIZE = 128 * 1024
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # for `zlib`: a gzip header and trailer, and the largest window
_MAX_THREADS = 40  # as many as anyio has for everything else

# Threads of their own kind: compression does not wait for handlers that occupy all others, nor the other way round.
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("_gzip_capacity_limiter")


def _thread_limiter() -> anyio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MAX_THREADS)
        _limiter.set(limiter)
        return limiter


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


@lru_cache
def _media_types(content_types: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_media_type(content_type) for content_type in content_types)


def _patterns_of(media_type: str) -> set[str]:
    """Return the entries of `exclude_content_types` that would exclude `media_type`."""
    patterns = {media_type, media_type.partition("/")[0] + "/*"}
    if media_type.startswith("application/grpc+"):
        patterns.add("application/grpc")
    return patterns


class GZipMiddleware(NativeMiddleware):
    """Compresses responses for the clients that accept gzip, and tells caches that it depends on the client.

    Args:
        app: the application inside.
        minimum_size: a body with fewer bytes is left alone, unless it comes in several messages.
        compresslevel: from 1, fast, to 9, small.
        thread_minimum_size: a piece of a body of at least so many bytes is compressed in a worker thread.
        exclude_content_types: what is never compressed: media types, or all of a kind like "audio/*".
    """

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int = 500,
        compresslevel: int = 9,
        thread_minimum_size: int = _THREAD_MINIMUM_SIZE,
        *,
        exclude_content_types: tuple[str, ...] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        self.app = app
        self.minimum_size = minimum_size
        self.compresslevel = compresslevel
        self.thread_minimum_size = thread_minimum_size
        self.exclude_content_types = _media_types(tuple(exclude_content_types))
        self._gzip_hook = _CompressionHook(self, accepts_gzip=True)
        self._identity_hook = _CompressionHook(self, accepts_gzip=False)

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(GZipMiddleware, "__call__") else self.hook_layer()

    def before(self, exchange: Exchange) -> BodyHook:
        """Leave the hook that compresses, or says in Vary that it would have."""
        accepted = exchange.header(b"accept-encoding")
        return self._gzip_hook if accepted is not None and b"gzip" in accepted else self._identity_hook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        accepts_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        await self.make_responder(accepts_gzip)(scope, receive, send)

    def make_responder(self, accepts_gzip: bool) -> IdentityResponder:
        """Return what answers one request."""
        return self._gzip_responder() if accepts_gzip else self._identity_responder()

    def _gzip_responder(self) -> IdentityResponder:
        return GZipResponder(
            self.app,
            self.minimum_size,
            self.compresslevel,
            thread_minimum_size=self.thread_minimum_size,
            exclude_content_types=self.exclude_content_types,
        )

    def _identity_responder(self) -> IdentityResponder:
        return IdentityResponder(self.app, self.minimum_size, exclude_content_types=self.exclude_content_types)


class _CompressionHook(BodyHook):
    """Does the same on the built-in server; it knows nothing of a single response."""

    def __init__(self, middleware: GZipMiddleware, accepts_gzip: bool) -> None:
        self.middleware = middleware
        self.accepts_gzip = accepts_gzip
        self.least = middleware.minimum_size

    def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes | Awaitable[bytes]:
        responder = self.middleware.make_responder(self.accepts_gzip)
        if responder.exempts(status, headers):
            return body
        return responder.compress_whole(headers, body)

    def sender(self, send: Send) -> Send:
        responder = self.middleware.make_responder(self.accepts_gzip)
        responder.send = send
        return responder.send_with_compression


class IdentityResponder:
    """One response, not compressed. Where another client would get it compressed, Vary says so.

    Subclasses set `content_encoding` and override `apply_compression`.
    """

    content_encoding: str

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int,
        *,
        exclude_content_types: tuple[str, ...] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        self.app = app
        self.minimum_size = minimum_size
        self.exclude_content_types = _media_types(tuple(exclude_content_types))
        self.send: Send = unattached_send
        self.initial_message: Message = {}
        self.started = False
        self.content_encoding_set = False
        self.content_type_is_excluded = False
        self.partial_response = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.send = send
        await self.app(scope, receive, self.send_with_compression)

    @property
    def _is_exempt(self) -> bool:
        return self.content_encoding_set or self.partial_response or self.content_type_is_excluded

    async def send_with_compression(self, message: Message) -> None:
        """Send for the application. Messages of other types than those named here are dropped."""
        match message["type"]:
            case "http.response.start":
                await self._on_start(message)
            case "http.response.body" if not self._is_exempt:
                await self._on_body(message)
            case "http.response.pathsend" if not self._is_exempt:
                await self.send(self.initial_message)
                await self.send(message)
            case (
                "http.response.body" | "http.response.pathsend" | "http.response.trailers" | "http.response.early_hint"
            ):
                await self.send(message)

    async def _on_start(self, message: Message) -> None:
        self.initial_message = message
        message.setdefault("headers", [])
        if self.exempts(message["status"], message["headers"]):
            await self.send(message)

    def exempts(self, status: int, raw_headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether a response with such a head is left alone."""
        headers = Headers(raw=raw_headers)
        patterns = _patterns_of(_media_type(headers.get("content-type", "")))
        self.content_encoding_set = "content-encoding" in headers
        self.partial_response = status == 206
        self.content_type_is_excluded = not patterns.isdisjoint(self.exclude_content_types)
        return self._is_exempt

    async def _on_body(self, message: Message) -> None:
        body = message.get("body", b"")
        more_body = message.get("more_body", False)
        if self.started:
            message["body"] = await self.apply_compression(body, more_body=more_body)
        else:
            self.started = True
            if more_body or len(body) >= self.minimum_size:
                await self._compress_first(message, body, more_body)
            await self.send(self.initial_message)
        await self.send(message)

    async def _compress_first(self, message: Message, body: bytes, more_body: bool) -> None:
        """Compress the body in `message`, the first of the response, and describe it in the headers."""
        compressed = await self.apply_compression(body, more_body=more_body)
        # HTTP/1.1 has trailers in chunked bodies only.
        is_open = more_body or self.initial_message.get("trailers", False)
        message["body"] = self._describe(self.initial_message["headers"], body, compressed, is_open)

    def _describe(self, raw_headers: list[tuple[bytes, bytes]], body: bytes, compressed: bytes, is_open: bool) -> bytes:
        """Describe the first part of a body in the headers, and return it."""
        headers = MutableHeaders(raw=raw_headers)
        headers.add_vary_header("Accept-Encoding")
        if compressed != body:
            headers["Content-Encoding"] = self.content_encoding
            if is_open:
                del headers["Content-Length"]
            else:
                headers["Content-Length"] = str(len(compressed))
        return compressed

    def compress_whole(self, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes | Awaitable[bytes]:
        """Compress a complete response, whose headers are edited; the awaitable of its body where a thread does it."""
        return self._describe(headers, body, body, is_open=False)

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        """Return what to send for the next piece of the body; the last one comes with `more_body=False`."""
        return body


class GZipResponder(IdentityResponder):
    """One response, compressed. Every piece can be decompressed as soon as it arrives."""

    content_encoding = "gzip"

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int,
        compresslevel: int = 9,
        *,
        thread_minimum_size: int = _THREAD_MINIMUM_SIZE,
        exclude_content_types: tuple[str, ...] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        super().__init__(app, minimum_size, exclude_content_types=exclude_content_types)
        self.compresslevel = compresslevel
        self.thread_minimum_size = thread_minimum_size
        self._compressor: zlib._Compress | None = None

    @property
    def compressor(self) -> zlib._Compress:
        """The compressor of this response, made when it is first needed: it takes 256 KiB."""
        if self._compressor is None:
            self._compressor = zlib.compressobj(self.compresslevel, zlib.DEFLATED, _GZIP_FORMAT)
        return self._compressor

    def compress_whole(self, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes | Awaitable[bytes]:
        if len(body) >= self.thread_minimum_size:
            return self._compress_in_thread(headers, body)
        return self._describe(headers, body, self._compress_body(body, False), is_open=False)

    async def _compress_in_thread(self, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        return self._describe(headers, body, await self.apply_compression(body, more_body=False), is_open=False)

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        if len(body) < self.thread_minimum_size:
            return self._compress_body(body, more_body)
        return await anyio.to_thread.run_sync(self._compress_body, body, more_body, limiter=_thread_limiter())

    def _compress_body(self, body: bytes, more_body: bool) -> bytes:
        flush = zlib.Z_SYNC_FLUSH if more_body else zlib.Z_FINISH
        return self.compressor.compress(body) + self.compressor.flush(flush)


async def unattached_send(message: Message) -> NoReturn:
    """The `send` of a responder that has not been called."""
    raise RuntimeError("send awaitable not set")
