"""Counting: what the strategies say, in memory against their definitions, and in Redis against memory."""

import asyncio
import logging
import subprocess
import sys
from fractions import Fraction
from math import floor
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import limits
import limits.aio.storage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turboapi.middleware import _limiter
from turboapi.middleware._limiter import Limiter, MemoryStore, RedisStore, Strategy, parse_limits

STRATEGIES = get_args(Strategy)
PATIENCE = 20
WINDOWS = [name for name in STRATEGIES if name != "token-bucket"]


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def hit(store, text, key="me"):
    return asyncio.run(store.hit(parse_limits(text), key))


def answers(usages):
    return [(usage.allowed, usage.remaining) for usage in usages]


# --- parsing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("10/minute", [(10, 60, "10 per minute")]),
        ("100 per hour; 10/minute", [(10, 60, "10 per minute"), (100, 3600, "100 per hour")]),
        ("5/2 seconds, 1/day", [(5, 2, "5 per 2 seconds"), (1, 86400, "1 per day")]),
        (limits.RateLimitItemPerHour(7), [(7, 3600, "7 per hour")]),
        ([limits.parse("7/hour"), "7/hour;1/second"], [(1, 1, "1 per second"), (7, 3600, "7 per hour")]),
        ((), []),
    ],
)
def test_limits_are_parsed(given_, expected):
    assert [tuple(limit[:3]) for limit in parse_limits(given_)] == expected


@pytest.mark.parametrize("text", ["", "many", "10", "10/fortnight", "0/minute", ["10/minute", "x"]])
def test_wrong_limits(text):
    with pytest.raises(ValueError):
        parse_limits(text)


# --- in memory -------------------------------------------------------------------------------------------------------


