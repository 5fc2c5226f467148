"""What is fuzzed by `nox -s fuzz` holds for the inputs that it begins with, and for some mutations of them."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.connection import Connections, connections
from tests.fuzz.targets import MESSAGES, TARGETS
from tests.wire.harness import request, respond


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """Refusals are logged, and are what is wanted here."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.collect()  # forms that break off leave files behind: here, and not in some other test


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name, each in TARGETS.items() for seed in each.seeds])
def test_seeds(name: str, seed: bytes) -> None:
    TARGETS[name].check(seed)


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes], words: list[bytes]) -> bytes:
    """One or two seeds, of which some pieces are taken away, doubled, or replaced by a word or some bytes."""
    data = b"".join(draw(st.lists(st.sampled_from(seeds), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        piece = data[start:end]
        put = draw(st.sampled_from([b"", piece * 2, piece[::-1], *words]) | st.binary(max_size=3))
        data = data[:start] + put + data[end:]
    return data


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files of forms that break off
@pytest.mark.parametrize("name", [name for name in TARGETS if name != "connection"])
def test_mutations(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=100, deadline=None)
    @given(mutations(target.seeds, target.words))
    def check(data: bytes) -> None:
        target.check(data)

    check()


@pytest.mark.parametrize("number", [0, 1], ids=["ASGI", "TurboAPI"])
def test_mutations_on_a_connection(number: int) -> None:
    """Whole, and in reads of any size."""
    each = connections()[number]

    @settings(max_examples=200, deadline=None)
    @given(mutations(MESSAGES, TARGETS["connection"].words), st.lists(st.integers(0, 1000), max_size=6))
    def check(data: bytes, places: list[int]) -> None:
        cuts = sorted(place for place in places if place < len(data))
        each.check((data,), tuple(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b))

    check()


async def counts_pieces(scope: Any, receive: Any, send: Any) -> None:
    """Answers with how many messages the body came in."""
    count = 1
    while (await receive())["more_body"]:
        count += 1
    await respond(send, b"%d" % count)


async def fails(scope: Any, receive: Any, send: Any) -> None:
    """Raises, but for the request that shows that the server goes on."""
    if scope["path"] != "/good":
        raise ValueError
    await respond(send)


async def fails_later(scope: Any, receive: Any, send: Any) -> None:
    """Answers, and makes a mistake in a callback."""
    await respond(send)
    if scope["path"] != "/good":
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)


@pytest.mark.parametrize("app", [counts_pieces, fails, fails_later])
def test_what_does_not_hold_is_seen(app: Any) -> None:
    message = request("POST / HTTP/1.1", "Content-Length: 5")
    with pytest.raises(AssertionError):
        Connections(app, reads_bodies=True).check((message + b"hello",), (message, b"hel", b"lo"))
