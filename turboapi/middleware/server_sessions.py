"""Sessions kept by the server: the client has a signed id, the data are in a store that all processes share.

Unlike those of `SessionMiddleware`, the client cannot read them, they may be larger than a cookie, and they end when
the server says so: a copy of the cookie is worth nothing after a logout.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from turboapi.datastructures import MutableHeaders, Secret
from turboapi.middleware.sessions import Session, SessionMiddleware
from turboapi.requests import HTTPConnection
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["MemorySessions", "RedisSessions", "ServerSession", "ServerSessionMiddleware", "SessionStore"]

_MISSING_REDIS = (
    'The `redis` library must be installed to keep sessions in Redis. It comes with `pip install "turboapi[redis]"`.'
)
_ID_BYTES = 32
_DAY = 24 * 60 * 60


class SessionStore(Protocol):
    """Where sessions are: text under an id, each for some time."""

    async def load(self, key: str) -> str | None:
        """Return what is kept under `key`; None if there is nothing any more."""

    async def save(self, key: str, data: str, seconds: int, *, is_new: bool) -> bool:
        """Keep `data` under `key` for so long. One that is not new is only replaced: False if it has gone meanwhile."""

    async def delete(self, key: str) -> None:
        """Forget what is kept under `key`, if there is anything."""

    async def aclose(self) -> None:
        """Give back what the store holds, at the end of the application."""


class MemorySessions:
    """A store in this process alone, for tests and for servers of one worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}  # by the time of their last change

    async def load(self, key: str) -> str | None:
        until, data = self._kept.get(key, (0.0, ""))
        return data if self._clock() < until else None

    async def save(self, key: str, data: str, seconds: int, *, is_new: bool) -> bool:
        self._forget_old()
        if self._kept.pop(key, None) is None and not is_new:
            return False
        self._kept[key] = (self._clock() + seconds, data)
        return True

    async def delete(self, key: str) -> None:
        self._kept.pop(key, None)

    async def aclose(self) -> None:
        self._kept.clear()

    def _forget_old(self) -> None:
        now = self._clock()
        while self._kept and self._kept[oldest := next(iter(self._kept))][0] <= now:
            del self._kept[oldest]


class RedisSessions:
    """A store in Redis, which all processes share.

    Args:
        server: its URL, such as `redis://host:6379/0`, or a `redis.asyncio.Redis` with settings of your own.
        prefix: of the keys in Redis, behind which is the id.
        timeout: for how many seconds Redis is waited for; then the request fails. Not of a client of your own.

    Raises:
        ImportError: redis is not installed.
    """

    def __init__(self, server: str | Redis, prefix: str = "session:", timeout: float = 1.0) -> None:
        try:
            from redis.asyncio import Redis
        except ImportError as exc:
            raise ImportError(_MISSING_REDIS) from exc
        self.prefix = prefix
        self._redis: Redis = (
            server
            if not isinstance(server, str)
            else Redis.from_url(server, socket_timeout=timeout, socket_connect_timeout=timeout)
        )

    async def load(self, key: str) -> str | None:
        data = await self._redis.get(self.prefix + key)
        return data.decode() if isinstance(data, bytes) else data

    async def save(self, key: str, data: str, seconds: int, *, is_new: bool) -> bool:
        return bool(await self._redis.set(self.prefix + key, data, ex=seconds, xx=not is_new))

    async def delete(self, key: str) -> None:
        await self._redis.delete(self.prefix + key)

    async def aclose(self) -> None:
        await self._redis.aclose()


class ServerSession(Session):
    """A session that can be given a new id."""

    renewed: bool = False

    def renew(self) -> None:
        """Give the session a new id, and forget the old one: when somebody logs in or gets other rights.

        Whoever has made the client use an id of their own (session fixation) is left with none.
        """
        self.mark_modified()
        self.renewed = True


class ServerSessionMiddleware(SessionMiddleware):
    """Puts a `ServerSession` into the scope, where it is `request.session`.

    It is loaded when a request comes with its id, and saved, if it has been modified, before the response begins. An
    empty one is deleted. The response to a WebSocket handshake saves nothing.

    Args:
        app: the application inside.
        secret_key: signs the id. With another key, all sessions are lost.
        store: where they are kept: the URL of a Redis server, or any `SessionStore`.
        max_age: for how many seconds after its last change a session is valid; None until the browser is closed, and
            for 14 days in the store.

    All others are as in `SessionMiddleware`. Raises ImportError if itsdangerous, or redis for a URL, is not installed.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret_key: str | Secret,
        store: str | SessionStore,
        max_age: int | None = 14 * _DAY,
        **options: Any,
    ) -> None:
        super().__init__(app, secret_key, max_age=max_age, **options)
        self.store: SessionStore = RedisSessions(store) if isinstance(store, str) else store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._closing_at_the_end(send))
            return
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        key, session = await self._find(HTTPConnection(scope).cookies.get(self.session_cookie))
        scope["session"] = session

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                await self._keep(key, scope["session"], MutableHeaders(scope=message))
            await send(message)

        await self.app(scope, receive, send_with_cookie)

    async def _find(self, cookie: str | None) -> tuple[str | None, ServerSession]:
        """Return the id in a cookie and the session; None and a new one if there is none, or no longer."""
        if cookie is not None:
            try:
                key = self.signer.unsign(cookie.encode(), max_age=self.max_age).decode()
            except self._bad_signature:
                key = None
            if key is not None and (data := await self.store.load(key)) is not None:
                return key, ServerSession(json.loads(data))
        return None, ServerSession()

    async def _keep(self, key: str | None, session: ServerSession, headers: MutableHeaders) -> None:
        """Save or delete the session if it has been modified, and tell the client."""
        if session.accessed:
            headers.add_vary_header("Cookie")
        if not session.modified:
            return
        if key is not None and (session.renewed or not session):
            await self.store.delete(key)
        if session:
            is_new = key is None or session.renewed
            kept = key if key is not None and not session.renewed else secrets.token_urlsafe(_ID_BYTES)
            seconds = 14 * _DAY if self.max_age is None else self.max_age
            # NOTE: one that another request has deleted meanwhile, at a logout, does not come back.
            if await self.store.save(kept, json.dumps(session), seconds, is_new=is_new):
                headers.append("Set-Cookie", self._signed_cookie(kept.encode()))
        elif key is not None:
            headers.append("Set-Cookie", self._expired_cookie())

    def _closing_at_the_end(self, send: Send) -> Send:
        async def closing_send(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self.store.aclose()
            await send(message)

        return closing_send
