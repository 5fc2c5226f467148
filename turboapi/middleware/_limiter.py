"""Counting requests against limits, in this process or in a shared storage.

A `Limiter` has a strategy and a store. Limits are values of the `limits` library, which parses them, too, and which
counts in Redis, Memcached and MongoDB. Two things are counted here instead:

* In memory. The library's own storage looks at all its keys again and again, which takes 0.25 ms a request with 3,000
  clients; here it takes a few microseconds with any number of them, nothing has to be waited for, and several limits
  are used up together or not at all.
* Token buckets, which the library (5.8) does not have: in memory, and in Redis by a script.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from math import floor
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args
from urllib.parse import urlsplit

import anyio

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.storage import Storage

__all__ = ["Limit", "Limiter", "Limits", "Strategy", "Usage", "parse_limits"]

Strategy = Literal["fixed-window", "moving-window", "sliding-window-counter", "token-bucket"]
Limits: TypeAlias = "str | RateLimitItem | Iterable[str | RateLimitItem]"

MISSING_LIMITS = (
    'The `limits` library must be installed to limit rates. It comes with `pip install "turboapi[ratelimit]"`.'
)
MISSING_REDIS = (
    'The `redis` library must be installed to count in Redis. It comes with `pip install "turboapi[ratelimit]"`.'
)
_MEMORY = ("memory", "async+memory")
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_LOG_INTERVAL = 10.0  # seconds between two messages about a storage that fails
_ALMOST = 1e-9  # what rounding may have taken from a whole number

logger = logging.getLogger("turboapi.ratelimit")


class Limit(NamedTuple):
    """So many requests in so many seconds."""

    amount: int
    seconds: int
    name: str
    """What clients read."""
    policy: str
    """The same in a header field: draft-ietf-httpapi-ratelimit-headers-06 section 3.4."""
    item: RateLimitItem


class Usage(NamedTuple):
    """What one limit says to one request."""

    limit: Limit
    allowed: bool
    remaining: int
    reset: float
    """Seconds until more is available."""


def _import(name: str, missing: str) -> Any:
    try:
        return import_module(name)
    except ImportError as exc:
        raise ImportError(missing) from exc


def parse_limits(limits: Limits) -> tuple[Limit, ...]:
    """Return the limits in texts like "10/minute; 100 per hour" and in the library's objects, short windows first.

    Raises ValueError for a text that is none and for a limit of no requests, ImportError without `limits`.
    """
    library = _import("limits", MISSING_LIMITS)
    listed = cast(Any, [limits] if isinstance(limits, (str, library.RateLimitItem)) else limits)
    items: list[RateLimitItem] = []
    for each in listed:
        items += library.parse_many(each) if isinstance(each, str) else [each]
    found = {_limit(item) for item in items}
    return tuple(sorted(found, key=lambda limit: (limit.seconds, limit.amount)))


def _limit(item: RateLimitItem) -> Limit:
    if item.amount < 1:
        raise ValueError(f"a limit must allow at least one request: {item}")
    unit = item.GRANULARITY.name
    period = unit if item.multiples == 1 else f"{item.multiples} {unit}s"
    seconds = item.get_expiry()
    return Limit(item.amount, seconds, f"{item.amount} per {period}", f"{item.amount};w={seconds}", item)


class Limiter:
    """Counts requests by limit and key.

    Args:
        strategy: what is counted.
        storage: "memory://", the URL of a Redis server, another URL or an asynchronous storage of `limits`.
        timeout: how many seconds a storage elsewhere may take.

    Raises:
        ImportError: `limits` or `redis` is not installed.
        ValueError: for an unknown strategy, and a storage that is unknown or does not support it.
    """

    def __init__(self, strategy: Strategy, storage: str | Storage, timeout: float) -> None:
        self._store = _make_store(strategy, storage, timeout)
        self.memory = self._store if isinstance(self._store, MemoryStore) else None
        """The store if it is in memory, where nothing fails and nothing waits."""
        self._failures = 0
        self._silent_until = 0.0

    async def hit(self, limits: Sequence[Limit], key: str) -> list[Usage] | None:
        """Count a request if all limits allow it; None if that cannot be said, because the storage has failed.

        After a limit that refuses, further ones may be missing in the result.
        """
        try:
            return await self._store.hit(limits, key)
        except Exception as exc:
            self._log(exc)
            return None

    async def close(self) -> None:
        """Close the connections that this object has opened."""
        if self._store.pool is not None:
            await self._store.pool.disconnect()

    def _log(self, exc: Exception) -> None:
        """Log the failure, unless one has been logged just now: there may be one for each request."""
        self._failures += 1
        now = time.monotonic()
        if now >= self._silent_until:
            logger.error("The storage of rate limits has failed (%d times so far).", self._failures, exc_info=exc)
            self._silent_until = now + _LOG_INTERVAL


class Store(ABC):
    """Where a limiter counts."""

    pool: Any = None
    """Connections that the store has opened itself."""

    @abstractmethod
    async def hit(self, limits: Sequence[Limit], key: str) -> list[Usage]:
        """Count a request if all limits allow it."""


def _make_store(strategy: Strategy, storage: str | Storage, timeout: float) -> Store:
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, not {strategy!r}")
    _import("limits", MISSING_LIMITS)
    scheme = urlsplit(storage).scheme if isinstance(storage, str) else ""
    if scheme in _MEMORY:
        return MemoryStore(strategy)
    if isinstance(storage, str) and scheme.removeprefix("async+") in _REDIS_SCHEMES:
        return RedisStore(strategy, storage.removeprefix("async+"), timeout)
    if strategy == "token-bucket":
        raise ValueError(f"token buckets can be kept in memory and by the URL of a Redis server, not in {storage!r}")
    return LibraryStore(strategy, _make_storage(storage), timeout)


def _make_storage(storage: str | Storage) -> Storage:
    if not isinstance(storage, str):
        return storage
    url = storage if storage.startswith("async+") else f"async+{storage}"
    make = _import("limits.storage", MISSING_LIMITS).storage_from_string
    try:
        return cast("Storage", make(url))
    except import_module("limits.errors").ConfigurationError as exc:
        raise ValueError(f"storage {storage!r}: {exc}") from exc


# --- other places ----------------------------------------------------------------------------------------------------


class LibraryStore(Store):
    """Counts by the `limits` library."""

    def __init__(self, strategy: str, storage: Storage, timeout: float) -> None:
        strategies = _import("limits.aio.strategies", MISSING_LIMITS).STRATEGIES
        self._limiter = strategies[strategy](storage)
        self._usage = self._sliding_usage if strategy == "sliding-window-counter" else self._window_usage
        self._timeout = timeout

    async def hit(self, limits: Sequence[Limit], key: str) -> list[Usage]:
        """Count by one limit after the other, until one refuses: those with short windows, which come first, are
        forgotten soon."""
        usages = []
        with anyio.fail_after(self._timeout):
            for limit in limits:
                allowed = await self._limiter.hit(limit.item, key)
                remaining, reset = await self._usage(limit, key)
                usages.append(Usage(limit, allowed, max(0, remaining) if allowed else 0, max(0.0, reset)))
                if not allowed:
                    break
        return usages

    async def _window_usage(self, limit: Limit, key: str) -> tuple[int, float]:
        reset_time, remaining = await self._limiter.get_window_stats(limit.item, key)
        return remaining, reset_time - time.time()

    async def _sliding_usage(self, limit: Limit, key: str) -> tuple[int, float]:
        """Not from the library's statistics, whose times are too early."""
        counted = await self._limiter.storage.get_sliding_window(limit.item.key_for(key), limit.seconds)
        previous, previous_expires_in, current, current_expires_in = counted
        rest = previous_expires_in if previous else current_expires_in - limit.seconds
        used, reset = _sliding_count(limit.seconds, previous, current, rest)
        return limit.amount - used, reset


