"""A coroutine run by `Runner` finds and leaves behind what it would as a Task: the oracle is `loop.create_task`."""

import asyncio
import contextvars
import gc
import inspect
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvloop

from turboapi._speedups.tasks import Runner, run_now

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

Log = list[Any]
Scenario = Callable[[Log], Coroutine[Any, Any, Any]]
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class Yields:
    """Awaits by yielding something that no Task accepts."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Any:
        yield self.value


# --- scenarios: each writes down what it sees ------------------------------------------------------------------------


@scenario
async def returns(log: Log) -> int:
    log.append("ran")
    return 7


@scenario
async def raises(log: Log) -> None:
    raise ValueError("no")


@scenario
async def raises_after_a_suspension(log: Log) -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


@scenario
async def raises_cancelled(log: Log) -> None:
    raise asyncio.CancelledError("enough")


@scenario
async def current_task_is_a_task(log: Log) -> None:
    task = current()
    log.append((isinstance(task, asyncio.Task), task.done(), task.cancelled(), task.cancelling()))
    await asyncio.sleep(0)
    log.append(current() is task)
    await asyncio.sleep(0.001)
    log.append(current() is task)


@scenario
async def running_loop(log: Log) -> str:
    loop = asyncio.get_running_loop()
    log.append(current().get_loop() is loop)
    await asyncio.sleep(0)
    log.append((asyncio.get_running_loop() is loop, current().get_loop() is loop, current() in asyncio.all_tasks()))
    return "done"


@scenario
async def names(log: Log) -> None:
    current().set_name("mine")
    log.append(current().get_name())
    await asyncio.sleep(0)
    log.append(current().get_name())


@scenario
async def coroutine_of_the_task(log: Log) -> None:
    coroutine = current().get_coro()
    log.append((inspect.iscoroutine(coroutine), coroutine.__name__, inspect.getcoroutinestate(coroutine)))
    await asyncio.sleep(0)
    log.append(current().get_coro() is coroutine)


@scenario
async def stack_of_the_task(log: Log) -> None:
    log.append([frame.f_code.co_name for frame in current().get_stack()][-1:])
    await asyncio.sleep(0)
    log.append([frame.f_code.co_name for frame in current().get_stack()][-1:])


@scenario
async def result_too_early(log: Log) -> None:
    for ask in (current().result, current().exception):
        try:
            ask()
        except asyncio.InvalidStateError as exc:
            log.append(str(exc))


@scenario
async def callbacks(log: Log) -> str:
    task = current()
    task.add_done_callback(lambda done: log.append(("early", done is task, done.done(), done.result())))
    task.add_done_callback(log.append)
    log.append(task.remove_done_callback(log.append))
    await asyncio.sleep(0)
    task.add_done_callback(lambda done: log.append(("late", done is task, done.done())))
    return "result"


@scenario
async def callback_without_suspension(log: Log) -> str:
    current().add_done_callback(lambda done: log.append(("called", done.result())))
    return "result"


@scenario
async def callback_of_a_failure(log: Log) -> None:
    current().add_done_callback(lambda done: log.append(repr(done.exception())))
    raise KeyError("no")


@scenario
async def bad_yield(log: Log) -> None:
    try:
        await Yields(5)
    except RuntimeError as exc:
        log.append(str(exc).split(":")[0].split(" ")[:2])
    await asyncio.sleep(0)
    log.append("alive")


@scenario
async def awaits_itself(log: Log) -> None:
    try:
        await current()
    except RuntimeError as exc:
        log.append(str(exc).partition(":")[0])


@scenario
async def future_of_another_loop(log: Log) -> None:
    other = uvloop.new_event_loop()
    try:
        await other.create_future()
    except RuntimeError as exc:
        log.append(type(exc))
    finally:
        other.close()


@scenario
async def future_that_is_ready(log: Log) -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    log.append(await future)
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(later.set_exception, OSError("late"))
    try:
        await later
    except OSError as exc:
        log.append(repr(exc))


@scenario
async def future_that_is_yielded_and_not_awaited(log: Log) -> None:
    try:
        await Yields(asyncio.get_running_loop().create_future())
    except RuntimeError as exc:
        log.append(str(exc).partition(" in ")[0])


@scenario
async def cancels_itself_first(log: Log) -> None:
    log.append((current().cancel(), current().cancelling()))
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError as exc:
        log.append(("cancelled", exc.args, current().cancelling()))
        raise


@scenario
async def cancels_itself_with_a_message(log: Log) -> None:
    current().cancel("why")
    current().cancel("again")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as exc:
        log.append((exc.args, current().cancelling(), current().uncancel(), current().uncancel()))
    await asyncio.sleep(0)
    log.append("alive")


@scenario
async def cancels_itself_and_takes_it_back(log: Log) -> None:
    current().cancel()
    log.append((current().uncancel(), current().uncancel()))
    try:
        await asyncio.sleep(0)
        log.append("not cancelled")
    except asyncio.CancelledError:
        log.append(("cancelled", current().cancelling()))


@scenario
async def cancelled_before_the_task_takes_over(log: Log) -> None:
    asyncio.get_running_loop().call_soon(current().cancel, "early")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as exc:
        log.append((exc.args, current().cancelling()))
        raise


@scenario
async def cancelled_by_another(log: Log) -> None:
    task = current()
    asyncio.get_running_loop().call_later(0.001, task.cancel, "other")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as exc:
        log.append((exc.args, task.cancelling()))
    asyncio.get_running_loop().call_later(0.001, task.cancel)
    await asyncio.sleep(10)


@scenario
async def cancelled_while_a_child_runs(log: Log) -> None:
    cancel = current().cancel

    async def child() -> None:
        asyncio.get_running_loop().call_soon(cancel)  # by then it waits
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            log.append("child cancelled")
            raise

    await asyncio.create_task(child())


@scenario
async def refuses_to_be_cancelled(log: Log) -> str:
    asyncio.get_running_loop().call_soon(current().cancel)
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        log.append("ignored")
    return "result"


@scenario
async def shielded(log: Log) -> None:
    async def child() -> str:
        await asyncio.sleep(0.002)
        log.append("child finished")
        return "child"

    task = asyncio.create_task(child())
    asyncio.get_running_loop().call_soon(current().cancel)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        log.append(("cancelled", task.done()))
    log.append(await task)


@scenario
async def timeout_expires(log: Log) -> None:
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(10)
    except TimeoutError:
        log.append(("timeout", current().cancelling()))
    await asyncio.sleep(0)


@scenario
async def timeout_of_nothing(log: Log) -> None:
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(10)
    except TimeoutError:
        log.append(("timeout", current().cancelling()))


@scenario
async def timeout_holds(log: Log) -> str:
    async with asyncio.timeout(10):
        log.append("no wait")
    async with asyncio.timeout(10) as limit:
        await asyncio.sleep(0)
    log.append(limit.expired())
    return "result"


@scenario
async def timeout_and_a_cancellation(log: Log) -> None:
    asyncio.get_running_loop().call_soon(current().cancel)
    async with asyncio.timeout(10):
        await asyncio.sleep(10)


@scenario
async def wait_for(log: Log) -> None:
    log.append(await asyncio.wait_for(asyncio.sleep(0, "in time"), 10))
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.001)
    except TimeoutError:
        log.append("timeout")


@scenario
async def wait_for_before_any_suspension(log: Log) -> None:
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.001)
    except TimeoutError:
        log.append("timeout")


@scenario
async def task_group(log: Log) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, i)) for i in range(3)]
    log.append([task.result() for task in tasks])


@scenario
async def task_group_with_a_failure(log: Log) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("child")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(10)
    except* ValueError as caught:
        log.append(([repr(exc) for exc in caught.exceptions], current().cancelling()))
    await asyncio.sleep(0)


@scenario
async def task_group_that_is_cancelled(log: Log) -> None:
    asyncio.get_running_loop().call_soon(current().cancel)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(10))


@scenario
async def gathered(log: Log) -> None:
    log.append(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0.001, 2), return_exceptions=True))


@scenario
async def awaited_by_a_child(log: Log) -> str:
    task = current()

    async def child() -> None:
        log.append(("child", await task, task.done()))

    log.append(asyncio.create_task(child()) is not task)
    return "result"


@scenario
async def awaited_by_a_child_after_a_suspension(log: Log) -> str:
    task = current()

    async def child() -> None:
        log.append(await asyncio.wait_for(asyncio.shield(task), 10))

    log.children = asyncio.create_task(child())  # type: ignore[attr-defined]
    await asyncio.sleep(0.001)
    return "result"


@scenario
async def context(log: Log) -> None:
    log.append(variable.get())
    variable.set("inside")
    await asyncio.sleep(0)
    log.append(variable.get())

    async def child() -> str:
        return variable.get()

    log.append(await asyncio.create_task(child()))
    asyncio.get_running_loop().call_soon(lambda: log.append(variable.get()))
    await asyncio.sleep(0.001)
    token = variable.set("other")
    await asyncio.sleep(0)
    variable.reset(token)
    log.append(variable.get())


@scenario
async def async_generator_is_closed(log: Log) -> None:
    async def numbers() -> Any:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            log.append("closed")

    generator = numbers()
    log.append(await anext(generator))
    await generator.aclose()


@scenario
async def anyio_scopes(log: Log) -> None:
    with anyio.move_on_after(0.001) as scope:
        await anyio.sleep(10)
    log.append((scope.cancelled_caught, current().cancelling()))
    try:
        with anyio.fail_after(0.001):
            await anyio.sleep(10)
    except TimeoutError:
        log.append("timeout")
    with anyio.CancelScope(shield=True):
        await anyio.sleep(0)
    log.append(current().cancelling())


@scenario
async def anyio_scope_cancelled_before_any_suspension(log: Log) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        log.append("before")
        await anyio.sleep(10)
        log.append("unreached")
    log.append((scope.cancelled_caught, current().cancelling()))
    await anyio.sleep(0)


@scenario
async def anyio_scope_left_before_any_suspension(log: Log) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
    log.append((scope.cancel_called, scope.cancelled_caught))
    await asyncio.sleep(0)
    log.append("alive")


@scenario
async def anyio_task_group(log: Log) -> None:
    async def child(name: str, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started(name)
        await anyio.sleep(0)
        log.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(child, "one")
        log.append(await group.start(child, "two"))
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 10)
        await anyio.sleep(0)
        group.cancel_scope.cancel()
    log.append(current().cancelling())


@scenario
async def anyio_host_is_cancelled_by_a_child(log: Log) -> None:
    async with anyio.create_task_group() as group:

        async def child() -> None:
            group.cancel_scope.cancel()

        group.start_soon(child)
        await anyio.sleep(10)
        log.append("unreached")
    log.append(("left", current().cancelling()))


@scenario
async def anyio_threads(log: Log) -> None:
    variable.set("inside")
    log.append(await anyio.to_thread.run_sync(variable.get))
    log.append(await anyio.to_thread.run_sync(threading.current_thread) is not threading.current_thread())
    with anyio.move_on_after(10):
        log.append(await anyio.to_thread.run_sync(lambda: "thread"))


@scenario
async def anyio_task_info(log: Log) -> None:
    info = anyio.get_current_task()
    await anyio.sleep(0)
    log.append((anyio.get_current_task() == info, info.has_pending_cancellation()))


@scenario
async def thread_first(log: Log) -> None:
    log.append(await asyncio.to_thread(variable.get))
    log.append(await asyncio.get_running_loop().run_in_executor(None, lambda: 1))


# --- the comparison ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def quick_collector():
    """The collector needs to look at nothing that was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class _Log(list[Any]):
    """A list that may hold on to tasks."""

    children: Any = None


