"""Bridges from the event loop to worker threads, and helpers that enter and leave dependencies safely.

Everything here is built on anyio: it runs on asyncio, uvloop and trio, and anyio bounds the number of worker threads
(40 by default).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, checkpoint_if_cancelled

from turboapi._utils import warn_as
from turboapi.exceptions import StarletteDeprecationWarning

__all__ = [
    "DependencyConcurrency",
    "WorkerPlace",
    "asynccontextmanager",
    "asynccontextmanager_with_shielded_exit",
    "contextmanager_in_threadpool",
    "contextmanager_in_threads",
    "contextmanager_with_concurrency_limit",
    "iterate_in_threadpool",
    "run_in_threadpool",
    "run_until_first_complete",
]

P = ParamSpec("P")
T = TypeVar("T")

_END = object()


async def run_in_threadpool(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `func` in a worker thread, with the caller's context variables, and return its result or raise its error."""
    return await anyio.to_thread.run_sync(partial(func, *args, **kwargs))


async def iterate_in_threadpool(iterator: Iterable[T]) -> AsyncIterator[T]:
    """Iterate over a blocking iterable from async code; each step runs in a worker thread."""
    steps = iter(iterator)
    while (item := await anyio.to_thread.run_sync(next, steps, _END)) is not _END:
        yield cast(T, item)


async def run_until_first_complete(*args: tuple[Callable[..., Coroutine[Any, Any, Any]], dict[str, Any]]) -> None:
    """Run each `(function, keyword arguments)` pair as a task; when one ends, cancel the others. Deprecated."""
    warn_as(
        "starlette.concurrency",
        "run_until_first_complete is deprecated and will be removed in a future version.",
        StarletteDeprecationWarning,
        stacklevel=2,
    )
    async with anyio.create_task_group() as group:

        async def run(func: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            await func()
            group.cancel_scope.cancel()

        for func, kwargs in args:
            group.start_soon(run, partial(func, **kwargs))


class WorkerPlace:
    """A place among the worker threads, which a request keeps from its first call in one until it leaves.

    A request that has a database connection must not wait for a worker while all workers wait for connections.
    """

    def __init__(self) -> None:
        self._shared: anyio.CapacityLimiter | None = None

    async def run(self, func: Callable[..., T], *args: Any) -> T:
        """Call `func` in a worker thread, with the caller's context variables; return its result or raise its error.

        Only the first call waits for a free worker. No two calls may be made at the same time.
        """
        if self._shared is None:
            shared = anyio.to_thread.current_default_thread_limiter()
            await shared.acquire_on_behalf_of(self)
            self._shared, self._own = shared, anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(func, *args, limiter=self._own)

    def leave(self) -> None:
        """Give the place to somebody else, if it was taken."""
        if self._shared is not None:
            self._shared.release_on_behalf_of(self)
            self._shared = None


def contextmanager_in_threadpool(cm: AbstractContextManager[T]) -> AbstractAsyncContextManager[T]:
    """Turn a blocking context manager into an async one: it is entered and left in worker threads.

    Leaving is certain once entering succeeded: cancellation does not interrupt it.
    """
    return contextmanager_in_threads(cm, run_in_threadpool)


@asynccontextmanager
async def contextmanager_in_threads(
    cm: AbstractContextManager[T], run: Callable[[Callable[[], T]], Awaitable[T]]
) -> AsyncGenerator[T, None]:
    """The same, entered by `run`."""
    value = await run(cm.__enter__)
    try:
        yield value
    except BaseException as exc:
        if not await _exit_in_thread(cm, type(exc), exc, exc.__traceback__):
            raise
    else:
        await _exit_in_thread(cm, None, None, None)


async def _exit_in_thread(
    cm: AbstractContextManager[Any],
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
) -> bool:
    # NOTE: the limiter is a fresh one because an exit that waits for a free worker can deadlock: the workers may all be
    # waiting for what this exit gives back, such as a pooled database connection.
    limiter = anyio.CapacityLimiter(1)
    with anyio.CancelScope(shield=True):
        suppressed = await anyio.to_thread.run_sync(cm.__exit__, exc_type, exc, traceback, limiter=limiter)
    return bool(suppressed)


class _ShieldedExit(AbstractAsyncContextManager[T], Generic[T]):
    """Wraps `cm` so that `cleanup_scope` is shielded from outside cancellation while `cm` exits."""

    def __init__(self, cm: AbstractAsyncContextManager[T], cleanup_scope: anyio.CancelScope) -> None:
        self.cm = cm
        self.cleanup_scope = cleanup_scope

    async def __aenter__(self) -> T:
        self.was_shielded = self.cleanup_scope.shield
        return await self.cm.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self.cleanup_scope.shield = True
        try:
            suppressed = await self.cm.__aexit__(exc_type, exc, traceback)
        finally:
            self.cleanup_scope.shield = self.was_shielded
        if exc is None or suppressed:
            # A task group inside `cm` may have swallowed a cancellation that was hidden from it by the shield.
            await checkpoint_if_cancelled()
        return suppressed


def asynccontextmanager_with_shielded_exit(
    cm: AbstractAsyncContextManager[T], cleanup_scope: anyio.CancelScope
) -> AbstractAsyncContextManager[T]:
    """Return `cm` with an exit that cancellation from outside `cleanup_scope` cannot interrupt.

    `cleanup_scope` must have been entered before the result is, so that cancel scopes opened by `cm` itself still nest
    properly. A pending cancellation is delivered as soon as the exit is over. Entering stays cancellable.
    """
    return _ShieldedExit(cm, cleanup_scope)


class DependencyConcurrency:
    """How many calls of one declared dependency may be active at the same time, in each event loop."""

    def __init__(self, max_concurrency: int) -> None:
        self.max_concurrency = max_concurrency

    def get_semaphore(self) -> anyio.Semaphore:
        """Return the semaphore of this declaration in the running event loop, made on first use."""
        semaphores = _dependency_semaphores.get(None)
        if semaphores is None:
            semaphores = WeakKeyDictionary()
            _dependency_semaphores.set(semaphores)
        semaphore = semaphores.get(self)
        if semaphore is None:
            semaphore = semaphores[self] = anyio.Semaphore(self.max_concurrency)
        return semaphore


# Weak keys: an event loop must not keep the declarations of a discarded application alive.
_dependency_semaphores: RunVar[WeakKeyDictionary[DependencyConcurrency, anyio.Semaphore]] = RunVar(
    "turboapi_dependency_semaphores"
)


@asynccontextmanager
async def contextmanager_with_concurrency_limit(
    cm: AbstractAsyncContextManager[T], semaphore: anyio.Semaphore
) -> AsyncGenerator[T, None]:
    """Enter `cm` only while `semaphore` has a free place, and keep that place until `cm` has exited."""
    async with semaphore, cm as value:
        yield value
