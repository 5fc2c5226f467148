"""Work that runs after a response has been sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.telemetry._api import _operation

__all__ = ["BackgroundTask", "BackgroundTasks", "StarletteBackgroundTasks"]

P = ParamSpec("P")


class BackgroundTask:
    """One call to make later: `await task()` makes it, in a worker thread when `func` is not async.

    An error raised by `func` propagates to whoever awaits the task.
    """

    def __init__(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.is_async = is_async_callable(func)

    async def __call__(self) -> None:
        if self.is_async:
            await self.func(*self.args, **self.kwargs)
        else:
            await run_in_threadpool(self.func, *self.args, **self.kwargs)


class StarletteBackgroundTasks(BackgroundTask):
    """Several background tasks, run one after the other; the first error stops the rest."""

    def __init__(self, tasks: Sequence[BackgroundTask] | None = None) -> None:
        self.tasks = list(tasks or ())

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Append the call `func(*args, **kwargs)`."""
        self.tasks.append(BackgroundTask(func, *args, **kwargs))

    async def __call__(self) -> None:
        for task in self.tasks:
            await task()


StarletteBackgroundTasks.__name__ = "BackgroundTasks"


class BackgroundTasks(StarletteBackgroundTasks):
    """The tasks of one request: declare a parameter of this type and add what should run after the response.

    ```python
    @app.post("/send-notification/{email}")
    async def send_notification(email: str, background_tasks: BackgroundTasks):
        background_tasks.add_task(write_notification, email, message="some notification")
        return {"message": "Notification sent in the background"}
    ```
    """

    async def __call__(self) -> None:
        for task in self.tasks:
            with _operation(name="background_task", function=task.func):
                await task()