def describe(task: asyncio.Task[Any]) -> tuple[Any, ...]:
    if not task.done():
        return ("pending",)
    outcome = "cancelled" if task.cancelled() else repr(task.exception() or task.result())
    return (outcome, task.cancelling(), task.cancel())


def record(scenario: Scenario, start: Callable[[asyncio.AbstractEventLoop, Any], None], keep: bool) -> tuple[Any, ...]:
    """What `scenario` writes down, what is reported to the loop, and, if the task is kept, what became of it."""
    loop = uvloop.new_event_loop()
    errors: list[Any] = []

    def on_error(loop: Any, context: dict[str, Any]) -> None:
        errors.append((context["message"].replace("LazyTask", "Task"), repr(context.get("exception"))))

    loop.set_exception_handler(on_error)
    log, kept = _Log(), []

    async def body() -> Any:
        if keep:
            kept.append(current())
        return await scenario(log)

    try:
        loop.call_soon(start, loop, body())
        loop.run_until_complete(_quiet())
        gc.collect()
        end = [describe(task) for task in kept]
        kept.clear()
        gc.collect()
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    return list(log), errors, end


async def _quiet() -> None:
    """Until no other task is left."""
    async with asyncio.timeout(10):
        for _ in range(5):
            await asyncio.sleep(0)
        while asyncio.all_tasks() != {current()}:
            await asyncio.sleep(0.001)