# Takes a token from every bucket, or from none. ARGV: amount and seconds of each bucket in KEYS. The clock is that of
# the server, so that all processes have the same.
_TAKE_TOKENS = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local tokens, allowed = {}, 1
for i, key in ipairs(KEYS) do
    local amount, seconds = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local state = redis.call('HMGET', key, 'tokens', 'at')
    tokens[i] = amount
    if state[1] then
        local passed = math.max(0, now - tonumber(state[2]))
        tokens[i] = math.min(amount, tonumber(state[1]) + passed * amount / seconds)
    end
    if tokens[i] < 1 - 1e-9 then
        allowed = 0
    end
end
local reply = {allowed}
for i, key in ipairs(KEYS) do
    reply[i + 1] = string.format('%.17g', tokens[i])
    if allowed == 1 then
        reply[i + 1] = string.format('%.17g', tokens[i] - 1)
        redis.call('HSET', key, 'tokens', reply[i + 1], 'at', string.format('%.17g', now))
        redis.call('PEXPIRE', key, tonumber(ARGV[2 * i]) * 1000)
    end
end
return reply
"""


class RedisStore(Store):
    """Counts in Redis, over connections of its own: windows by the `limits` library, token buckets by a script."""

    def __init__(self, strategy: Strategy, url: str, timeout: float) -> None:
        redis = _import("redis.asyncio", MISSING_REDIS)
        self.pool = redis.ConnectionPool.from_url(url)
        self._timeout = timeout
        self._windows: LibraryStore | None = None
        if strategy == "token-bucket":
            self._take_tokens = redis.Redis(connection_pool=self.pool).register_script(_TAKE_TOKENS)
        else:
            make = _import("limits.aio.storage", MISSING_LIMITS).RedisStorage
            storage = make(f"async+{url}", implementation="redispy", connection_pool=self.pool)
            self._windows = LibraryStore(strategy, storage, timeout)

    async def hit(self, limits: Sequence[Limit], key: str) -> list[Usage]:
        """Count a request; token buckets all together or not at all."""
        if self._windows is not None:
            return await self._windows.hit(limits, key)
        keys = [f"LIMITS:bucket/{key}/{limit.amount}/{limit.seconds}" for limit in limits]
        rates = [number for limit in limits for number in (limit.amount, limit.seconds)]
        with anyio.fail_after(self._timeout):
            allowed, *left = await self._take_tokens(keys, rates)
        return [_bucket_usage(limit, float(tokens), bool(allowed)) for limit, tokens in zip(limits, left, strict=True)]


def _bucket_usage(limit: Limit, tokens: float, taken: bool) -> Usage:
    """Return the usage of a bucket that has `tokens`, after one has been `taken` or when some bucket had none."""
    whole = floor(tokens + _ALMOST)
    missing = 0.0 if whole >= limit.amount else max(0.0, whole + 1 - tokens)
    return Usage(limit, taken or whole >= 1, max(0, whole), missing * limit.seconds / limit.amount)


# --- memory ----------------------------------------------------------------------------------------------------------


class MemoryStore(Store):
    """Counts in this process."""

    def __init__(self, strategy: Strategy, clock: Callable[[], float] = time.monotonic) -> None:
        self._make_counter = _COUNTERS[strategy]
        self._clock = clock
        self._counters: dict[str, Counter[Any]] = {}

    async def hit(self, limits: Sequence[Limit], key: str) -> list[Usage]:
        """Count a request if all limits allow it."""
        return self.hit_now(limits, key)

    def hit_now(self, limits: Sequence[Limit], key: str) -> list[Usage]:
        """The same without waiting, which is never necessary here."""
        now = self._clock()
        counters = [self._counters.get(limit.name) or self._add(limit) for limit in limits]
        for counter in counters:
            if not counter.allows(key, now):
                return [each.usage(key, now) for each in counters]
        return [counter.count(key, now) for counter in counters]

    def _add(self, limit: Limit) -> Counter[Any]:
        counter = self._counters[limit.name] = self._make_counter(limit)
        return counter


StateT = TypeVar("StateT")


class Counter(ABC, Generic[StateT]):
    """Counts by one limit, with one state for each key.

    The states stand in the order in which they lose their meaning, more or less, so that the front can be cleared.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.states: OrderedDict[str, StateT] = OrderedDict()

    def allows(self, key: str, now: float) -> bool:
        """Whether there may be one more request."""
        return self.used(self.states.get(key), now)[0] < self.limit.amount

    def usage(self, key: str, now: float) -> Usage:
        """Return what the limit says to a request that is refused, by this or another limit."""
        used, reset = self.used(self.states.get(key), now)
        return Usage(self.limit, used < self.limit.amount, max(0, self.limit.amount - used), reset)

    def count(self, key: str, now: float) -> Usage:
        """Count a request that is allowed."""
        states = self.states
        before = states.get(key)
        state = states[key] = self.add(before, now)
        if before is not None and self.moves(before, now):
            states.move_to_end(key)
        for _ in range(2):  # one more than can have come, so that all go in the end
            oldest = next(iter(states))
            if self.expiry(states[oldest]) > now:
                break
            del states[oldest]
        used, reset = self.used(state, now)
        return Usage(self.limit, True, max(0, self.limit.amount - used), reset)

    @abstractmethod
    def used(self, state: StateT | None, now: float) -> tuple[int, float]:
        """Return how many requests count now, and in how many seconds it will be fewer."""

    @abstractmethod
    def add(self, state: StateT | None, now: float) -> StateT:
        """Return the state after one more request."""

    @abstractmethod
    def moves(self, state: StateT, now: float) -> bool:
        """Whether one more request makes the state last longer."""

    @abstractmethod
    def expiry(self, state: StateT) -> float:
        """Return the time from which on the state says nothing."""


