"""Limits how many requests a client may make: 429 Too Many Requests (RFC 6585 section 4) beyond.

`RateLimitMiddleware` limits all requests, `RateLimit` is a dependency that limits single path operations or routers.
What `RateLimit` finds around it, it uses: storage, strategy, trusted proxies and header fields are those of the
middleware.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from turboapi._scope import ROUTE_CONTEXT
from turboapi._speedups import Exchange, Layer
from turboapi._utils import is_async_callable, path_matcher
from turboapi.exceptions import HTTPException, WebSocketException
from turboapi.middleware._client import ClientAddresses, ProxyHeader, group_address
from turboapi.middleware._limiter import Limit, Limiter, Limits, Strategy, Usage, parse_limits
from turboapi.middleware.hooks import HookMiddleware, ResponseHook
from turboapi.requests import HTTPConnection, Request
from turboapi.responses import JSONResponse, Response
from turboapi.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from limits.aio.storage import Storage

__all__ = ["HeaderFields", "Key", "RateLimit", "RateLimitMiddleware", "by_header", "by_user"]

SCOPE_KEY = "turboapi.rate_limits"
TRY_AGAIN_LATER = 1013  # RFC 6455 section 7.4, as registered since
UNCHECKED = "Rate limits cannot be checked at the moment"

Key = Callable[[Any], str | None] | Callable[[Any], Awaitable[str | None]]
Test = Callable[[Request], bool] | Callable[[Request], Awaitable[bool]]
HeaderFields = Literal["draft-6", "draft-11", "none"]
_RawHeaders = list[tuple[bytes, bytes]]
_Limits = tuple[Limit, ...]

_PLAIN_KEY = re.compile(r"[\w.:@-]{1,64}", re.ASCII)
_NOT_IN_NAMES = re.compile(r'[^ -~]|["\\]')


def by_header(name: str) -> Key:
    """Return a key that tells clients apart by a header, of which only a hash is kept.

    Clients can send what they like: use it for headers that are checked before, such as API keys.
    """

    def key(conn: HTTPConnection) -> str | None:
        value = conn.headers.get(name)
        return None if value is None else f"{name.lower()}:{sha256(value.encode()).hexdigest()}"

    return key


def by_user(conn: HTTPConnection) -> str | None:
    """The key of the authenticated `request.user`: the middleware that authenticates has to be further out."""
    user = conn.scope.get("user")
    if user is None or not user.is_authenticated:
        return None
    try:
        return f"user:{user.identity}"
    except NotImplementedError:  # what Starlette's base class does
        return f"user:{user.display_name}"


# --- header fields ---------------------------------------------------------------------------------------------------


class _Told(NamedTuple):
    """A usage, and the name of what is limited."""

    name: str
    usage: Usage


def _seconds(reset: float) -> int:
    return ceil(reset - 1e-6)  # not one more because of rounding


def _draft_6(told: list[_Told]) -> _RawHeaders:
    """draft-ietf-httpapi-ratelimit-headers-06 section 3, which most clients know: one limit, and all policies."""
    usage, policies = told[0].usage, told[0].usage.limit.policy
    if len(told) > 1:
        usage = min((each.usage for each in told), key=lambda usage: (usage.remaining, -usage.reset))
        policies = ", ".join(dict.fromkeys([each.usage.limit.policy for each in told]))
    return [
        (b"ratelimit-limit", b"%d" % usage.limit.amount),
        (b"ratelimit-remaining", b"%d" % usage.remaining),
        (b"ratelimit-reset", b"%d" % _seconds(usage.reset)),
        (b"ratelimit-policy", policies.encode()),
    ]


def _draft_11(told: list[_Told]) -> _RawHeaders:
    """draft-ietf-httpapi-ratelimit-headers-11 sections 3 and 4: every limit has a name."""
    policies, states = [], []
    for name, usage in told:
        title = _NOT_IN_NAMES.sub("?", f"{name}: {usage.limit.name}")
        policies.append(f'"{title}";q={usage.limit.amount};w={usage.limit.seconds}')
        states.append(f'"{title}";r={usage.remaining};t={_seconds(usage.reset)}')
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def _no_fields(told: list[_Told]) -> _RawHeaders:
    return []


_FIELDS: dict[str, Callable[[list[_Told]], _RawHeaders]] = {
    "draft-6": _draft_6,
    "draft-11": _draft_11,
    "none": _no_fields,
}
_NAMES = {b"ratelimit", b"ratelimit-limit"}


# --- one request -----------------------------------------------------------------------------------------------------


class _Settings:
    """How requests are counted, by whatever limits."""

    def __init__(
        self,
        strategy: Strategy,
        storage: "str | Storage",
        storage_timeout: float,
        fail_open: bool,
        headers: HeaderFields,
        clients: ClientAddresses,
        ipv6_prefix: int,
        name: str,
    ) -> None:
        if headers not in _FIELDS:
            raise ValueError(f"headers must be one of {', '.join(get_args(HeaderFields))}, not {headers!r}")
        if not 1 <= ipv6_prefix <= 128:
            raise ValueError(f"ipv6_prefix must be between 1 and 128, not {ipv6_prefix}")
        self.limiter = Limiter(strategy, storage, storage_timeout)
        self.fail_open = fail_open
        self.fields = _FIELDS[headers]
        self.clients = clients
        self.ipv6_prefix = ipv6_prefix
        self.name = name

    def client(self, scope: Scope) -> str:
        """Return what tells this client from others by its address."""
        return f"client:{group_address(self.clients.find(scope), self.ipv6_prefix)}"

    async def key(self, conn: HTTPConnection, key: Key) -> str:
        """Return what tells this client from others; its address where `key` says nothing."""
        found = await _call(key, conn)
        if found is None or found == "":
            return self.client(conn.scope)
        text = str(found)
        # A key that a client can choose must neither be long nor look like a part of another one.
        return (
            f"key:{text}"
            if _PLAIN_KEY.fullmatch(text)
            else f"hash:{sha256(text.encode(errors='surrogatepass')).hexdigest()}"
        )


def _connection(scope: Scope) -> HTTPConnection:
    return Request(scope) if scope["type"] == "http" else HTTPConnection(scope)


async def _call(func: Callable[[Any], Any], argument: Any) -> Any:
    return await func(argument) if is_async_callable(func) else func(argument)


class _RequestLimits(ResponseHook):
    """What all limits around a request have said so far. Those inside of a middleware add to it by the scope."""

    __slots__ = ("settings", "told")

    def __init__(self, settings: _Settings, told: list[_Told]) -> None:
        self.settings = settings
        self.told = told

    def head(self, status: int, headers: _RawHeaders) -> None:
        """Add the header fields, unless they are there: from a limit further in, which knows of all, or an upstream."""
        if not self.told:
            return
        for name, _ in headers:
            if name in _NAMES:
                return
        headers += self.settings.fields(self.told)

    async def hit(self, limits: _Limits, name: str, key: Key | None, scope: Scope) -> "_Refusal | None":
        """Count a request; returns why it is refused, if it is."""
        settings = self.settings
        client = settings.client(scope) if key is None else await settings.key(_connection(scope), key)
        counted = f"{settings.name}/{name}/{client}"
        memory = settings.limiter.memory
        found = memory.hit_now(limits, counted) if memory else await settings.limiter.hit(limits, counted)
        if found is None:
            return None if settings.fail_open else _Refusal(503, UNCHECKED, {})
        self.told += [_Told(name, usage) for usage in found]
        for usage in found:
            if not usage.allowed:
                return self._refusal([each for each in found if each.remaining == 0])
        return None

    def _refusal(self, exhausted: list[Usage]) -> "_Refusal":
        last = max(exhausted, key=lambda usage: usage.reset)
        headers = {name.decode(): value.decode() for name, value in self.settings.fields(self.told)}
        # Never before the reset of the limit that is shown (section 6 of the draft), and never at once.
        headers["retry-after"] = str(max(1, _seconds(last.reset)))
        return _Refusal(429, f"Rate limit exceeded: {last.limit.name}", headers)


class _Refusal(NamedTuple):
    status: int
    detail: str
    headers: dict[str, str]


# --- the two doors ---------------------------------------------------------------------------------------------------


class RateLimitMiddleware(HookMiddleware):
    """Answers 429 to clients that make more requests than `limits` allow.

    WebSockets are not counted. A refused request is not counted either, except by fixed windows in a shared storage,
    where it does not matter.

    Args:
        app: the application inside.
        limits: "10/minute; 100/hour", objects of the `limits` library, or a list of both. All of them apply. Without
            any, the middleware only holds what `RateLimit` dependencies use.
        key: a function of the request, `async def` if it has to wait, that returns what tells clients apart. Where it
            returns None, and without one, it is the client's address.
        exempt: a function of the request that says whether it is not limited; may be `async def`.
        exempt_paths: paths that are not limited, all that begin alike if one ends with "*".
        strategy: "fixed-window" (of a client's first request), "moving-window" (exact, keeps the time of each request),
            "sliding-window-counter" (nearly exact, keeps two numbers) or "token-bucket" (fills evenly).
        storage: "memory://" counts in this process; "redis://host:6379/0" in Redis, for all processes together; also
            other URLs and asynchronous storages of `limits`, without token buckets.
        storage_timeout: how many seconds a storage outside may take.
        fail_open: whether requests pass while the storage fails; they get 503 otherwise. Failures are logged.
        headers: which header fields tell clients about limits: "draft-6" (RateLimit-Limit, RateLimit-Remaining,
            RateLimit-Reset, RateLimit-Policy), "draft-11" (RateLimit, RateLimit-Policy) or "none".
        trusted_proxies: addresses and networks of proxies whose `proxy_header` is believed; "unix" for Unix sockets.
        proxy_header: the header that they write.
        ipv6_prefix: how many bits of an IPv6 address tell clients apart: a client usually has a /64 for itself.
        name: tells apart applications that count in one storage.

    Raises:
        ImportError: `limits` or `redis` is not installed.
        ValueError: for wrong arguments.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits = (),
        *,
        key: Key | None = None,
        exempt: Test | None = None,
        exempt_paths: Iterable[str] = (),
        strategy: Strategy = "fixed-window",
        storage: "str | Storage" = "memory://",
        storage_timeout: float = 1.0,
        fail_open: bool = True,
        headers: HeaderFields = "draft-6",
        trusted_proxies: Iterable[str] = (),
        proxy_header: ProxyHeader = "X-Forwarded-For",
        ipv6_prefix: int = 64,
        name: str = "turboapi",
    ) -> None:
        super().__init__(app)
        clients = ClientAddresses(trusted_proxies, proxy_header)
        self.limits = parse_limits(limits)
        self._settings = _Settings(strategy, storage, storage_timeout, fail_open, headers, clients, ipv6_prefix, name)
        self._key = key
        self._exempt = exempt
        self._is_exempt_path = path_matcher(exempt_paths)

    def layer(self) -> Layer | None:
        """Return the layer; None if `__call__` is overridden."""
        return None if self.has_own(RateLimitMiddleware, "__call__") else self.hook_layer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self._enter(scope)
        elif scope["type"] == "lifespan":
            send = self._closing_at_the_end(send)
        await super().__call__(scope, receive, send)

    def _closing_at_the_end(self, send: Send) -> Send:
        async def closing_send(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self._settings.limiter.close()
            await send(message)

        return closing_send

    def _enter(self, scope: Any) -> _RequestLimits:
        """Put the limits of a request into its scope, together with those of the middleware further out."""
        outer: _RequestLimits | None = scope.get(SCOPE_KEY)
        entered = scope[SCOPE_KEY] = _RequestLimits(self._settings, [] if outer is None else outer.told)
        return entered

    async def before(self, exchange: Exchange) -> Response | ResponseHook:
        """Count the request; returns the refusal if it is one too many."""
        scope = exchange.scope()
        entered = self._enter(scope)
        if not self.limits or self._is_exempt_path(exchange.path):
            return entered
        if self._exempt is not None and await _call(self._exempt, Request(scope)):
            return entered
        refusal = await entered.hit(self.limits, "all", self._key, scope)
        if refusal is None:
            return entered
        return JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)


