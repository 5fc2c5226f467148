"""The incoming connection and request, as views on an ASGI scope that compute nothing before it is asked for.

What has been computed is kept under the attribute names `_url`, `_headers`, `_query_params`, `_cookies`, `_state`,
`_body`, `_json` and `_form`, which middleware is known to look at and to set.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, NoReturn, cast

import anyio
from typing_extensions import TypeVar

from turboapi._speedups import Exchange, decode_json
from turboapi._speedups.query import parse_cookies
from turboapi._utils import AwaitableOrContextManager, AwaitableOrContextManagerWrapper
from turboapi.datastructures import URL, Address, FormData, Headers, QueryParams, State
from turboapi.exceptions import ClientDisconnect, MultiPartException, StarletteHTTPException
from turboapi.formparsers import MISSING_MULTIPART, FormParser, MultiPartParser, parse_options_header
from turboapi.types import Message, Receive, Scope, Send

__all__ = ["ClientDisconnect", "HTTPConnection", "Request", "cookie_parser", "empty_receive", "empty_send"]

SERVER_PUSH_HEADERS_TO_COPY = {"accept", "accept-encoding", "accept-language", "cache-control", "user-agent"}
_FORM_TYPES = (b"multipart/form-data", b"application/x-www-form-urlencoded")

_ESCAPE = re.compile(r"\\([0-3][0-7]{2}|.)")


def _unescape(match: re.Match[str]) -> str:
    char: str = match[1]
    return chr(int(char, 8)) if len(char) == 3 else char


def _unquote_cookie(value: str) -> str:
    """Undo the quoting of `http.cookies`: `\\012` and `\\"` inside double quotes; anything else comes back unchanged.

    One pass over the text, where the standard library before Python 3.13 searches the whole rest at every escape, which
    lets one header of 64 KB cost seconds.
    """
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPE.sub(_unescape, value[1:-1])


def cookie_parser(cookie_string: str) -> dict[str, str]:
    """The names and values of a Cookie header, read as leniently as browsers do; the last one of a name wins.

    For any text; `HTTPConnection.cookies` reads the header's bytes, with the same result.
    Every semicolon separates, also within quotes, and text without `=` is the value of an empty name. This is more than
    RFC 6265 section 4.2 allows, and it never fails.
    """
    cookies: dict[str, str] = {}
    for chunk in cookie_string.split(";"):
        name, separator, value = chunk.partition("=")
        if not separator:
            name, value = "", chunk
        name, value = name.strip(), value.strip()
        if name or value:
            cookies[name] = _unquote_cookie(value)
    return cookies


StateT = TypeVar("StateT", bound=Mapping[str, Any] | State, default=State)


class _ScopeOfExchange:
    """The scope of a request that the compiled core has made: asked for when somebody looks at it, and then kept."""

    def __get__(self, request: Any, owner: type[Any] | None = None) -> Any:
        if request is None:
            return self
        request.scope = scope = request._exchange.scope()
        return scope


class HTTPConnection(Mapping[str, Any], Generic[StateT]):
    """What a `Request` and a `WebSocket` have in common. As a mapping it is its ASGI scope."""

    scope: Scope = cast(Any, _ScopeOfExchange())

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        assert scope["type"] in ("http", "websocket")
        self.scope = scope

    _exchange: Exchange  # only of requests that the compiled core has made

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)

    # A connection equals only itself, whatever a Mapping would say.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def app(self) -> Any:
        """The application that handles the connection."""
        return self.scope["app"]

    @property
    def url(self) -> URL:
        """The full URL, its authority from the Host header."""
        if not hasattr(self, "_url"):
            self._url = URL(scope=self.scope)
        return self._url

    @property
    def base_url(self) -> URL:
        """The URL of the outermost application's root, with a slash at its end."""
        if not hasattr(self, "_base_url"):
            scope = dict(self.scope)
            # Inside a mount, `root_path` includes the mount's path; `app_root_path` does not.
            root_path = scope.get("app_root_path", scope.get("root_path", ""))
            path = root_path if root_path.endswith("/") else root_path + "/"
            scope.update(path=path, query_string=b"", root_path=root_path)
            self._base_url = URL(scope=scope)
        return self._base_url

    @property
    def headers(self) -> Headers:
        """The headers; names ignore case."""
        if not hasattr(self, "_headers"):
            self._headers = Headers(scope=self.scope)
        return self._headers

    @property
    def query_params(self) -> QueryParams:
        """The query string as a multi-dict."""
        if not hasattr(self, "_query_params"):
            self._query_params = QueryParams(self.scope["query_string"])
        return self._query_params

    @property
    def path_params(self) -> dict[str, Any]:
        """The converted values of the route's path."""
        return cast("dict[str, Any]", self.scope.get("path_params", {}))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies of every Cookie header."""
        if not hasattr(self, "_cookies"):
            self._cookies = parse_cookies([value for name, value in self.headers.raw if name == b"cookie"])
        return self._cookies

    @property
    def client(self) -> Address | None:
        """The peer's address, None when the server does not know it."""
        address = self.scope.get("client")
        return None if address is None else Address(*address)

    @property
    def session(self) -> dict[str, Any]:
        """The session; needs `SessionMiddleware`."""
        assert "session" in self.scope, "SessionMiddleware must be installed to access request.session"
        session: dict[str, Any] = self.scope["session"]
        # Ours notes that it was read (the response then varies by cookie); another middleware's may be a plain dict.
        if hasattr(session, "mark_accessed"):
            session.mark_accessed()
        return session

    @property
    def auth(self) -> Any:
        """The credentials; needs `AuthenticationMiddleware`."""
        assert "auth" in self.scope, "AuthenticationMiddleware must be installed to access request.auth"
        return self.scope["auth"]

    @property
    def user(self) -> Any:
        """The user; needs `AuthenticationMiddleware`."""
        assert "user" in self.scope, "AuthenticationMiddleware must be installed to access request.user"
        return self.scope["user"]

    @property
    def state(self) -> StateT:
        """Attributes of this connection, those the lifespan yielded among them."""
        if not hasattr(self, "_state"):
            self._state = State(self.scope.setdefault("state", {}))
        return cast(StateT, self._state)

    def url_for(self, name: str, /, **path_params: Any) -> URL:
        """The absolute URL of a named route. Raises `NoMatchFound` when there is none with these parameters."""
        provider = self.scope.get("router") or self.scope.get("app")
        if provider is None:
            raise RuntimeError("The `url_for` method can only be used inside a Starlette application or with a router.")
        return cast(URL, provider.url_path_for(name, **path_params).make_absolute_url(base_url=self.base_url))