class FixedWindow(Counter[tuple[int, float]]):
    """Windows that begin with a client's first request. The state: how many requests, and the window's end."""

    def used(self, state: tuple[int, float] | None, now: float) -> tuple[int, float]:
        if state is None or state[1] <= now:
            return 0, 0.0
        return state[0], state[1] - now

    def add(self, state: tuple[int, float] | None, now: float) -> tuple[int, float]:
        if state is None or state[1] <= now:
            return 1, now + self.limit.seconds
        return state[0] + 1, state[1]

    def moves(self, state: tuple[int, float], now: float) -> bool:
        return state[1] <= now

    def expiry(self, state: tuple[int, float]) -> float:
        return state[1]


class MovingWindow(Counter["deque[float]"]):
    """The window that ends now. The state: when each of the requests in it came."""

    def used(self, state: deque[float] | None, now: float) -> tuple[int, float]:
        begin = now - self.limit.seconds
        while state and state[0] <= begin:
            state.popleft()
        return (len(state), state[0] - begin) if state else (0, 0.0)

    def add(self, state: deque[float] | None, now: float) -> deque[float]:
        state = deque() if state is None else state
        state.append(now)
        return state

    def moves(self, state: deque[float], now: float) -> bool:
        return True

    def expiry(self, state: deque[float]) -> float:
        return state[-1] + self.limit.seconds if state else 0.0


