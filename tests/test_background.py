import functools
import inspect
import threading
from typing import Any

import anyio
import fastapi.background
import pytest
import starlette.background

from turboapi.background import BackgroundTask, BackgroundTasks, StarletteBackgroundTasks


async def record_async(calls: list[Any], *args: Any, **kwargs: Any) -> None:
    calls.append((args, kwargs, threading.current_thread() is threading.main_thread()))


def record(calls: list[Any], *args: Any, **kwargs: Any) -> None:
    calls.append((args, kwargs, threading.current_thread() is threading.main_thread()))


class AsyncCallable:
    async def __call__(self, calls: list[Any], *args: Any, **kwargs: Any) -> None:
        await record_async(calls, *args, **kwargs)


@pytest.mark.parametrize(
    ("func", "is_async"),
    [
        (record_async, True),
        (AsyncCallable(), True),
        (functools.partial(record_async), True),
        (record, False),
        (functools.partial(record), False),
    ],
)
def test_task_calls_its_function_where_it_belongs(func: Any, is_async: bool) -> None:
    calls: list[Any] = []
    task = BackgroundTask(func, calls, 1, key="value")
    assert (task.func, task.args, task.kwargs, task.is_async) == (func, (calls, 1), {"key": "value"}, is_async)
    assert starlette.background.BackgroundTask(func).is_async is is_async
    anyio.run(task)
    assert calls == [((1,), {"key": "value"}, is_async)]


@pytest.mark.parametrize("cls", [StarletteBackgroundTasks, BackgroundTasks])
def test_tasks_run_in_order_until_one_fails(cls: type[StarletteBackgroundTasks]) -> None:
    calls: list[int] = []
    tasks = cls([BackgroundTask(calls.append, 1)])
    tasks.add_task(calls.append, 2)
    tasks.add_task(divmod, 1, 0)
    tasks.add_task(calls.append, 3)
    with pytest.raises(ZeroDivisionError):
        anyio.run(tasks)
    assert calls == [1, 2]


def test_given_tasks_are_copied() -> None:
    given = [BackgroundTask(print)]
    tasks = BackgroundTasks(given)
    tasks.add_task(print)
    assert len(given) == 1
    assert len(tasks.tasks) == 2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (BackgroundTask, starlette.background.BackgroundTask),
        (StarletteBackgroundTasks, starlette.background.BackgroundTasks),
        (BackgroundTasks, fastapi.background.BackgroundTasks),
    ],
)
def test_names_and_parameters_are_those_of_the_reference(ours: type, theirs: type) -> None:
    assert ours.__name__ == theirs.__name__
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_applications_tasks_are_also_the_base_kind() -> None:
    assert issubclass(BackgroundTasks, StarletteBackgroundTasks)
    assert issubclass(StarletteBackgroundTasks, BackgroundTask)
