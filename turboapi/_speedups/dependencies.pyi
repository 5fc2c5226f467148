"""The dependency graph, as a list of visits in the order in which they are made."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from turboapi._speedups.arguments import Call

class Visit:
    """One step: call the dependency, or take over an earlier visit's value."""

    def __init__(
        self,
        *,
        call: Call,
        mode: int,
        reuse: int,
        function_scope: bool,
        limit: Callable[[], AbstractAsyncContextManager[Any]] | None,
    ) -> None:
        """A step.

        mode: 0 coroutine function, 1 plain function (in a worker thread), 2 async generator, 3 generator.
        reuse: the index of the visit whose value this one takes over, or -1.
        function_scope: a generator's exit code runs before the response is sent.
        limit: makes a context manager to hold around the call.
        """

    @property
    def call(self) -> Call: ...
    @property
    def mode(self) -> int: ...
    @property
    def reuse(self) -> int: ...
    @property
    def function_scope(self) -> bool: ...
    @property
    def limit(self) -> Callable[[], AbstractAsyncContextManager[Any]] | None: ...
