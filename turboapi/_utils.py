"""Small helpers shared by several modules, none of them tied to one."""

import functools
import re
import sys
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Generic, Protocol, TypeVar, overload

import anyio
from anyio.abc import TaskGroup
from typing_extensions import TypeIs

from turboapi.types import Scope

if sys.version_info >= (3, 13):
    from inspect import iscoroutinefunction
else:
    from asyncio import iscoroutinefunction

# The releases whose behaviour this is.
FASTAPI_RELEASE = "0.165.0"
STARLETTE_RELEASE = "1.10.0"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
AwaitableCallable = Callable[..., Awaitable[T]]


@overload
def is_async_callable(obj: AwaitableCallable[T]) -> TypeIs[AwaitableCallable[T]]: ...


@overload
def is_async_callable(obj: Any) -> TypeIs[AwaitableCallable[Any]]: ...


def is_async_callable(obj: Any) -> Any:
    """Whether calling `obj` gives a coroutine: an `async def`, an object with `async def __call__`, or a partial."""
    while isinstance(obj, functools.partial):
        obj = obj.func
    return iscoroutinefunction(obj) or (callable(obj) and iscoroutinefunction(obj.__call__))


class AwaitableOrContextManager(Awaitable[T_co], AbstractAsyncContextManager[T_co], Protocol[T_co]):
    """What can be used as `await x` and as `async with x as y`."""


class SupportsAsyncClose(Protocol):
    async def close(self) -> None: ...


SupportsAsyncCloseType = TypeVar("SupportsAsyncCloseType", bound=SupportsAsyncClose)


class AwaitableOrContextManagerWrapper(Generic[SupportsAsyncCloseType]):
    """Gives an awaitable a second use: `async with` awaits it and closes the result at the end."""

    __slots__ = ("aw", "entered")

    def __init__(self, aw: Awaitable[SupportsAsyncCloseType]) -> None:
        self.aw = aw

    def __await__(self) -> Generator[Any, None, SupportsAsyncCloseType]:
        return self.aw.__await__()

    async def __aenter__(self) -> SupportsAsyncCloseType:
        self.entered = await self.aw
        return self.entered

    async def __aexit__(self, *args: Any) -> None | bool:
        await self.entered.close()
        return None


@asynccontextmanager
async def create_collapsing_task_group() -> AsyncGenerator[TaskGroup, None]:
    """A task group that raises a lone exception bare, with its own cause or context, not wrapped in a group."""
    try:
        async with anyio.create_task_group() as task_group:
            yield task_group
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        [error] = group.exceptions
        cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        raise error from cause


def warn_as(module: str, message: str, category: type[Warning], stacklevel: int = 1) -> None:
    """Warn at the line that `stacklevel` means, as `warnings.warn` does, but in the name of `module`.

    Warnings of the reference that name one of its own modules are filtered by that name, and so have to be these.
    """
    frame = sys._getframe(stacklevel)
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


# RFC 3986 section 3.2.2. Anything else could move the path or the authority of a URL built from it.
_HOST = re.compile(
    r"""(?P<host>
          [A-Za-z0-9._~%!$&'()*+,;=-]+                                  # reg-name or IPv4
        | \[ (?: (?P<ipv6>[A-Fa-f0-9:.]+)                               # IPv6, checked further by `ipaddress`
               | v[A-Fa-f0-9]+ \. [A-Za-z0-9._~!$&'()*+,;=:-]+ ) \]     # IPvFuture
        )
        (?: : (?P<port>[0-9]+) )?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class ParsedHost:
    """The two parts of a Host header. Brackets around an IP literal belong to `host`."""

    host: str
    port: str | None

    @property
    def authority(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def is_valid_port(self) -> bool:
        # The length is looked at first: `int()` of a very long digit string is slow, and refused by Python.
        digits = (self.port or "").lstrip("0")
        return len(digits) <= 5 and int(digits or "0") <= 65535


def parse_host_header(host_header: str | None) -> ParsedHost | None:
    """Split a Host header (RFC 9110 section 7.2); None when it is missing or not a valid host."""
    match = _HOST.fullmatch(host_header) if host_header is not None else None
    if match is None:
        return None
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"])
        except AddressValueError:
            return None
    return ParsedHost(match["host"], match["port"])


def get_route_path(scope: Scope) -> str:
    """The path below `root_path`: what the routes of a mounted application are matched against."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if not root_path or not path.startswith(root_path):
        return path
    rest = path[len(root_path) :]
    return path if rest and rest[0] != "/" else rest


def path_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a test for paths: those written out, and with "*" at a pattern's end all that begin like it.

    Raises ValueError for a "*" elsewhere and for a single string.
    """
    listed = [] if isinstance(patterns, str) else list(patterns)
    if isinstance(patterns, str) or any("*" in pattern[:-1] for pattern in listed):
        raise ValueError(f"paths must be a list like ['/health', '/static/*'], not {patterns!r}")
    exact = frozenset(listed)
    prefixes = tuple(pattern[:-1] for pattern in listed if pattern.endswith("*"))
    return lambda path: path in exact or path.startswith(prefixes)
