import gc
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from turboapi.concurrency import (
    DependencyConcurrency,
    asynccontextmanager_with_shielded_exit,
    contextmanager_in_threadpool,
    contextmanager_with_concurrency_limit,
    iterate_in_threadpool,
    run_in_threadpool,
    run_until_first_complete,
)
from turboapi.exceptions import StarletteDeprecationWarning


def test_run_in_threadpool_passes_arguments_context_and_result() -> None:
    variable: ContextVar[str] = ContextVar("variable")

    def work(first: int, *, second: int) -> tuple[int, int, str, bool]:
        return first, second, variable.get(), threading.current_thread() is threading.main_thread()

    async def main() -> None:
        variable.set("seen")
        assert await run_in_threadpool(work, 1, second=2) == (1, 2, "seen", False)

    anyio.run(main)


def test_run_in_threadpool_raises_what_the_function_raises() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await run_in_threadpool(divmod, 1, 0)

    anyio.run(main)


@pytest.mark.parametrize("iterable", [[], [0, 1, 2], [None], (n for n in range(3))], ids=repr)
def test_iterate_in_threadpool_yields_every_item(iterable: Any) -> None:
    class Once:
        def __iter__(self) -> Iterator[Any]:
            for item in items:
                threads.append(threading.current_thread())
                yield item

    items = list(iterable)
    threads: list[threading.Thread] = []

    async def main() -> list[Any]:
        return [item async for item in iterate_in_threadpool(Once())]

    assert anyio.run(main) == items
    assert threading.main_thread() not in threads


def test_iterate_in_threadpool_raises_after_the_items_before_the_error() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    async def main() -> None:
        steps = aiter(iterate_in_threadpool(failing()))
        assert await anext(steps) == 1
        with pytest.raises(KeyError, match="broken"):
            await anext(steps)

    anyio.run(main)


def test_run_until_first_complete_cancels_the_others_and_is_deprecated() -> None:
    events: list[str] = []

    async def quick(name: str) -> None:
        events.append(name)

    async def endless() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            events.append("cancelled")

    async def main() -> None:
        with pytest.warns(StarletteDeprecationWarning, match="run_until_first_complete is deprecated"):
            await run_until_first_complete((endless, {}), (quick, {"name": "done"}))

    anyio.run(main)
    assert events == ["done", "cancelled"]


class Recorder(AbstractContextManager[str]):
    """Notes by which thread and with which exception it is left."""

    def __init__(self, enter_error: Exception | None = None, suppress: bool = False) -> None:
        self.enter_error = enter_error
        self.suppress = suppress
        self.exits: list[tuple[bool, BaseException | None]] = []

    def __enter__(self) -> str:
        if self.enter_error is not None:
            raise self.enter_error
        return "value"

    def __exit__(self, exc_type: Any, exc: BaseException | None, traceback: Any) -> bool:
        self.exits.append((threading.current_thread() is threading.main_thread(), exc))
        return self.suppress


def test_contextmanager_in_threadpool_enters_and_exits_in_a_worker() -> None:
    recorder = Recorder()

    async def main() -> None:
        async with contextmanager_in_threadpool(recorder) as value:
            assert value == "value"

    anyio.run(main)
    assert recorder.exits == [(False, None)]


def test_contextmanager_in_threadpool_is_not_left_when_entering_failed() -> None:
    error = ValueError()
    recorder = Recorder(enter_error=error)

    async def main() -> None:
        with pytest.raises(ValueError) as caught:
            async with contextmanager_in_threadpool(recorder):
                pytest.fail("must not be entered")
        assert caught.value is error

    anyio.run(main)
    assert recorder.exits == []


@pytest.mark.parametrize("suppress", [True, False])
def test_contextmanager_in_threadpool_exit_decides_about_the_exception(suppress: bool) -> None:
    error = ValueError()
    recorder = Recorder(suppress=suppress)

    async def use() -> None:
        async with contextmanager_in_threadpool(recorder):
            raise error

    async def main() -> None:
        if suppress:
            await use()
        else:
            with pytest.raises(ValueError) as caught:
                await use()
            assert caught.value is error

    anyio.run(main)
    assert recorder.exits == [(False, error)]


def test_contextmanager_in_threadpool_exits_despite_cancellation_and_busy_workers() -> None:
    recorder = Recorder()
    limiter_is_used_up = False

    async def main() -> None:
        nonlocal limiter_is_used_up
        limiter = anyio.to_thread.current_default_thread_limiter()
        with anyio.CancelScope() as scope:
            async with contextmanager_in_threadpool(recorder):
                limiter.total_tokens = 1
                await limiter.acquire()
                limiter_is_used_up = limiter.available_tokens == 0
                scope.cancel()
        limiter.release()

    anyio.run(main)
    assert limiter_is_used_up
    assert recorder.exits == [(False, None)]