def _sliding_count(seconds: int, previous: int, current: int, rest: float) -> tuple[int, float]:
    """Return how many requests count `rest` seconds before the end of the present window, and when it will be fewer."""
    used = floor(previous * rest / seconds + current + _ALMOST)
    if used > current:  # that is the last window's part, which shrinks before the present one ends
        return used, max(0.0, rest - (used - current) * seconds / previous)
    return used, rest if used else 0.0


class SlidingWindowCounter(Counter[tuple[float, int, int]]):
    """The window that ends now, estimated: of the requests in the last fixed window counts the share that the window
    still covers. The state: when the present fixed window began, and how many requests came in the last and in it."""

    def _roll(self, state: tuple[float, int, int] | None, now: float) -> tuple[float, int, int]:
        seconds = self.limit.seconds
        if state is None or now - state[0] >= 2 * seconds:
            return now, 0, 0
        start, _, current = state
        return (start + seconds, current, 0) if now - start >= seconds else state

    def used(self, state: tuple[float, int, int] | None, now: float) -> tuple[int, float]:
        start, previous, current = self._roll(state, now)
        return _sliding_count(self.limit.seconds, previous, current, start + self.limit.seconds - now)

    def add(self, state: tuple[float, int, int] | None, now: float) -> tuple[float, int, int]:
        start, previous, current = self._roll(state, now)
        return start, previous, current + 1

    def moves(self, state: tuple[float, int, int], now: float) -> bool:
        return now - state[0] >= self.limit.seconds

    def expiry(self, state: tuple[float, int, int]) -> float:
        return state[0] + 2 * self.limit.seconds


class TokenBucket(Counter[tuple[float, float]]):
    """A bucket of `amount` tokens that fills evenly in `seconds`. The state: the tokens, and when they were counted."""

    def _tokens(self, state: tuple[float, float] | None, now: float) -> float:
        amount, seconds = self.limit.amount, self.limit.seconds
        return amount if state is None else min(amount, state[0] + (now - state[1]) * amount / seconds)

    def used(self, state: tuple[float, float] | None, now: float) -> tuple[int, float]:
        usage = _bucket_usage(self.limit, self._tokens(state, now), taken=False)
        return self.limit.amount - usage.remaining, usage.reset

    def add(self, state: tuple[float, float] | None, now: float) -> tuple[float, float]:
        return self._tokens(state, now) - 1, now

    def moves(self, state: tuple[float, float], now: float) -> bool:
        return True

    def expiry(self, state: tuple[float, float]) -> float:
        return state[1] + self.limit.seconds


_COUNTERS: dict[Strategy, type[Counter[Any]]] = {
    "fixed-window": FixedWindow,
    "moving-window": MovingWindow,
    "sliding-window-counter": SlidingWindowCounter,
    "token-bucket": TokenBucket,
}