class RateLimit:
    """A dependency that limits path operations: `Depends(RateLimit("5/minute"))`.

    Every path operation is counted by itself. One request too many is an HTTPException with status 429; a WebSocket is
    closed. Storage and all other settings are those of the `RateLimitMiddleware` around the application; without one,
    requests are counted in memory, by this object.

    Args:
        limits: as in `RateLimitMiddleware`.
        key: as in `RateLimitMiddleware`; it can use what other dependencies have put into `request.state`.
        name: path operations with this name are counted together.

    Raises:
        ImportError: `limits` is not installed.
        ValueError: for what is no limit.
    """

    def __init__(self, limits: Limits, *, key: Key | None = None, name: str | None = None) -> None:
        self.limits = parse_limits(limits)
        self._key = key
        self._name = name
        self._own_settings = _Settings("fixed-window", "memory://", 1.0, True, "draft-6", ClientAddresses(), 64, "")

    async def __call__(self, conn: HTTPConnection, response: Response) -> None:
        """Count the request. Raises HTTPException, and WebSocketException, when it is one too many."""
        around: _RequestLimits | None = conn.scope.get(SCOPE_KEY)
        current = around or _RequestLimits(self._own_settings, [])
        refusal = await current.hit(self.limits, self._name or _name_of_route(conn.scope), self._key, conn.scope)
        if refusal is not None and conn.scope["type"] == "websocket":
            raise WebSocketException(TRY_AGAIN_LATER, refusal.detail)
        if refusal is not None:
            raise HTTPException(refusal.status, refusal.detail, refusal.headers)
        if around is None:
            current.head(200, response.raw_headers)


def _name_of_route(scope: Any) -> str:
    """Return a name that is the same in all processes: the path's template and the function behind it."""
    route = scope.get("fastapi", {}).get(ROUTE_CONTEXT) or scope.get("route")
    endpoint = scope.get("endpoint")
    function = getattr(endpoint, "__qualname__", type(endpoint).__qualname__)
    return f"{getattr(route, 'path', '')} {getattr(endpoint, '__module__', '')}.{function}"
