import asyncio
import functools
import inspect
import warnings
from typing import Any
from unittest.mock import create_autospec

import pytest
import starlette._utils
from hypothesis import given, settings
from hypothesis import strategies as st

from turboapi import _utils
from turboapi._utils import warn_as


async def coroutine_function(a: int = 0, b: int = 0) -> None: ...


def plain_function(a: int = 0, b: int = 0) -> None: ...


class AsyncCallable:
    async def __call__(self, a: int = 0) -> None: ...

    async def method(self) -> None: ...


class SyncCallable:
    def __call__(self, a: int = 0) -> None: ...

    def method(self) -> None: ...


@pytest.mark.parametrize(
    "candidate",
    [
        coroutine_function,
        plain_function,
        AsyncCallable(),
        SyncCallable(),
        AsyncCallable().method,
        SyncCallable().method,
        AsyncCallable,
        SyncCallable,
        create_autospec(coroutine_function),
        None,
        3,
    ],
    ids=repr,
)
def test_async_callable_agrees_with_the_reference(candidate: Any) -> None:
    assert _utils.is_async_callable(candidate) == starlette._utils.is_async_callable(candidate)
    if callable(candidate):
        nested = functools.partial(functools.partial(candidate, a=1), b=2)
        assert _utils.is_async_callable(nested) == starlette._utils.is_async_callable(nested)


PATHS = st.text("/ab", max_size=6)


@given(path=PATHS, root_path=PATHS)
def test_route_path_agrees_with_the_reference(path: str, root_path: str) -> None:
    scope = {"path": path, "root_path": root_path}
    assert _utils.get_route_path(scope) == starlette._utils.get_route_path(scope)


def test_route_path_without_root_path_is_the_path() -> None:
    assert _utils.get_route_path({"path": "/a"}) == "/a"


HOSTS = st.one_of(
    st.text("abfvV019.:[]@/\\%-_ \n", max_size=12),
    st.text(max_size=4),
    st.from_regex(r"\[[0-9a-fA-F:.]{0,16}\](:[0-9]{0,6})?", fullmatch=True),
    st.from_regex(r"\[v[0-9a-f]\.[a-z0-9:!]{1,3}\](:[0-9]{0,6})?", fullmatch=True),
    st.from_regex(r"[a-z0-9.-]{0,8}(:[0-9]{0,8})?", fullmatch=True),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)


@given(HOSTS)
@settings(max_examples=400)
def test_host_header_agrees_with_the_reference(header: str) -> None:
    ours, expected = _utils.parse_host_header(header), starlette._utils.parse_host_header(header)
    assert (ours is None) == (expected is None)
    if ours is not None and expected is not None:
        assert (ours.host, ours.port, ours.authority, ours.is_valid_port) == (
            expected.host,
            expected.port,
            expected.authority,
            expected.is_valid_port,
        )


@pytest.mark.parametrize(
    ("port", "valid"), [("0", True), ("65535", True), ("65536", False), ("000080", True), ("9" * 5000, False)]
)
def test_port_is_valid_up_to_65535(port: str, valid: bool) -> None:
    parsed = _utils.parse_host_header(f"a:{port}")
    assert parsed is not None
    assert parsed.is_valid_port is valid


def test_no_host_header_is_no_host() -> None:
    assert _utils.parse_host_header(None) is None


class Closable:
    closed = False

    async def close(self) -> None:
        self.closed = True


async def make_closable() -> Closable:
    return Closable()


def test_wrapped_awaitable_can_be_awaited_or_entered() -> None:
    async def run() -> None:
        assert not (await _utils.AwaitableOrContextManagerWrapper(make_closable())).closed
        async with _utils.AwaitableOrContextManagerWrapper(make_closable()) as entered:
            assert not entered.closed
        assert entered.closed

    asyncio.run(run())


async def collapse(module: Any, raises: Any) -> BaseException:
    try:
        async with module.create_collapsing_task_group() as group:
            await raises(group)
    except BaseException as error:  # what comes out is what is tested
        return error
    raise AssertionError("nothing was raised")


async def raise_plain(group: Any) -> None:
    raise KeyError("plain")


async def raise_with_cause(group: Any) -> None:
    raise KeyError("outer") from ValueError("cause")


async def raise_with_context(group: Any) -> None:
    try:
        raise ValueError("context")
    except ValueError:
        raise KeyError("outer")  # noqa: B904 (the implicit context is the point)


async def raise_suppressed(group: Any) -> None:
    try:
        raise ValueError("context")
    except ValueError:
        raise KeyError("outer") from None


async def raise_two(group: Any) -> None:
    group.start_soon(raise_plain, group)
    raise ValueError("other")


@pytest.mark.parametrize(
    "raises", [raise_plain, raise_with_cause, raise_with_context, raise_suppressed, raise_two], ids=lambda f: f.__name__
)
def test_task_group_collapses_like_the_reference(raises: Any) -> None:
    ours = asyncio.run(collapse(_utils, raises))
    expected = asyncio.run(collapse(starlette._utils, raises))
    assert repr(ours) == repr(expected)
    assert repr(ours.__cause__) == repr(expected.__cause__)
    assert ours.__suppress_context__ == expected.__suppress_context__


def test_signatures_are_the_references() -> None:
    for name in ("is_async_callable", "get_route_path", "parse_host_header", "create_collapsing_task_group"):
        ours, expected = getattr(_utils, name), getattr(starlette._utils, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(expected).parameters)


def warn_about_caller() -> None:
    warn_as("starlette.routing", "old", UserWarning, stacklevel=2)


def test_warnings_point_at_the_line_meant() -> None:
    with pytest.warns(UserWarning, match="^old$") as warned:
        warn_as("starlette.routing", "old", UserWarning)
        warn_about_caller()
    here = inspect.currentframe()
    assert here is not None
    first = here.f_code.co_firstlineno + 2
    assert [(warning.filename, warning.lineno) for warning in warned] == [(__file__, first), (__file__, first + 1)]


@pytest.mark.parametrize(("module", "ignored"), [("starlette.routing", True), (__name__, False)])
def test_warnings_are_filtered_by_the_module_they_name(module: str, ignored: bool) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module=module)
        warn_about_caller()
    assert (warned == []) is ignored


def test_warnings_are_shown_once_for_each_line() -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(2):
            warn_about_caller()
        warn_about_caller()
    assert len(warned) == 2


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [([], ""), (["/a", "/b*"], "/a /b /bc /b/c"), (["/a/*"], "/a/ /a/c"), (["*"], "/a /ac /a/ /a/c /b /bc /b/c")],
)
def test_path_matcher(patterns, expected):
    matches = _utils.path_matcher(patterns)
    paths = ["/a", "/ac", "/a/", "/a/c", "/b", "/bc", "/b/c"]
    assert {path for path in paths if matches(path)} == set(expected.split())


@pytest.mark.parametrize("patterns", ["/a", ["/a*b"], ["/**"]])
def test_path_matcher_refuses_other_patterns(patterns):
    with pytest.raises(ValueError, match="paths must be a list"):
        _utils.path_matcher(patterns)
