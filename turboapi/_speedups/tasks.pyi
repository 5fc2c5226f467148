"""Run a coroutine now; give it a Task of its own only if it has to wait."""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import CodeType
from typing import Any, Self

class Runner:
    """Runs the coroutines of one event loop, as `loop.create_task` would, but begins at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def suspended(self) -> set[asyncio.Task[Any]]:
        """The tasks that wait for something."""

    def cancel(self) -> None:
        """Cancel every coroutine that is still waiting."""

class CoroutineView:
    """Stands in place of a coroutine, and shows what can be asked of that one."""

    @property
    def coroutine(self) -> Coroutine[Any, Any, Any]: ...
    @property
    def cr_await(self) -> Any: ...
    @property
    def cr_code(self) -> CodeType | None: ...
    @property
    def cr_frame(self) -> Any: ...
    @property
    def cr_running(self) -> bool: ...
    @property
    def cr_suspended(self) -> bool: ...

class Continuation(CoroutineView):
    """What is left of a coroutine that was started by hand: an awaitable iterator for its Task."""

    def __await__(self) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any) -> Any:
        """Go on. Raises RuntimeError inside the first step, StopIteration or the coroutine's exception at the end."""

    def throw(self, *exception: Any) -> Any:
        """Go on with an exception; a cancellation first cancels what the coroutine waits for."""

    def close(self) -> None: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def context(self) -> Context: ...

class LazyTask(asyncio.Task[Any]):
    """A Task that is initialised when it is needed. Made by `LazyTask.__new__` only."""

    def start(self) -> None:
        """Initialise the task, once: it is then scheduled to go on with its coroutine."""

    def get_coro(self) -> Coroutine[Any, Any, Any]:
        """The coroutine, as it was handed over."""

    def __await__(self) -> Generator[Any, None, Any]: ...
    def add_done_callback(self, *args: Any, **kwargs: Any) -> None: ...
    def exception(self) -> BaseException | None: ...
    def get_loop(self) -> asyncio.AbstractEventLoop: ...
    def get_name(self) -> str: ...
    def get_stack(self, *, limit: int | None = None) -> list[Any]: ...
    def print_stack(self, *, limit: int | None = None, file: Any = None) -> None: ...
    def remove_done_callback(self, callback: Any, /) -> int: ...
    def result(self) -> Any: ...
    def set_name(self, value: object, /) -> None: ...

def run_now(runner: Runner, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run `coroutine` up to its end or its first suspension; in the second case a Task goes on with it.

    Its exceptions are reported as those of a Task; only KeyboardInterrupt and SystemExit are raised here.
    """