class Outcome:
    """What happened while a dependency was used in a cancelled request."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @asynccontextmanager
    async def dependency(self, suppress: bool = False) -> AsyncIterator[str]:
        self.events.append("enter")
        try:
            yield "value"
        except anyio.get_cancelled_exc_class():
            self.events.append("cancelled")
            if not suppress:
                raise
        finally:
            await anyio.lowlevel.checkpoint()
            self.events.append("exit")


async def use_shielded(
    outcome: Outcome, outside: anyio.CancelScope, body: Callable[[], Awaitable[None]], **kw: Any
) -> None:
    with outside, anyio.CancelScope() as cleanup_scope:
        async with asynccontextmanager_with_shielded_exit(outcome.dependency(**kw), cleanup_scope) as value:
            assert value == "value"
            await body()
        outcome.events.append("after")
    assert cleanup_scope.shield is False


@pytest.mark.parametrize("suppress", [True, False])
def test_shielded_exit_finishes_when_the_body_is_cancelled(suppress: bool) -> None:
    outcome = Outcome()

    async def main() -> None:
        outside = anyio.CancelScope()

        async def body() -> None:
            outside.cancel()
            await anyio.lowlevel.checkpoint()

        await use_shielded(outcome, outside, body, suppress=suppress)
        assert outside.cancelled_caught

    anyio.run(main)
    assert outcome.events == ["enter", "cancelled", "exit"]


def test_shielded_exit_delivers_a_pending_cancellation_afterwards() -> None:
    outcome = Outcome()

    async def main() -> None:
        outside = anyio.CancelScope()

        async def body() -> None:
            outside.cancel()

        await use_shielded(outcome, outside, body)
        assert outside.cancelled_caught

    anyio.run(main)
    assert outcome.events == ["enter", "exit"]


def test_shielded_exit_leaves_everything_else_alone() -> None:
    outcome = Outcome()

    async def main() -> None:
        await use_shielded(outcome, anyio.CancelScope(), anyio.lowlevel.checkpoint)

    anyio.run(main)
    assert outcome.events == ["enter", "exit", "after"]


def test_shielded_exit_propagates_errors_of_the_exit_and_removes_the_shield() -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        yield
        raise KeyError("exit failed")

    async def main() -> None:
        with anyio.CancelScope() as scope:
            with pytest.raises(KeyError, match="exit failed"):
                async with asynccontextmanager_with_shielded_exit(failing(), scope):
                    pass
            assert scope.shield is False

    anyio.run(main)


def test_dependency_concurrency_has_one_semaphore_per_declaration_and_loop() -> None:
    first, second = DependencyConcurrency(2), DependencyConcurrency(3)

    async def semaphores() -> tuple[anyio.Semaphore, anyio.Semaphore, anyio.Semaphore]:
        return first.get_semaphore(), first.get_semaphore(), second.get_semaphore()

    one, again, other = anyio.run(semaphores)
    assert one is again
    assert one is not other
    assert (one.value, other.value) == (2, 3)
    assert anyio.run(semaphores)[0] is not one


def test_dependency_concurrency_is_not_kept_alive_by_the_loop() -> None:
    async def main() -> None:
        declaration = DependencyConcurrency(1)
        declaration.get_semaphore()
        reference = weakref.ref(declaration)
        del declaration
        gc.collect()
        assert reference() is None

    anyio.run(main)


def test_concurrency_limit_holds_its_place_until_the_exit_is_over() -> None:
    active, most = 0, 0

    @asynccontextmanager
    async def dependency() -> AsyncIterator[None]:
        nonlocal active, most
        active += 1
        most = max(most, active)
        try:
            yield
        finally:
            await anyio.lowlevel.checkpoint()
            active -= 1

    async def use(semaphore: anyio.Semaphore) -> None:
        async with contextmanager_with_concurrency_limit(dependency(), semaphore):
            await anyio.lowlevel.checkpoint()

    async def main() -> None:
        semaphore = DependencyConcurrency(2).get_semaphore()
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(use, semaphore)
        assert semaphore.value == 2

    anyio.run(main)
    assert most == 2


def test_generator_based_context_managers_work_in_threads() -> None:
    steps: list[str] = []

    @contextmanager
    def resource() -> Iterator[int]:
        steps.append("enter")
        try:
            yield 42
        finally:
            steps.append("exit")

    async def main() -> None:
        async with contextmanager_in_threadpool(resource()) as value:
            steps.append(f"use {value}")

    anyio.run(main)
    assert steps == ["enter", "use 42", "exit"]