async def empty_receive() -> NoReturn:
    """Stands in for a receive channel that was not given."""
    raise RuntimeError("Receive channel has not been made available")


async def empty_send(message: Message) -> NoReturn:
    """Stands in for a send channel that was not given."""
    raise RuntimeError("Send channel has not been made available")


class Request(HTTPConnection[StateT]):
    """An HTTP request. Its body can be streamed once, or read whole and then looked at again as often as needed."""

    # Defaults for requests that are made without a call.
    _form: FormData | None = None
    _stream_consumed = False
    _is_disconnected = False

    def __init__(self, scope: Scope, receive: Receive = empty_receive, send: Send = empty_send) -> None:
        assert scope["type"] == "http"
        self.scope = scope
        self._receive = receive
        self._send = send
        self._stream_consumed = False
        self._is_disconnected = False
        self._form = None

    @property
    def method(self) -> str:
        return cast(str, self.scope["method"])

    @property
    def receive(self) -> Receive:
        """The ASGI receive channel."""
        return self._receive

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in chunks as they arrive, and an empty one at the end.

        Raises `ClientDisconnect` when the client goes away, RuntimeError when the body was streamed before.
        """
        if hasattr(self, "_body"):
            yield self._body
            yield b""
            return
        if self._stream_consumed:
            raise RuntimeError("Stream consumed")
        # Looked at before every message, because two streams of one request share its messages.
        while not self._stream_consumed:
            message = await self._receive()
            if message["type"] == "http.request":
                if not message.get("more_body", False):
                    self._stream_consumed = True
                if body := message.get("body", b""):
                    yield body
            elif message["type"] == "http.disconnect":
                self._is_disconnected = True
                raise ClientDisconnect()
        yield b""

    async def body(self) -> bytes:
        """The whole body. Raises as `stream()` does."""
        if not hasattr(self, "_body"):
            async with aclosing(self.stream()) as stream:
                chunks = [chunk async for chunk in stream]
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body as JSON, whatever its Content-Type. Raises `json.JSONDecodeError`."""
        if not hasattr(self, "_json"):
            self._json = decode_json(json.loads, await self.body())
        return self._json

    async def _get_form(
        self,
        *,
        max_files: int | float = 1000,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> FormData:
        if self._form is not None:
            return self._form
        assert parse_options_header is not None, MISSING_MULTIPART
        content_type, _ = parse_options_header(self.headers.get("Content-Type"))
        if content_type not in _FORM_TYPES:
            self._form = FormData()
            return self._form
        try:
            async with aclosing(self.stream()) as stream:
                parser = (
                    MultiPartParser(
                        self.headers, stream, max_files=max_files, max_fields=max_fields, max_part_size=max_part_size
                    )
                    if content_type == b"multipart/form-data"
                    else FormParser(self.headers, stream, max_fields=max_fields, max_part_size=max_part_size)
                )
                self._form = await parser.parse()
        except MultiPartException as exc:
            if "app" not in self.scope:
                raise
            raise StarletteHTTPException(status_code=400, detail=exc.message) from exc
        return self._form

    def form(
        self,
        *,
        max_files: int | float = 1000,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> AwaitableOrContextManager[FormData]:
        """The body as a form: `await request.form()`, or `async with request.form() as form` to have its files closed.

        Empty when the Content-Type is no form's. A bad form, or one beyond the limits, is a 400 inside an application
        and a `MultiPartException` elsewhere.
        """
        return AwaitableOrContextManagerWrapper(
            self._get_form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
        )

    async def close(self) -> None:
        """Close the files of the form, if one was parsed."""
        if self._form is not None:
            await self._form.close()

    async def is_disconnected(self) -> bool:
        """Whether the client went away. Takes a message off the channel, so read the body first."""
        if not self._is_disconnected:
            message: Message = {}
            # In a scope that is cancelled already, `receive` can only deliver what is there without waiting.
            with anyio.CancelScope() as scope:
                scope.cancel()
                message = await self._receive()
            if message.get("type") == "http.disconnect":
                self._is_disconnected = True
        return self._is_disconnected

    async def send_push_promise(self, path: str) -> None:
        """Announce a resource the page will need (RFC 9113 section 8.4). Nothing happens if the server cannot."""
        if "http.response.push" not in self.scope.get("extensions", {}):
            return
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name in SERVER_PUSH_HEADERS_TO_COPY
            for value in self.headers.getlist(name)
        ]
        await self._send({"type": "http.response.push", "path": path, "headers": headers})

    async def send_early_hints(self, link: str, /, *additional_links: str) -> None:
        """Send Link headers ahead of the response (103, RFC 8297). Nothing happens if the server cannot."""
        if "http.response.early_hint" in self.scope.get("extensions", {}):
            links = [value.encode("latin-1") for value in (link, *additional_links)]
            await self._send({"type": "http.response.early_hint", "links": links})