def by_task(loop: asyncio.AbstractEventLoop, coroutine: Any) -> None:
    loop.create_task(coroutine)


def by_runner(loop: asyncio.AbstractEventLoop, coroutine: Any) -> None:
    run_now(Runner(loop), coroutine)


@pytest.mark.parametrize("keep", [False, True], ids=["", "kept"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda function: function.__name__)
def test_same_outcome_as_a_task(scenario: Scenario, keep: bool) -> None:
    expected = record(scenario, by_task, keep)
    assert record(scenario, by_runner, keep) == expected
    assert expected[0] or expected[1] or expected[2] or not keep, "the scenario shows nothing"


@pytest.mark.parametrize("before", [True, False], ids=["at once", "after a suspension"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_exits_leave_the_loop(error: type[BaseException], before: bool) -> None:
    async def leave() -> None:
        if not before:
            await asyncio.sleep(0)
        raise error(3)

    for start in (by_task, by_runner):
        loop = uvloop.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)
        loop.call_soon(start, loop, leave())
        loop.call_later(5, loop.stop)
        with pytest.raises(error):
            loop.run_forever()
        loop.close()
        gc.collect()


# --- the runner itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def loop():
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


def spin(loop, turns=5):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def run_many(loop, runner, coroutines):
    """Runs the coroutines one after the other inside the loop; the exception of one ends it and is raised here."""
    failures = []

    def run():
        try:
            for coroutine in coroutines:
                run_now(runner, coroutine)
        except BaseException as exc:
            failures.append(exc)
        finally:
            loop.stop()

    loop.call_soon(run)
    loop.run_forever()
    if failures:
        raise failures[0]


def test_a_coroutine_that_does_not_wait_is_over_when_run_returns(loop):
    steps = []

    async def immediate():
        steps.append("inside")

    runner = Runner(loop)
    run_many(loop, runner, [immediate()])
    assert steps == ["inside"]
    assert runner.suspended == set()


def test_order_is_that_of_the_calls(loop):
    steps = []

    async def step(number):
        steps.append(number)
        await asyncio.sleep(0)
        steps.append(number + 10)

    run_many(loop, Runner(loop), [step(i) for i in range(3)])
    spin(loop)
    assert steps == [0, 1, 2, 10, 11, 12]


def test_several_may_wait_for_the_same_future(loop):
    runner, future, seen = Runner(loop), loop.create_future(), []

    async def wait():
        seen.append(await future)

    run_many(loop, runner, [wait(), wait()])
    loop.call_soon(loop.create_task, wait())
    spin(loop)
    loop.call_soon(run_now, runner, wait())
    future.set_result("all")
    spin(loop)
    assert seen == ["all"] * 4


def test_contexts_are_separate(loop):
    seen = []

    async def see(name):
        seen.append(variable.get())
        variable.set(name)
        await asyncio.sleep(0)
        seen.append(variable.get())

    run_many(loop, Runner(loop), [see("a"), see("b")])
    spin(loop)
    assert seen == ["outside", "outside", "a", "b"]
    assert variable.get() == "outside"


def test_no_task_is_current_outside(loop):
    seen = []

    async def fail():
        raise ValueError

    loop.set_exception_handler(lambda loop, context: None)
    run_many(loop, Runner(loop), [asyncio.sleep(0), fail()])
    loop.call_soon(lambda: seen.append(asyncio.current_task()))
    spin(loop)
    assert seen == [None]


def test_suspended_tasks_are_held_until_they_end(loop):
    runner, future = Runner(loop), loop.create_future()

    async def wait():
        await future

    run_many(loop, runner, [wait(), wait()])
    gc.collect()
    assert len(runner.suspended) == 2
    assert all(isinstance(task, asyncio.Task) for task in runner.suspended)
    future.set_result(None)
    spin(loop)
    assert runner.suspended == set()


def test_cancel_ends_whatever_waits(loop):
    runner, seen = Runner(loop), []

    async def wait():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    run_many(loop, runner, [wait(), wait()])
    runner.cancel()
    spin(loop, 10)
    assert seen == ["cleaned up"] * 2
    assert runner.suspended == set()


def test_runner_knows_its_loop(loop):
    assert Runner(loop).loop is loop
    with pytest.raises(AttributeError):
        Runner(loop).loop = None


def test_the_task_cannot_be_stepped_by_hand_before_its_first_step_has_ended(loop):
    """Where `get_coro` hides a stand-in for the rest of the coroutine, that may not run it inside of itself, either."""
    seen = []

    async def meddle():
        task = asyncio.current_task()
        task.get_name()
        stand_in = asyncio.Task.get_coro(task)
        try:
            stand_in.send(None)
        except (RuntimeError, ValueError) as exc:
            seen.append(str(exc))

    run_many(loop, Runner(loop), [meddle()])
    spin(loop)
    eager = sys.version_info >= (3, 12)
    assert seen == ["coroutine already executing" if eager else "The first step of the coroutine has not ended"]


def test_repr_names_the_coroutine(loop):
    seen = []

    async def named_coroutine():
        seen.append(repr(asyncio.current_task()))
        await asyncio.sleep(0)
        seen.append(repr(asyncio.current_task()))

    run_many(loop, Runner(loop), [named_coroutine()])
    spin(loop)
    assert all("named_coroutine() running at" in text for text in seen), seen
    assert len(seen) == 2


# --- leaks ------------------------------------------------------------------------------------------------------------


async def finishes():
    variable.set("inside")


async def looks():
    asyncio.current_task()


async def suspends():
    await asyncio.sleep(0)


async def times_out():
    async with asyncio.timeout(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [finishes, looks, suspends, times_out])
def test_nothing_is_left_of_a_coroutine_without_the_collector(loop, kind):
    runner, dead = Runner(loop), []

    class Sentinel:
        pass

    async def outer(sentinel):
        await kind()

    def start():
        sentinel = Sentinel()
        dead.append(weakref.ref(sentinel))
        coroutine = outer(sentinel)
        dead.append(weakref.ref(coroutine))
        return coroutine

    gc.disable()
    try:
        run_many(loop, runner, [start() for _ in range(3)])
        spin(loop, 8)
        assert [ref() for ref in dead] == [None] * 6
    finally:
        gc.enable()


@pytest.mark.parametrize(("kind", "runs"), [(finishes, 200_000), (suspends, 20_000)])
def test_memory_does_not_grow(loop, kind, runs):
    runner = Runner(loop)

    def batch(count):
        for _ in range(count // 100):
            run_many(loop, runner, (kind() for _ in range(100)))
            spin(loop, 4)

    batch(2000)
    gc.collect()
    objects = len(gc.get_objects())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        batch(2000)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    batch(runs - 4000)
    gc.collect()
    assert after - before < 50_000
    assert len(gc.get_objects()) - objects < 100