class Definition:
    """The strategies as they are defined, from the times of all requests that were let through."""

    def __init__(self, strategy, amount, seconds):
        self.count = getattr(self, "_" + strategy.replace("-", "_"))
        self.amount = amount
        self.seconds = seconds
        self.times = []

    def hit(self, now):
        used = self.count(now)
        allowed = used + 1 <= self.amount
        if allowed:
            self.times.append(now)
        return allowed, max(0, floor(self.amount - self.count(now)))

    def _fixed_window(self, now):
        begin = None
        for each in self.times:
            if begin is None or each >= begin + self.seconds:
                begin, count = each, 0
            count += 1
        return count if begin is not None and now < begin + self.seconds else 0

    def _moving_window(self, now):
        return sum(each > now - self.seconds for each in self.times)

    def _sliding_window_counter(self, now):
        begin, previous, current = now, 0, 0
        for index, each in enumerate([*self.times, now]):
            if index == 0 or each >= begin + 2 * self.seconds:
                begin, previous, current = each, 0, 0
            elif each >= begin + self.seconds:
                begin, previous, current = begin + self.seconds, current, 0
            current += index < len(self.times)
        return floor(Fraction(previous * (begin + self.seconds - now), self.seconds) + current)

    def _token_bucket(self, now):
        tokens, before = Fraction(self.amount), 0
        for each in [*self.times, now]:
            tokens = min(Fraction(self.amount), tokens + Fraction((each - before) * self.amount, self.seconds))
            before = each
            tokens -= 1
        return self.amount - (tokens + 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(
    amount=st.integers(1, 5),
    seconds=st.integers(1, 7),
    pauses=st.lists(st.one_of(st.integers(0, 2), st.integers(0, 20)), max_size=40),
)
def test_memory_counts_as_defined(strategy, amount, seconds, pauses):
    clock = Clock()
    store = MemoryStore(strategy, clock)
    definition = Definition(strategy, amount, seconds)
    clock.now = 0
    for pause in pauses:
        clock.now += pause
        expected = definition.hit(clock.now)
        assert answers(hit(store, f"{amount}/{seconds} seconds")) == [expected]


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(
    amount=st.integers(1, 6),
    seconds=st.integers(1, 9),
    pauses=st.lists(st.floats(0, 12, allow_nan=False), min_size=1, max_size=20),
)
def test_what_is_refused_is_allowed_after_the_reset_and_not_long_before(strategy, amount, seconds, pauses):
    clock = Clock()
    store = MemoryStore(strategy, clock)
    text = f"{amount}/{seconds} seconds"
    for pause in [*pauses, *[0] * amount]:
        clock.now += pause
        [usage] = hit(store, text)
        assert 0 <= usage.reset <= seconds + 1e-6
        if not usage.allowed:
            clock.now += usage.reset * 0.99 - 1e-3
            assert answers(hit(store, text)) == [(False, 0)]
            clock.now += usage.reset * 0.01 + 2e-3
            assert answers(hit(store, text))[0][0] is True
            return


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_several_limits_are_used_up_together_or_not_at_all(strategy):
    clock = Clock()
    store = MemoryStore(strategy, clock)
    text = "2/second; 3/hour"
    assert answers(hit(store, text)) == [(True, 1), (True, 2)]
    assert answers(hit(store, text)) == [(True, 0), (True, 1)]
    for _ in range(3):
        assert answers(hit(store, text)) == [(False, 0), (True, 1)]
    clock.now += 2
    assert answers(hit(store, text)) == [(True, 1), (True, 0)]
    assert answers(hit(store, text)) == [(True, 1), (False, 0)]
    assert answers(hit(store, "2/second; 3/hour", "you")) == [(True, 1), (True, 2)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_memory_forgets_clients_that_have_gone(strategy):
    clock = Clock()
    store = MemoryStore(strategy, clock)
    for number in range(1000):
        clock.now += 0.001
        hit_all = hit(store, "5/second", f"client {number}")
        assert hit_all[0].allowed
    clock.now += 10
    [counter] = store._counters.values()
    for _ in range(501):
        hit(store, "5/second", "the last one")
        clock.now += 10
    assert list(counter.states) == ["the last one"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_client_that_stays_does_not_keep_the_others_in_memory(strategy):
    clock = Clock()
    store = MemoryStore(strategy, clock)
    hit(store, "5/second", "busy")
    for number in range(20):
        hit(store, "5/second", f"client {number}")
    for _ in range(100):
        clock.now += 0.25
        hit(store, "5/second", "busy")
    [counter] = store._counters.values()
    assert list(counter.states) == ["busy"]


# --- Redis -----------------------------------------------------------------------------------------------------------


def in_redis(strategy, url, action):
    """Run `action(store)` with a store of the strategy."""

    async def run():
        store = RedisStore(strategy, url, 5.0)
        try:
            return await action(store)
        finally:
            await store.pool.disconnect()

    return asyncio.run(run())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_redis_counts_like_memory(strategy, redis_url):
    async def count(store):
        found = []
        for key in ("a", "a", "b", "a", "a", "b"):
            found.append(await store.hit(parse_limits("3/hour"), key))
        return found

    ours = asyncio.run(count(MemoryStore(strategy)))
    theirs = in_redis(strategy, redis_url, count)
    assert [answers(usages) for usages in theirs] == [answers(usages) for usages in ours]
    for [theirs_], [ours_] in zip(theirs, ours, strict=True):
        assert theirs_.reset == pytest.approx(ours_.reset, abs=PATIENCE)
        assert 0 <= theirs_.reset <= 3600


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_redis_does_not_let_more_through_at_the_same_time(strategy, redis_url):
    async def flood(store):
        hits = [store.hit(parse_limits("7/hour; 100/day"), "me") for _ in range(40)]
        return [all(usage.allowed for usage in usages) for usages in await asyncio.gather(*hits)]

    assert sum(in_redis(strategy, redis_url, flood)) == 7


def test_token_buckets_in_redis_are_filled_again(redis_url):
    async def wait(store):
        found = [await store.hit(parse_limits("10/second"), "me") for _ in range(15)]
        assert not all(usage.allowed for [usage] in found)
        while True:  # the server's clock goes on: it takes a tenth of a second, and ends some day
            [usage] = await store.hit(parse_limits("10/second"), "me")
            if usage.allowed:
                return
            assert 0 < usage.reset <= 0.1
            await asyncio.sleep(usage.reset)

    in_redis("token-bucket", redis_url, wait)


def test_token_buckets_in_redis_are_taken_together_and_expire(redis_url):
    async def count(store):
        text = parse_limits("2/hour; 3/day")
        found = [answers(await store.hit(text, "me")) for _ in range(3)]
        client = _limiter._import("redis.asyncio", "").Redis(connection_pool=store.pool)
        keys = sorted(await client.keys("*"))
        return found, [(key, await client.pttl(key)) for key in keys]

    found, keys = in_redis("token-bucket", redis_url, count)
    assert found == [[(True, 1), (True, 2)], [(True, 0), (True, 1)], [(False, 0), (True, 1)]]
    assert [key for key, _ in keys] == [b"LIMITS:bucket/me/2/3600", b"LIMITS:bucket/me/3/86400"]
    for (_, left), seconds in zip(keys, (3600, 86400), strict=True):
        assert seconds - PATIENCE < left / 1000 <= seconds


# --- stores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", WINDOWS)
@pytest.mark.parametrize("make", [lambda: limits.aio.storage.MemoryStorage(), lambda: Remote()])
def test_storages_of_the_library_can_be_used(strategy, make):
    async def count():
        limiter = Limiter(strategy, make(), 5.0)
        found = [await limiter.hit(parse_limits("2/hour; 3/day"), "me") for _ in range(3)]
        await limiter.close()
        return [answers(usages) for usages in found]

    assert asyncio.run(count()) == [[(True, 1), (True, 2)], [(True, 0), (True, 1)], [(False, 0)]]


class Remote(limits.aio.storage.MemoryStorage):
    """A storage that programs add to the library."""

    STORAGE_SCHEME = ["async+remote"]


def test_storages_can_be_named_by_url():
    async def count():
        limiter = Limiter("fixed-window", "remote://somewhere", 5.0)
        assert type(limiter._store._limiter.storage) is Remote
        return answers(await limiter.hit(parse_limits("2/hour"), "me"))

    assert asyncio.run(count()) == [(True, 1)]


@pytest.mark.parametrize("url", ["memory://", "async+memory://"])
def test_memory_is_our_own(url):
    assert type(Limiter("fixed-window", url, 1.0)._store) is MemoryStore


@pytest.mark.parametrize(
    ("strategy", "storage", "error"),
    [
        ("leaky", "memory://", "strategy must be one of fixed-window, moving-window"),
        ("fixed-window", "nonsense://x", "unknown storage scheme"),
        ("fixed-window", "nonsense", "unknown storage scheme"),
        ("token-bucket", "memcached://x", "token buckets can be kept in memory"),
        ("token-bucket", SimpleNamespace(), "token buckets can be kept in memory"),
    ],
)
def test_wrong_stores(strategy, storage, error):
    with pytest.raises(ValueError, match=error):
        Limiter(strategy, storage, 1.0)


class Broken(MemoryStore):
    def __init__(self, error):
        self.error = error

    async def hit(self, limits, key):
        raise self.error


def test_failures_are_logged_but_not_each_of_them(caplog, monkeypatch):
    limiter = Limiter("fixed-window", "memory://", 1.0)
    limiter._store = Broken(ConnectionError("gone"))
    clock = Clock()
    monkeypatch.setattr(_limiter, "time", SimpleNamespace(monotonic=clock))
    assert [asyncio.run(limiter.hit((), "me")) for _ in range(3)] == [None] * 3
    clock.now += 11
    assert asyncio.run(limiter.hit((), "me")) is None
    assert [(record.name, record.levelno, record.args) for record in caplog.records] == [
        ("turboapi.ratelimit", logging.ERROR, (1,)),
        ("turboapi.ratelimit", logging.ERROR, (4,)),
    ]
    assert "ConnectionError: gone" in caplog.text


def test_cancellation_is_no_failure(caplog):
    limiter = Limiter("fixed-window", "memory://", 1.0)
    limiter._store = Broken(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(limiter.hit((), "me"))
    assert caplog.records == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_server_is_a_failure(strategy, closed_port, caplog):
    async def run():
        limiter = Limiter(strategy, f"redis://127.0.0.1:{closed_port}", 5.0)
        found = await limiter.hit(parse_limits("2/hour"), "me")
        await limiter.close()
        return found

    assert asyncio.run(run()) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_silent_server_is_a_failure(strategy, caplog):
    async def run():
        async def listen(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limiter = Limiter(strategy, f"redis://127.0.0.1:{port}", 0.05)
        found = await limiter.hit(parse_limits("2/hour"), "me")
        await limiter.close()
        server.close()
        await server.wait_closed()
        return found

    assert asyncio.run(run()) is None
    assert "TimeoutError" in caplog.text


@pytest.mark.parametrize(("missing", "url"), [("limits", "memory://"), ("redis", "redis://localhost")])
def test_what_is_missing_is_said(missing, url, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.asyncio", None)
    with pytest.raises(ImportError, match=rf'The `{missing}` library must be installed .* "turboapi\[ratelimit\]"'):
        Limiter("fixed-window", url, 1.0)


def test_the_libraries_are_imported_when_they_are_needed():
    code = (
        "import sys, turboapi, turboapi.middleware, turboapi.middleware.ratelimit\n"
        "print(sorted({'limits', 'redis'} & {name.split('.')[0] for name in sys.modules}))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
