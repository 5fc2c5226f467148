"""Sessions kept by the client: a cookie with the session as JSON, signed so that only this server can change it.

The client can read it. A cookie is sent when the session has been modified, and `Vary: Cookie` when it has been looked
at.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Literal

from turboapi._speedups import Layer
from turboapi.datastructures import MutableHeaders, Secret
from turboapi.middleware.hooks import Exchange, NativeMiddleware, ResponseHook, ScopeHook
from turboapi.requests import HTTPConnection
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from itsdangerous import TimestampSigner

__all__ = ["Session", "SessionMiddleware"]

_MISSING_ITSDANGEROUS = (
    "The `itsdangerous` library must be installed to use SessionMiddleware. "
    'It comes with `pip install "turboapi[sessions]"`.'
)
_IN_THE_PAST = "expires=Thu, 01 Jan 1970 00:00:00 GMT; "


class SessionMiddleware(NativeMiddleware):
    """Puts a `Session` into the scope, where it is `request.session`.

    Args:
        app: the application inside.
        secret_key: signs the cookie. With another key, all sessions are lost.
        session_cookie: the name of the cookie.
        max_age: for how many seconds after its last change a session is valid; None until the browser is closed.
        path: the paths the cookie is sent to.
        same_site: whether the cookie comes with requests from other sites.
        https_only: whether the cookie is sent only over HTTPS.
        domain: makes the cookie valid for a domain and its subdomains.
        partitioned: whether the cookie is kept apart for every site that this one is embedded in.

    Raises:
        ImportError: itsdangerous is not installed.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret_key: str | Secret,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        self.app = app
        self.signer, self._bad_signature = _make_signer(str(secret_key))
        self.session_cookie = session_cookie
        self.max_age = max_age
        self.path = path
        flags = {
            f"httponly; samesite={same_site}": True,
            "secure": https_only,
            f"domain={domain}": domain is not None,
            "partitioned": partitioned,
        }
        self.security_flags = "; ".join(flag for flag, is_set in flags.items() if is_set)
        self._hook = _OpeningHook(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        had_cookie = self._open_session(scope)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                self._add_headers(MutableHeaders(scope=message), scope["session"], had_cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookie)

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(SessionMiddleware, "__call__") else self.hook_layer()

    def before(self, exchange: Exchange) -> ScopeHook:
        """Leave the hook that puts the session into the scope, if somebody looks there, and sends it back."""
        return self._hook

    def _open_session(self, scope: Scope) -> bool:
        """Put the session into the scope; whether there was one."""
        loaded = self._load(HTTPConnection(scope).cookies.get(self.session_cookie))
        scope["session"] = Session() if loaded is None else loaded
        return loaded is not None

    def _load(self, cookie: str | None) -> Session | None:
        """Return the session in a cookie; None if it is not there, was tampered with, or is too old."""
        if cookie is None:
            return None
        try:
            data = self.signer.unsign(cookie.encode(), max_age=self.max_age)
        except self._bad_signature:
            return None
        return Session(json.loads(b64decode(data)))

    def _add_headers(self, headers: MutableHeaders, session: Session, had_cookie: bool) -> None:
        if session.accessed:
            headers.add_vary_header("Cookie")
        if session.modified and session:
            headers.append("Set-Cookie", self._signed_cookie(b64encode(json.dumps(session).encode())))
        elif session.modified and had_cookie:
            headers.append("Set-Cookie", self._expired_cookie())

    def _signed_cookie(self, data: bytes) -> str:
        lifetime = "" if self.max_age is None else f"Max-Age={self.max_age}; "
        return self._cookie(self.signer.sign(data).decode(), lifetime)

    def _expired_cookie(self) -> str:
        return self._cookie("null", _IN_THE_PAST)

    def _cookie(self, value: str, lifetime: str) -> str:
        return f"{self.session_cookie}={value}; path={self.path}; {lifetime}{self.security_flags}"


class _OpeningHook(ScopeHook):
    """Puts the session into the scope."""

    def __init__(self, middleware: SessionMiddleware) -> None:
        self.middleware = middleware

    def open(self, scope: Scope) -> ResponseHook:
        return _SessionHook(self.middleware, scope, self.middleware._open_session(scope))


class _SessionHook(ResponseHook):
    """Sends the session back."""

    __slots__ = ("had_cookie", "middleware", "scope")

    def __init__(self, middleware: SessionMiddleware, scope: Scope, had_cookie: bool) -> None:
        self.middleware = middleware
        self.scope = scope
        self.had_cookie = had_cookie

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.middleware._add_headers(MutableHeaders(raw=headers), self.scope["session"], self.had_cookie)


def _make_signer(secret_key: str) -> tuple[TimestampSigner, type[Exception]]:
    """Return what signs, and the error it raises for a wrong signature. Raises ImportError."""
    try:
        from itsdangerous import BadSignature, TimestampSigner
    except ImportError as exc:
        raise ImportError(_MISSING_ITSDANGEROUS) from exc
    return TimestampSigner(secret_key), BadSignature


class Session(dict[str, Any]):
    """A dict that knows whether it has been looked at (`accessed`) and whether it has been changed (`modified`).

    What is changed deeper inside, in a list that is a value, does not show: assign the value again, or call
    `mark_modified`.
    """

    accessed: bool = False
    modified: bool = False

    def mark_accessed(self) -> None:
        """Say that the response depends on the session."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Say that the session has to be sent to the client."""
        self.accessed = True
        self.modified = True

    def __setitem__(self, key: str, value: Any) -> None:
        self.mark_modified()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.mark_modified()
        super().__delitem__(key)

    def clear(self) -> None:
        self.mark_modified()
        super().clear()

    def pop(self, key: str, *args: Any) -> Any:
        if key in self:
            self.mark_modified()
        return super().pop(key, *args)

    def popitem(self) -> tuple[str, Any]:
        item = super().popitem()
        self.mark_modified()
        return item

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self.mark_modified()
        return super().setdefault(key, default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.mark_modified()
        super().update(*args, **kwargs)

    def __ior__(self, other: Any, /) -> Session:  # type: ignore[override,misc]
        self.mark_modified()
        return super().__ior__(other)
